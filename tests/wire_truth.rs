//! The fakes against foreign clients, and our clients against foreign servers.
//!
//! boto3 and slack_sdk check the fakes of CloudWatch Logs, SNS and Slack. moto answers the same requests, and this file
//! names each fact in which it differs, with the reason. The tests of our own clients against the fakes are in their
//! crates. Needs `python3` with `venv`, `node` and `npm`; see `support::python` and `support::node`.

mod cloud_logging;
#[cfg(feature = "azure")]
mod kql;
mod log_analytics;
mod logs;
mod moto;
mod slack;
mod sns;
/// Findings of an attacker, from the tests of the crate that renders them.
#[path = "../crates/notify/tests/it/strategy.rs"]
mod strategy;

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::support::python;

/// Answers of a server by name, as a script observed them.
type Facts = Map<String, Value>;

/// A fact in which moto differs from the cloud, and how.
type Differs = (&'static str, &'static str);

/// Runs a script that prints JSON.
fn answered<T: serde::de::DeserializeOwned>(script: &str, args: &[&str], stdin: &str) -> T {
    let printed = python::python(script, args, stdin);
    serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{script} printed other JSON: {error}\n{printed}"))
}

/// Asserts that the fake and moto answer alike except for the named facts, and that each exception is still needed.
fn assert_alike(fake: &Facts, moto: &Facts, differs: &[Differs]) {
    let names: BTreeSet<&str> = fake.keys().chain(moto.keys()).map(String::as_str).collect();
    let found: Vec<&str> = names.into_iter().filter(|name| fake.get(*name) != moto.get(*name)).collect();
    let mut named: Vec<&str> = differs.iter().map(|(name, _)| *name).collect();
    named.sort_unstable();
    let of = |name: &&str| format!("{name}: {:?} in the fake, {:?} in moto", fake.get(*name), moto.get(*name));
    assert_eq!(found, named, "{}", found.iter().map(of).collect::<Vec<_>>().join("\n"));
}
