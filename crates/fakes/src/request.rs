//! A request that a fake has recorded.

use jiff::Timestamp;

use crate::fault::Fault;

/// One request as a fake received it. Health checks are not recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedRequest {
    /// The operation (`FilterLogEvents`, `Publish`), or method and path if the protocol has no operations.
    pub target: String,
    /// The body as text; bytes that are not UTF-8 are replaced.
    pub body: String,
    /// The time of arrival by the fake's clock.
    pub at: Timestamp,
    /// The access key and region of the SigV4 credential scope, if there was one.
    pub signed_by: Option<(String, String)>,
    /// The fault that was injected.
    pub fault: Option<Fault>,
}
