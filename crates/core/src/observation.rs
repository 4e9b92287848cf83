//! One request as rules see it: the event, its client, its cluster, its time, and how many equal requests it represents.

use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

use crate::address::{self, TrustedProxies};
use crate::event::AuditEvent;
use crate::source::{Provider, Source};
use crate::time::Second;

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

/// One request, or `n` equal ones that a provider has counted already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// The provider's record id, where the event does not identify its request.
    pub record_id: Option<String>,
    /// The audit event.
    pub event: AuditEvent,
    /// The service that kept the record.
    pub provider: Provider,
    /// The cluster that was asked.
    pub cluster: Arc<str>,
    /// The address of the client, which a client cannot choose; `None` where the record has none.
    pub client: Option<IpAddr>,
    /// Whether that address is a trusted proxy, which did not name its client in a readable way.
    pub is_client_proxy: bool,
    /// How many equal requests it represents, at least 1.
    pub n: u32,
    /// When the first of them came.
    pub first: Second,
    /// When the last of them came; equal to `first` where `n` is 1.
    pub last: Second,
}

impl Observation {
    /// Returns the request of `event`, or `None` where the event is only a stage of a request that another event has whole
    /// (see [`AuditEvent::is_request`]). `at` is the provider's time of the record, and `record_id` returns its id, called
    /// only where the event has no identity of its own.
    #[must_use]
    pub fn of_event(
        source: &Source,
        trusted: &TrustedProxies,
        event: AuditEvent,
        at: Second,
        record_id: impl FnOnce() -> String,
    ) -> Option<Observation> {
        event.is_request().then(|| Observation::of_stage(source, trusted, event, at, record_id))
    }

    /// Returns the observation of `event`, even if it is only a stage of a request, which never counts.
    #[must_use]
    pub fn of_stage(
        source: &Source,
        trusted: &TrustedProxies,
        event: AuditEvent,
        at: Second,
        record_id: impl FnOnce() -> String,
    ) -> Observation {
        let has_identity = event.audit_id.is_some() && event.received_time_ms().is_some();
        let client = trusted.client_of(&event.source_ips);
        Observation {
            record_id: (!has_identity).then(record_id),
            client,
            is_client_proxy: client.is_some_and(|client| trusted.contains(client)),
            event,
            provider: source.provider,
            cluster: source.cluster.clone(),
            n: 1,
            first: at,
            last: at,
        }
    }

    /// Returns what identifies the request among its records.
    #[must_use]
    pub fn identity(&self) -> Identity {
        match &self.record_id {
            Some(record_id) => Identity::Record(record_id.clone()),
            None => Identity::Request {
                cluster: self.cluster.clone(),
                audit_id: self.event.audit_id.clone().unwrap_or_default(),
                received: self.event.request_received_timestamp.clone().unwrap_or_default(),
            },
        }
    }

    /// Feeds what identifies the request into `hasher`, without a copy of it.
    pub(crate) fn hash_identity(&self, hasher: &mut impl Hasher) {
        self.record_id.hash(hasher);
        if self.record_id.is_none() {
            (&self.cluster, &self.event.audit_id, &self.event.request_received_timestamp).hash(hasher);
        }
    }

    /// Returns whether `sourceIPs` held more than the TCP peer.
    #[must_use]
    pub fn is_forwarded(&self) -> bool {
        self.event.source_ips.len() > 1
    }

    /// Returns whether `sourceIPs` has another address before the client, for which no trusted proxy vouches.
    ///
    /// A balancer that sets both X-Forwarded-For and X-Real-Ip names the client twice, which is not a forgery.
    #[must_use]
    pub fn is_forged(&self) -> bool {
        if !self.is_forwarded() {
            return false;
        }
        let is_client = |entry: &String| address::parse(entry) == self.client;
        let chain = &self.event.source_ips;
        let at = self.client.and_then(|_| chain.iter().rposition(is_client)).unwrap_or(0);
        !chain[..at].iter().all(is_client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::LogId;

    /// Returns whether `chain` is forged, and whether only a proxy is left of it, behind the proxy 10.0.0.50.
    fn judged(chain: &[&str]) -> (bool, bool) {
        let trusted = TrustedProxies::new(vec!["10.0.0.50/32".parse().expect("a network")]);
        let source = Source {
            name: "test".to_owned(),
            provider: Provider::File,
            cluster: "test".into(),
            log: LogId("file/test".to_owned()),
        };
        let source_ips = chain.iter().map(|entry| (*entry).to_owned()).collect();
        let event = AuditEvent { source_ips, ..AuditEvent::default() };
        let observation = Observation::of_event(&source, &trusted, event, Second(0), String::new).expect("a request");
        (observation.is_forged(), observation.is_client_proxy)
    }

    #[test]
    fn a_request_is_its_cluster_audit_id_and_time_or_else_its_record() {
        let identity = |cluster: &str, audit_id: &str, received: &str, record: &str| {
            let source = Source {
                name: "test".to_owned(),
                provider: Provider::File,
                cluster: cluster.into(),
                log: LogId("file/test".to_owned()),
            };
            let event = AuditEvent {
                audit_id: Some(audit_id.to_owned()),
                request_received_timestamp: Some(received.to_owned()),
                ..AuditEvent::default()
            };
            let id = || record.to_owned();
            Observation::of_stage(&source, &TrustedProxies::default(), event, Second(0), id).identity()
        };
        let (one, other) = ("2026-11-21T10:00:00.000001Z", "2026-11-21T10:00:00.000002Z");
        let request = identity("prod", "a", one, "1");
        assert_eq!(identity("prod", "a", one, "2"), request);
        for another in
            [identity("dev", "a", one, "1"), identity("prod", "b", one, "1"), identity("prod", "a", other, "1")]
        {
            assert_ne!(another, request);
        }
        assert_ne!(identity("prod", "a", "no time", "1"), identity("prod", "a", "no time", "2"));
    }

    #[test]
    fn an_entry_before_the_client_is_forged_unless_it_is_the_client_again() {
        assert_eq!(judged(&["8.8.8.8"]), (false, false));
        assert_eq!(judged(&["10.1.1.1", "8.8.8.8"]), (true, false));
        assert_eq!(judged(&["8.8.8.8", "10.0.0.50"]), (false, false));
        assert_eq!(judged(&["8.8.8.8", "::ffff:8.8.8.8", "10.0.0.50"]), (false, false));
        assert_eq!(judged(&["1.1.1.1", "8.8.8.8", "8.8.8.8", "10.0.0.50"]), (true, false));
        assert_eq!(judged(&["unknown", "8.8.8.8", "10.0.0.50"]), (true, false));
    }

    #[test]
    fn a_proxy_that_names_no_client_is_the_client() {
        assert_eq!(judged(&["10.0.0.50"]), (false, true));
        assert_eq!(judged(&["10.0.0.50", "10.0.0.50"]), (false, true));
        assert_eq!(judged(&["8.8.8.8:123", "10.0.0.50"]), (true, true));
        assert_eq!(judged(&[]), (false, false));
    }
}
