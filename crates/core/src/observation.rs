//! A request that rules look at: the event, who sent it, where, when, and how many of its kind it stands for.

use std::net::IpAddr;
use std::sync::Arc;

use crate::address::TrustedProxies;
use crate::event::AuditEvent;
use crate::record::RawRecord;
use crate::source::{Provider, Source};
use crate::text::bounded;
use crate::time::Second;

/// Longest name of a cluster that is kept, in characters: an ARN is at most 2,048, its last part far shorter.
const CLUSTER_CHARS_MAX: usize = 256;

/// What makes two records the same request. Identities are compared inside one read of a window and never stored.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Identity {
    /// The API server's own: the cluster, `auditID` and `requestReceivedTimestamp`. The id alone is chosen by the
    /// client; together they were unique on every one of 113,258 recorded requests.
    Request {
        /// The cluster that audited the request.
        cluster: Arc<str>,
        /// `auditID`, whole.
        audit_id: String,
        /// `requestReceivedTimestamp`, as written.
        received: String,
    },
    /// The provider's record id, where the event does not carry both.
    Record(String),
}

/// One request, or `n` equal ones that a provider already counted; nothing after it asks which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// What makes it the same request as another record.
    pub identity: Identity,
    /// What was audited.
    pub event: AuditEvent,
    /// The service that kept the record.
    pub provider: Provider,
    /// The cluster that was asked.
    pub cluster: Arc<str>,
    /// The address that sent it and that no client can choose, or `None` where the record names none.
    pub client: Option<IpAddr>,
    /// How many equal requests it stands for, at least 1.
    pub n: u32,
    /// When the first of them came.
    pub first: Second,
    /// When the last of them came; equal to `first` where `n` is 1.
    pub last: Second,
}

impl Observation {
    /// Returns the request that a record tells of, or `None` where its event tells only a stage of one that
    /// another event tells whole (see [`AuditEvent::is_request`]).
    #[must_use]
    pub fn of_record(
        source: &Source,
        trusted: &TrustedProxies,
        record: &RawRecord,
        event: AuditEvent,
    ) -> Option<Observation> {
        if !event.is_request() {
            return None;
        }
        let cluster: Arc<str> = bounded(&source.cluster, CLUSTER_CHARS_MAX).into();
        let identity = match (&event.audit_id, &event.request_received_timestamp) {
            (Some(audit_id), Some(received)) if !audit_id.is_empty() && !received.is_empty() => {
                Identity::Request {
                    cluster: cluster.clone(),
                    audit_id: audit_id.clone(),
                    received: received.clone(),
                }
            }
            _ => Identity::Record(record.record_id.clone()),
        };
        let at = Second::of_millis(record.time_ms);
        Some(Observation {
            identity,
            client: trusted.client_of(&event.source_ips),
            event,
            provider: source.provider,
            cluster,
            n: 1,
            first: at,
            last: at,
        })
    }

    /// Tells whether `sourceIPs` held more than the TCP peer.
    #[must_use]
    pub fn is_forwarded(&self) -> bool {
        self.event.source_ips.len() > 1
    }
}
