//! How good the shipped rules are: what they find of labelled recordings and of evasions made here, whom they accuse
//! wrongly, and how many findings they take for it. All of it through the binary.

mod benign;
mod days;
mod evasions;
mod incidents;
mod labels;
mod recordings;
mod request;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ipnet::IpNet;
use serde_json::Value;

/// Lowest severity that is judged: informational findings are context.
const SEVERITY_MIN: u64 = 2;

/// A finding, as far as it is judged.
#[derive(Clone, Debug)]
struct Finding {
    rule: String,
    /// OCSF's `severity_id`.
    severity: u64,
    /// Whom it accuses: addresses, and the /64 networks of IPv6 ones.
    sources: Vec<IpNet>,
}

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data").join(name)
}

/// Returns the findings that are judged, with the shipped rules and one trusted balancer.
fn replay(path: &Path) -> Vec<Finding> {
    replay_all(path).into_iter().filter(|finding| finding.severity >= SEVERITY_MIN).collect()
}

/// Returns all findings.
fn replay_all(path: &Path) -> Vec<Finding> {
    let text = printed(path, "json");
    let findings = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("a JSON object a line"));
    findings
        .map(|finding| Finding {
            rule: finding["finding_info"]["analytic"]["name"].as_str().expect("a rule").to_owned(),
            severity: finding["severity_id"].as_u64().expect("a severity"),
            sources: sources(&finding),
        })
        .collect()
}

/// Returns what `replay` prints in this format.
fn printed(path: &Path, format: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_stakeout"))
        .args(["replay", "-o", format, "--trusted-proxy", "10.0.0.50"])
        .arg(path)
        .env_remove("STAKEOUT_LOG")
        .stdin(Stdio::null())
        .output()
        .expect("stakeout starts");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn sources(finding: &Value) -> Vec<IpNet> {
    let evidences = finding["evidences"].as_array().expect("evidence");
    let addresses = evidences.iter().map(|evidence| evidence["src_endpoint"]["ip"].as_str().expect("an address"));
    let mut sources: Vec<IpNet> = addresses.map(network).collect();
    sources.sort_unstable();
    sources.dedup();
    sources
}

/// Returns the source that an address is counted for.
fn network(address: &str) -> IpNet {
    let address = address.parse().unwrap_or_else(|fault| panic!("{address}: {fault}"));
    let length = if matches!(address, std::net::IpAddr::V4(_)) { 32 } else { 64 };
    IpNet::new(address, length).expect("a length that fits").trunc()
}

/// Returns how many findings there are of each rule.
fn by_rule(findings: &[Finding]) -> BTreeMap<&str, usize> {
    let mut rules = BTreeMap::new();
    for finding in findings {
        *rules.entry(finding.rule.as_str()).or_default() += 1;
    }
    rules
}
