//! The vectors: which addresses are public, what the shipped rules select of edge events, what a cut message still says.

#![expect(clippy::disallowed_methods, reason = "the vectors are a file; core itself reads none")]

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use serde_json::Value;
use stakeout_core::address::{self, TrustedProxies};
use stakeout_core::decode::decode;
use stakeout_core::observation::Observation;
use stakeout_core::rule::{self, Rules};
use stakeout_core::shipped;
use stakeout_core::source::{LogId, Provider, Source};
use stakeout_core::time::Second;

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/vectors").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()))
}

fn lines(name: &str) -> Vec<Value> {
    read(name).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("{key} is a text"))
}

/// Returns the seed rules, which the vectors were made for.
fn rules() -> Rules {
    let mut seeds = shipped::rule_files();
    seeds.retain(|file| !file.name.contains('/'));
    rule::load(&seeds).unwrap_or_else(|faults| panic!("{faults:#?}"))
}

/// Returns the request that a line stands for, as `replay` sees it.
fn observe(line: &str) -> Option<Observation> {
    let source = Source {
        name: "vectors".to_owned(),
        provider: Provider::File,
        cluster: "local".into(),
        log: LogId("file/vectors".to_owned()),
    };
    let event = decode(line.as_bytes()).expect("an event").event;
    Observation::of_event(&source, &TrustedProxies::default(), event, Second(0), || "line".to_owned())
}

/// Returns what each shipped rule counts `line` for, its threshold left aside.
fn selected(rules: &Rules, line: &str) -> BTreeMap<String, Vec<String>> {
    let observation = observe(line);
    let groups_of = |rule: &rule::Rule| {
        let groups = observation.iter().flat_map(|observation| rule.groups_of(observation));
        groups.map(|group| group.0[0].to_string()).collect()
    };
    rules.rules.iter().map(|rule| (rule.head.name.clone(), groups_of(rule))).collect()
}

#[test]
fn all_59_addresses_are_public_or_not_as_cpython_says() {
    let table: Value = serde_json::from_str(&read("ip_is_global.json")).expect("JSON");
    let rows = table["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), 59);
    let is_public = |row: &Value| address::parse(text(row, "ip")).map(address::is_public);
    let differing: Vec<&Value> = rows.iter().filter(|row| is_public(row) != row["is_global"].as_bool()).collect();
    assert!(differing.is_empty(), "{differing:#?}");
}

/// A 403 from each of the addresses: the rule that wants public ones takes those and no other, each under its source.
#[test]
fn all_59_addresses_reach_the_rules_as_public_or_not() {
    let rules = rules();
    let table: Value = serde_json::from_str(&read("ip_is_global.json")).expect("JSON");
    for row in table["rows"].as_array().expect("rows") {
        let ip = text(row, "ip");
        let line = format!(r#"{{"verb":"get","sourceIPs":["{ip}"],"responseStatus":{{"code":403}}}}"#);
        let selected = &selected(&rules, &line)["kubernetes-api-multiple-403-from-public-ip"];
        assert_eq!(selected.len(), usize::from(row["is_global"] == true), "{ip}: {selected:?}");
        if let [source] = &selected[..] {
            let network = source.strip_suffix("/64").unwrap_or(source);
            let parsed: IpAddr = network.parse().unwrap_or_else(|_| panic!("{source} is an address"));
            assert_eq!(parsed.is_ipv6(), source.ends_with("/64"), "{ip} became {source}");
        }
    }
}

#[test]
fn the_seed_rules_select_of_the_edge_events_what_the_contract_says() {
    let rules = rules();
    let vectors = lines("edge_events.jsonl");
    assert_eq!(vectors.len(), 19);
    for vector in &vectors {
        let expected: BTreeMap<String, Vec<String>> =
            serde_json::from_value(vector["stakeout_match"].clone()).expect("rule to sources");
        assert_eq!(selected(&rules, &vector["event"].to_string()), expected, "{}", text(vector, "name"));
    }
}

#[test]
fn cut_messages_give_what_can_be_recovered() {
    let rules = rules();
    let vectors = lines("truncated_eks.jsonl");
    assert_eq!(vectors.len(), 2);
    for vector in &vectors {
        let name = text(vector, "name");
        let message = vector["message"].as_str().unwrap_or_else(|| text(vector, "properties.log"));
        let decoded = decode(message.as_bytes()).unwrap_or_else(|fault| panic!("{name}: {fault}"));
        assert!(decoded.is_truncated, "{name}");
        let event = &decoded.event;
        for (key, expected) in vector["recoverable"].as_object().expect("fields") {
            let read = match key.as_str() {
                "sourceIPs" => Value::from(event.source_ips.clone()),
                "code" => Value::from(event.response_code),
                "verb" => Value::from(event.verb.clone()),
                "username" => Value::from(event.username.clone()),
                other => panic!("{name}: {other} is not compared"),
            };
            assert_eq!(&read, expected, "{name}: {key}");
        }
        // All four rules count it, as they count the whole event.
        let counted = selected(&rules, message);
        assert!(counted.values().all(|sources| sources == &["8.8.8.8"]), "{name}: {counted:?}");
    }
}
