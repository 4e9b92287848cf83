//! Another way to the same episodes: from the lines themselves, by brute force, with nothing of the engine in it.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr};

use jiff::Timestamp;
use serde_json::Value;

use super::audit::{HOUR, Line, MINUTE};

pub(crate) const MULTIPLE_403: &str = "kubernetes-api-multiple-403-from-public-ip";
pub(crate) const SCANNING: &str = "kubernetes-scanning-by-unauthenticated-ip";
pub(crate) const POD_SCAN: &str = "kubernetes-pod-scan-by-anonymous";
pub(crate) const CLUSTER_SCAN: &str = "kubernetes-cluster-scan-by-anonymous";

/// (rule, requests that open an episode, within seconds, over after seconds)
const RULES: [(&str, usize, i64, i64); 4] = [
    (MULTIPLE_403, 10, 30 * MINUTE, 30 * MINUTE),
    (SCANNING, 6, HOUR, HOUR),
    (POD_SCAN, 1, HOUR, HOUR),
    (CLUSTER_SCAN, 1, HOUR, HOUR),
];

/// A run of requests that crossed a rule's threshold.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Episode {
    pub(crate) rule: String,
    pub(crate) source: String,
    pub(crate) first: i64,
    pub(crate) last: i64,
    pub(crate) count: i64,
}

/// Returns the episodes of the seed rules in `lines`.
pub(crate) fn episodes(lines: &[Line]) -> Vec<Episode> {
    let mut found = Vec::new();
    for ((rule, source), seconds) in matches(lines) {
        let (_, threshold, timespan, quiet) = RULES.into_iter().find(|known| known.0 == rule).expect("a rule");
        let mut begin = 0;
        while begin + threshold <= seconds.len() {
            let mut end = begin + threshold;
            if seconds[end - 1] - seconds[begin] > timespan {
                begin += 1;
                continue;
            }
            while end < seconds.len() && seconds[end] - seconds[end - 1] <= quiet {
                end += 1;
            }
            let (first, last) = (seconds[begin], seconds[end - 1]);
            let count = i64::try_from(end - begin).expect("small");
            found.push(Episode { rule: rule.to_owned(), source: source.clone(), first, last, count });
            begin = end;
        }
    }
    found.sort();
    found
}

/// Returns the seconds of each rule's and source's requests, ascending; each request once, at its earliest line.
fn matches(lines: &[Line]) -> BTreeMap<(&'static str, String), Vec<i64>> {
    let mut requests: HashMap<(String, &str, String), i64> = HashMap::new();
    for line in lines {
        let event: Value = serde_json::from_str(&line.text).expect("JSON");
        let Some(source) = source_of(&event).filter(|_| is_request(&event)) else { continue };
        let text = |spot: &str| event.pointer(spot).and_then(Value::as_str).unwrap_or_default();
        let identity = format!("{} {}", text("/auditID"), text("/requestReceivedTimestamp"));
        let second = text("/stageTimestamp").parse::<Timestamp>().expect("a time").as_millisecond().div_euclid(1000);
        for rule in rules_of(&event, source) {
            let at = requests.entry((identity.clone(), rule, shown(source))).or_insert(second);
            *at = second.min(*at);
        }
    }
    let mut seconds: BTreeMap<(&'static str, String), Vec<i64>> = BTreeMap::new();
    for ((_, rule, source), second) in requests {
        let rule = RULES.iter().find(|known| known.0 == rule).expect("a rule").0;
        seconds.entry((rule, source)).or_default().push(second);
    }
    seconds.values_mut().for_each(|seconds| seconds.sort_unstable());
    seconds
}

/// Returns whether a line stands for a request: its last stage, or a failed login, which has no last stage.
fn is_request(event: &Value) -> bool {
    let nobody = event.pointer("/user/username").and_then(Value::as_str).unwrap_or_default().is_empty();
    match event["stage"].as_str() {
        None | Some("ResponseComplete" | "Panic") => true,
        Some("ResponseStarted") => event.pointer("/responseStatus/code") == Some(&Value::from(401)) && nobody,
        Some(_) => false,
    }
}

/// The peer of the API server: the only address that the client did not write.
fn source_of(event: &Value) -> Option<IpAddr> {
    let peer = event["sourceIPs"].as_array()?.last()?.as_str()?;
    peer.parse().ok().map(|address: IpAddr| address.to_canonical())
}

/// An address, or the network of 64 bits that an IPv6 address belongs to.
fn shown(source: IpAddr) -> String {
    match source {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{}/64", std::net::Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

fn rules_of(event: &Value, source: IpAddr) -> Vec<&'static str> {
    let is_forbidden = event.pointer("/responseStatus/code") == Some(&Value::from(403));
    let is_anonymous = event.pointer("/user/username") == Some(&Value::from("system:anonymous"));
    let groups = event.pointer("/user/groups").and_then(Value::as_array).into_iter().flatten();
    let is_unauthenticated = groups.into_iter().any(|group| group == "system:unauthenticated");
    let path = event["requestURI"].as_str().unwrap_or_default().split('?').next().unwrap_or_default();
    let probes = ["/healthz", "/livez", "/readyz"];
    let is_probe = probes.iter().any(|probe| path == *probe || path.starts_with(&format!("{probe}/")));
    let object = &event["objectRef"];
    let is_all_pods = event["verb"] == "list"
        && object["resource"] == "pods"
        && ["namespace", "name", "subresource"].iter().all(|key| object[*key].is_null());
    let facts = [
        (MULTIPLE_403, is_forbidden && is_public(source)),
        (SCANNING, is_forbidden && is_unauthenticated),
        (POD_SCAN, is_anonymous && is_all_pods),
        (CLUSTER_SCAN, is_anonymous && event["userAgent"] != "AWS Security Scanner" && !is_probe),
    ];
    facts.into_iter().filter(|(_, fits)| *fits).map(|(rule, _)| rule).collect()
}

/// Whether an address of the recordings is public; the table of all special networks has tests of its own.
fn is_public(source: IpAddr) -> bool {
    match source {
        IpAddr::V4(address) => {
            let is_shared = address.octets()[0] == 100 && (64..128).contains(&address.octets()[1]);
            let is_special = address.is_private() || address.is_loopback() || address.is_link_local();
            !(is_special || is_shared || address.is_documentation() || address == Ipv4Addr::UNSPECIFIED)
        }
        IpAddr::V6(address) => {
            let [first, second, ..] = address.segments();
            let is_documentation = (first, second) == (0x2001, 0x0db8);
            !(address.is_loopback() || address.is_unique_local() || is_documentation)
        }
    }
}
