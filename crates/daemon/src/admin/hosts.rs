//! For which hosts the admin page answers.
//!
//! A page in a browser may let its own name point to this machine, and then read what the browser may read here (DNS
//! rebinding). The request still has that name, so a name must be known. An address is no name: nobody can point it
//! anywhere else.

use std::net::IpAddr;

use axum::http::HeaderMap;
use axum::http::header::HOST;
use axum::http::uri::Authority;

/// What monitoring reads. It names no finding, no log's path and no source address.
const OF_MONITORING: [&str; 3] = ["/metrics", "/healthz", "/readyz"];
/// Ends of the names of Services (<https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/>). Nobody can
/// register a public domain with them.
const SERVICE_ENDS: [&str; 2] = [".svc", ".svc.cluster.local"];

/// The names of hosts that the config adds, in lower case.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hosts<'a>(pub(super) &'a [String]);

impl Hosts<'_> {
    /// Returns whether a request for `path` is for one of the hosts: an address, `localhost`, or a name of the config.
    /// Monitoring may also use a name that no public domain has, as it does for a Service. A client of HTTP/1.0 need not say.
    pub(super) fn include(&self, headers: &HeaderMap, path: &str) -> bool {
        let Some(host) = headers.get(HOST) else { return true };
        let Ok(authority) = Authority::try_from(host.as_bytes()) else { return false };
        let name = authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        let name = name.strip_suffix('.').unwrap_or(&name);
        name == "localhost"
            || name.parse::<IpAddr>().is_ok()
            || self.0.iter().any(|known| known == name)
            || (OF_MONITORING.contains(&path) && is_internal(name))
    }
}

/// Returns whether only the DNS of a cluster or of a local network can know a name.
fn is_internal(name: &str) -> bool {
    !name.is_empty() && (!name.contains('.') || SERVICE_ENDS.iter().any(|end| name.ends_with(end)))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn is_answered(host: &str, path: &str) -> bool {
        let names = ["stakeout.example".to_owned()];
        let headers = HeaderMap::from_iter([(HOST, HeaderValue::from_str(host).expect("a header"))]);
        Hosts(&names).include(&headers, path)
    }

    #[test]
    fn addresses_and_known_names_are_answered_on_each_page() {
        for host in [
            "127.0.0.1:9403",
            "10.244.1.7:9403",
            "[fd00::7]:9403",
            "[::1]",
            "localhost",
            "LocalHost.:9403",
            "stakeout.example",
            "Stakeout.Example.:9403",
        ] {
            for path in ["/", "/state", "/findings", "/findings/1", "/metrics", "/healthz", "/readyz", "/other"] {
                assert!(is_answered(host, path), "{host} {path}");
            }
        }
        assert!(Hosts(&[]).include(&HeaderMap::new(), "/state"));
    }

    #[test]
    fn only_monitoring_may_use_names_of_a_cluster() {
        for host in ["stakeout:9403", "stakeout.monitoring.svc:9403", "stakeout.monitoring.svc.cluster.local"] {
            for path in ["/metrics", "/healthz", "/readyz"] {
                assert!(is_answered(host, path), "{host} {path}");
            }
            for path in ["/", "/state", "/incidents", "/findings", "/findings/1", "/metrics/"] {
                assert!(!is_answered(host, path), "{host} {path}");
            }
        }
    }

    #[test]
    fn a_name_of_a_stranger_is_answered_nowhere() {
        for host in [
            "attacker.example",
            "attacker.example:9403",
            "stakeout.example.attacker.test",
            "127.0.0.1.attacker.test",
            "localhost.attacker.test",
            "svc.cluster.local.attacker.test",
            "stakeout.svc.attacker.test",
            "attacker.test\\.svc",
            ".",
            "",
        ] {
            for path in ["/", "/state", "/findings", "/metrics", "/healthz", "/readyz"] {
                assert!(!is_answered(host, path), "{host} {path}");
            }
        }
    }
}
