//! Each recording, stretched over six hours and set across the edges of windows: the daemon, `replay` and the counter
//! find the same episodes.

use super::audit::{DAY, HOUR, MINUTE, expected, recording, stretched};
use super::counter;
use super::three_ways::assert_same_hourly;

fn same_when_stretched(name: &str) {
    assert_same_hourly(name, &stretched(&recording(name), DAY + 5 * MINUTE, 6 * HOUR));
}

#[test]
fn anonymous_scan() {
    same_when_stretched("anonymous-scan.audit.log");
}

#[test]
fn auth_failures() {
    same_when_stretched("auth-failures.audit.log");
}

#[test]
fn benign() {
    same_when_stretched("benign.audit.log");
}

#[test]
fn kube_hunter() {
    same_when_stretched("kube-hunter.audit.log");
}

#[test]
fn limited() {
    same_when_stretched("limited.audit.log");
}

#[test]
fn rbac_enumeration() {
    same_when_stretched("rbac-enumeration.audit.log");
}

#[test]
fn setup() {
    same_when_stretched("setup.audit.log");
}

#[test]
fn xff() {
    same_when_stretched("xff.audit.log");
}

#[test]
fn the_counter_agrees_with_what_was_expected_of_the_recordings() {
    for (name, rules) in expected().as_object().expect("recordings") {
        let mut found = serde_json::Map::new();
        for rule in rules.as_object().expect("rules").keys() {
            found.insert(rule.clone(), serde_json::json!({}));
        }
        for episode in counter::episodes(&recording(name)) {
            found[&episode.rule][&episode.source] = episode.count.into();
        }
        assert_eq!(&serde_json::Value::Object(found), rules, "{name}");
    }
}
