//! Who was denied and then let in: the second pass over files, and what is said where there is none.

use std::io::Write;

use serde_json::{Value, json};

use super::{findings, replay, replay_stdin, stderr};

const RULES: &str = "
title: Denied
name: denied
logsource: {product: kubernetes, service: audit}
detection: {selection: {responseStatus.code: [401, 403]}, condition: selection}
---
title: Let In
name: let-in
logsource: {product: kubernetes, service: audit}
detection: {selection: {responseStatus.code: [200, 201]}, condition: selection}
stakeout: {follow_up: true}
---
title: Denied In A Burst
name: denied-in-a-burst
correlation:
  {type: event_count, rules: [denied], group-by: [source_ip, cluster], timespan: 10m, condition: {gte: 3}}
---
title: Denied Then Let In
name: denied-then-let-in
level: critical
generate: true
correlation: {type: temporal_ordered, rules: [denied-in-a-burst, let-in], group-by: [source_ip, cluster], timespan: 1h}
---
title: Denied From Many Places
name: denied-from-many-places
correlation: {type: value_count, rules: [denied], timespan: 1h, condition: {field: source_ip, gte: 2}}
";

fn line(number: usize, source: &str, minute: i64, code: i64) -> String {
    let at = format!("2026-11-22T01:{minute:02}:00.{number:06}Z");
    let event = json!({
        "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata", "auditID": "mine", "stage": "ResponseComplete",
        "requestURI": "/api/v1/secrets", "verb": "list", "user": {"username": "system:anonymous"},
        "sourceIPs": [source], "responseStatus": {"code": code},
        "requestReceivedTimestamp": at, "stageTimestamp": at,
    });
    format!("{event}\n")
}

/// One sender is let in before it is denied three times, and after; another is let in only; a third is denied only.
fn log() -> String {
    let requests = [
        ("8.8.8.8", 0, 200),
        ("8.8.8.8", 1, 403),
        ("8.8.4.4", 1, 200),
        ("8.8.8.8", 2, 401),
        ("1.1.1.1", 2, 403),
        ("8.8.8.8", 3, 403),
        ("8.8.8.8", 9, 200),
        ("8.8.8.8", 10, 201),
    ];
    let lines =
        requests.iter().enumerate().map(|(number, (source, minute, code))| line(number, source, *minute, *code));
    lines.collect()
}

fn named<'a>(findings: &'a [Value], rule: &str) -> Vec<&'a Value> {
    findings.iter().filter(|finding| finding["finding_info"]["analytic"]["name"] == rule).collect()
}

#[test]
fn an_allowed_source_is_found_in_a_second_pass_with_its_refusals() {
    let dir = tempfile::tempdir().expect("a folder");
    let rules = dir.path().join("rules.yml");
    std::fs::write(&rules, RULES).expect("written");
    let mut file = std::fs::File::create(dir.path().join("audit.log")).expect("a file");
    file.write_all(log().as_bytes()).expect("written");
    let rules = rules.to_str().expect("text");
    let path = dir.path().join("audit.log");
    let all = findings(&replay(&["--rules", rules, "-o", "json", path.to_str().expect("text")]));

    let burst = named(&all, "denied-in-a-burst");
    let let_in = named(&all, "denied-then-let-in");
    assert_eq!((burst.len(), let_in.len()), (1, 1), "{all:#?}");
    assert_eq!(let_in[0]["unmapped"]["source_ip"], "8.8.8.8");
    // Three that were denied, and the two after them: the one before does not count.
    assert_eq!((&burst[0]["count"], &let_in[0]["count"]), (&json!(3), &json!(5)));
    let related = json!([{"uid": burst[0]["finding_info"]["uid"], "type": "Finding"}]);
    assert_eq!(let_in[0]["finding_info"]["related_events"], related);

    let many = named(&all, "denied-from-many-places");
    let addresses: Vec<&Value> = many[0]["evidences"].as_array().expect("a list").iter().collect();
    let addresses: Vec<&Value> = addresses.into_iter().map(|evidence| &evidence["src_endpoint"]["ip"]).collect();
    assert_eq!(addresses, [&json!("1.1.1.1"), &json!("8.8.8.8")]);
    assert_eq!(many[0]["unmapped"]["sources_total"], 2);
    let distinct = json!({"field": "source_ip", "number": 2, "are_more": false});
    assert_eq!(many[0]["unmapped"]["distinct_values"], distinct);
}

#[test]
fn standard_input_is_read_twice_as_a_file_is() {
    let dir = tempfile::tempdir().expect("a folder");
    let rules = dir.path().join("rules.yml");
    std::fs::write(&rules, RULES).expect("written");
    let output = replay_stdin(&["--rules", rules.to_str().expect("text"), "-o", "json", "-"], log().as_bytes());
    let all = findings(&output);
    let path = dir.path().join("audit.log");
    std::fs::write(&path, log()).expect("written");
    let of_file = replay(&["--rules", rules.to_str().expect("text"), "-o", "json", path.to_str().expect("text")]);
    assert!(!named(&all, "denied-then-let-in").is_empty(), "{}", stderr(&output));
    assert_eq!(all, findings(&of_file));
}
