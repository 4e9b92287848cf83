//! What a fake writes down of each request that it was asked.

use jiff::Timestamp;

use crate::fault::Fault;

/// One request as a fake saw it, health checks left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The operation (`FilterLogEvents`, `Publish`), or method and path where the wire has no operations.
    pub target: String,
    /// The body as text; bytes that are not UTF-8 are replaced.
    pub body: String,
    /// When it came, by the fake's clock.
    pub at: Timestamp,
    /// The access key and region of the SigV4 credential scope, where there was one.
    pub signed_by: Option<(String, String)>,
    /// The fault that it met.
    pub fault: Option<Fault>,
}
