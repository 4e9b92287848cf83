//! Notices a proxy that the config does not name: nearly all requests seem to come from a few private addresses, before
//! which public ones are named. Then every client is hidden behind the proxy.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::address;
use crate::observation::Observation;

/// Fewest requests of a window that show a proxy.
const REQUESTS_MIN: u64 = 20;
/// Of ten requests, how many come through the proxy at least.
const OF_TEN_MIN: u64 = 9;
/// Most addresses of a proxy. More private addresses are clients.
const ADDRESSES_MAX: usize = 8;

/// Counts the requests of a window by the address that would be the proxy's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyWatch {
    /// Requests with a source.
    requests: u64,
    /// Of those, requests from a private address before which a public one is named.
    forwarded: u64,
    /// The private addresses, one more than a proxy has at most.
    addresses: BTreeMap<IpAddr, u64>,
}

impl ProxyWatch {
    /// Counts a request.
    pub fn observe(&mut self, observation: &Observation) {
        let Some(client) = observation.client else { return };
        let n = u64::from(observation.n);
        self.requests += n;
        if !names_public_address(observation, client) {
            return;
        }
        self.forwarded += n;
        if self.addresses.len() <= ADDRESSES_MAX || self.addresses.contains_key(&client) {
            *self.addresses.entry(client).or_default() += n;
        }
    }

    /// Adds what another has counted.
    pub fn join(&mut self, other: &ProxyWatch) {
        self.requests += other.requests;
        self.forwarded += other.forwarded;
        for (address, n) in &other.addresses {
            if self.addresses.len() <= ADDRESSES_MAX || self.addresses.contains_key(address) {
                *self.addresses.entry(*address).or_default() += n;
            }
        }
    }

    /// Returns the addresses of a proxy that hides the clients, the one of most requests first; none where there is no
    /// such proxy.
    #[must_use]
    pub fn hidden_proxies(&self) -> Vec<IpAddr> {
        let is_most = self.forwarded * 10 >= self.requests * OF_TEN_MIN;
        if self.requests < REQUESTS_MIN || !is_most || self.addresses.len() > ADDRESSES_MAX {
            return Vec::new();
        }
        let mut addresses: Vec<(IpAddr, u64)> = self.addresses.iter().map(|(address, n)| (*address, *n)).collect();
        addresses.sort_by(|left, right| right.1.cmp(&left.1).then_with(|| left.0.cmp(&right.0)));
        addresses.into_iter().map(|(address, _)| address).collect()
    }
}

/// Returns whether the source is a private address before which `sourceIPs` has a public one.
fn names_public_address(observation: &Observation, client: IpAddr) -> bool {
    let chain = &observation.event.source_ips;
    if !observation.is_forwarded() || address::is_public(client) {
        return false;
    }
    let own = chain.iter().rposition(|entry| address::parse(entry) == Some(client)).unwrap_or(0);
    chain[..own].iter().filter_map(|entry| address::parse(entry)).any(address::is_public)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::TrustedProxies;
    use crate::event::AuditEvent;
    use crate::source::{LogId, Provider, Source};
    use crate::time::Second;

    /// Returns the proxies that show in requests over these chains of addresses, each `n` times.
    fn hidden(chains: &[(u32, &[&str])], trusted: &[&str]) -> Vec<String> {
        let source = Source {
            name: "prod".to_owned(),
            provider: Provider::AzureMonitor,
            cluster: "prod".into(),
            log: LogId("prod".to_owned()),
        };
        let trusted = TrustedProxies::new(trusted.iter().map(|net| net.parse().expect("a network")).collect());
        let mut halves = [ProxyWatch::default(), ProxyWatch::default()];
        for (index, (n, chain)) in chains.iter().enumerate() {
            let source_ips = chain.iter().map(|entry| (*entry).to_owned()).collect();
            let event = AuditEvent { source_ips, ..AuditEvent::default() };
            let observation = Observation::of_event(&source, &trusted, event, Second(0), String::new);
            let observation = Observation { n: *n, ..observation.expect("a request") };
            halves[index % 2].observe(&observation);
        }
        let [mut watch, other] = halves;
        watch.join(&other);
        watch.hidden_proxies().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_proxy_is_where_nearly_all_requests_end_although_public_addresses_come_before() {
        let two: &[(u32, &[&str])] =
            &[(30, &["8.8.8.8", "172.31.4.5"]), (60, &["9.9.9.9", "172.31.4.6"]), (10, &["10.0.0.1"])];
        assert_eq!(hidden(two, &[]), ["172.31.4.6", "172.31.4.5"]);
        assert_eq!(hidden(two, &["172.31.0.0/16"]), [""; 0]);
        assert_eq!(hidden(&[two[0], two[1], (11, &["10.0.0.1"])], &[]), [""; 0]);
        assert_eq!(hidden(&[(19, &["8.8.8.8", "172.31.4.5"])], &[]), [""; 0]);
    }

    #[test]
    fn clients_are_no_proxies() {
        assert_eq!(hidden(&[(100, &["10.0.0.9", "10.0.0.1"])], &[]), [""; 0]);
        assert_eq!(hidden(&[(100, &["8.8.8.8", "9.9.9.9"])], &[]), [""; 0]);
        assert_eq!(hidden(&[(100, &["unknown", "10.0.0.1"]), (100, &[])], &[]), [""; 0]);
        let nodes = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6", "10.0.0.7", "10.0.0.8"];
        let chains: Vec<[&str; 2]> = nodes.iter().map(|node| ["8.8.8.8", *node]).collect();
        let eight: Vec<(u32, &[&str])> = chains.iter().map(|chain| (10, chain.as_slice())).collect();
        assert_eq!(hidden(&eight, &[]).len(), 8);
        let nine = [&eight[..], &[(1, &["8.8.8.8", "10.0.0.9"])]].concat();
        assert_eq!(hidden(&nine, &[]), [""; 0]);
    }
}
