//! What is peculiar to the entries of GKE, from the wire to the finding: long requests, paths with their slash, and
//! impersonation.

use serde_json::{Value, json};

use super::audit::{Asked, DAY, HOUR, MINUTE};
use super::envelope;
use super::world::{Cloud, World};

const RULES: &str = "
title: A shell in a pod
name: shell
logsource: {product: kubernetes, service: audit}
detection: {selection: {objectRef.subresource: exec}, condition: selection}
---
title: Asked whether it is ready
name: ready
logsource: {product: kubernetes, service: audit}
detection: {selection: {requestURI: /readyz}, condition: selection}
---
title: Acts as another user
name: acts-as
logsource: {product: kubernetes, service: audit}
detection: {selection: {impersonatedUser.username: 'system:admin'}, condition: selection}
";

/// Returns an entry `second` seconds after one, with changes.
fn entry(second: i64, n: i64, change: impl FnOnce(&mut Value)) -> String {
    let line = Asked::new(DAY + 20 * MINUTE + second, "8.8.8.8", 200, n).line();
    let mut entry = envelope::entry(&line);
    change(&mut entry);
    entry.to_string()
}

/// Makes an entry one of a shell: the first of its operation, or the last.
fn shell(entry: &mut Value, is_first: bool) {
    let part = if is_first { "first" } else { "last" };
    entry["operation"] = json!({"id": "op-1", "producer": "k8s.io", part: true});
    entry["protoPayload"]["methodName"] = json!("io.k8s.core.v1.pods.exec.create");
    entry["protoPayload"]["resourceName"] = json!("core/v1/namespaces/shop/pods/web-1/exec");
}

#[test]
fn each_is_found_once() {
    let world = World::of(&[Cloud::Gke]);
    world.use_rules(RULES);
    let google = &world.cloud_logging;
    google.ingest(&entry(0, 1, |entry| shell(entry, true)));
    google.ingest(&entry(1, 2, |entry| entry["protoPayload"]["resourceName"] = json!("/readyz")));
    google.ingest(&entry(2, 3, |entry| {
        entry["protoPayload"]["authenticationInfo"] =
            json!({"principalEmail": "eve@example.com", "authoritySelector": "system:admin"});
    }));
    // A principal alone, and an authority alone, act as nobody else.
    google.ingest(&entry(3, 4, |entry| {
        entry["protoPayload"]["authenticationInfo"] = json!({"principalEmail": "system:admin"});
    }));
    google.ingest(&entry(4, 5, |entry| {
        entry["protoPayload"]["authenticationInfo"] = json!({"authoritySelector": "system:admin"});
    }));
    let counts = |world: &World| {
        let mut counts: Vec<(String, i64)> =
            world.reported().into_iter().map(|reported| (reported.episode.rule, reported.episode.count)).collect();
        counts.sort();
        counts.dedup();
        counts
    };
    let expected = ["acts-as", "ready", "shell"].map(|rule| (rule.to_owned(), 1));
    // The shell is still open, and counts when it begins.
    world.once_done(DAY + HOUR);
    assert_eq!(counts(&world), expected);
    // Its end is delivered later, and is the same request: the window is read again.
    google.ingest(&entry(30, 6, |entry| shell(entry, false)));
    world.once_done(DAY + 2 * HOUR);
    assert_eq!(counts(&world), expected);
}
