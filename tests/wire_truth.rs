//! The wire as others speak it: their clients against our fakes, and our clients against their servers.
//!
//! boto3 and slack_sdk judge the fakes of CloudWatch Logs, SNS and Slack; moto answers the same questions, and each
//! fact in which it differs is named here with the reason. What our own crates make of the fakes is tested in those
//! crates. Needs `python3` with `venv`, `node` and `npm`; see `support::python` and `support::node`.

mod cloud_logging;
#[cfg(feature = "azure")]
mod kql;
mod log_analytics;
mod logs;
mod ours;
mod slack;
mod sns;
/// Findings as an attacker would have them, from the tests of the crate that renders them.
#[path = "../crates/notify/tests/it/strategy.rs"]
mod strategy;

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::support::python;

/// Answers of a server by name, as a script found them.
type Facts = Map<String, Value>;

/// A fact in which moto differs from the cloud, and how.
type Differs = (&'static str, &'static str);

/// Runs a script that prints JSON.
fn answered<T: serde::de::DeserializeOwned>(script: &str, args: &[&str], stdin: &str) -> T {
    let printed = python::python(script, args, stdin);
    serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{script} printed no such JSON: {error}\n{printed}"))
}

/// Asserts that two servers answer alike but for what is named; and that this is still needed.
fn assert_alike(ours: &Facts, motos: &Facts, differs: &[Differs]) {
    let names: BTreeSet<&str> = ours.keys().chain(motos.keys()).map(String::as_str).collect();
    let found: Vec<&str> = names.into_iter().filter(|name| ours.get(*name) != motos.get(*name)).collect();
    let mut named: Vec<&str> = differs.iter().map(|(name, _)| *name).collect();
    named.sort_unstable();
    let of = |name: &&str| format!("{name}: {:?} here, {:?} of moto", ours.get(*name), motos.get(*name));
    assert_eq!(found, named, "{}", found.iter().map(of).collect::<Vec<_>>().join("\n"));
}
