//! Every object is valid OCSF 1.3.0 for any input, and safe to show.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use jiff::Timestamp;
use jsonschema::Validator;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};
use stakeout_core::address::SourceIp;
use stakeout_core::delivery::{Activity, Subject};
use stakeout_core::finding::FindingKey;
use stakeout_core::group::GroupKey;
use stakeout_core::incident::{IncidentOptions, incidents};
use stakeout_core::rule::Level;
use stakeout_core::text::is_invisible;
use stakeout_notify::{Digest, Message, MessageBody, ocsf};

use crate::strategy;

static SCHEMA: LazyLock<Validator> = LazyLock::new(|| schema("detection_finding"));
static INCIDENT_SCHEMA: LazyLock<Validator> = LazyLock::new(|| schema("incident_finding"));

fn schema(class: &str) -> Validator {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../tests/data/ocsf/{class}-1.3.0.json"));
    let text = std::fs::read_to_string(file).expect("the schema is in tests/data");
    jsonschema::validator_for(&serde_json::from_str(&text).expect("JSON")).expect("a schema")
}

fn now() -> Timestamp {
    Timestamp::from_second(1_795_312_800).expect("a time")
}

/// Asserts that `object` is a valid finding, that its line shows nothing invisible, and that the line reads back as the object.
pub(crate) fn assert_sound(object: &Value) {
    assert_sound_in(&SCHEMA, object);
}

fn assert_sound_in(schema: &Validator, object: &Value) {
    let errors: Vec<String> =
        schema.iter_errors(object).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert_eq!(errors, Vec::<String>::new());
    let line = ocsf::to_line(object);
    assert!(!line.contains(is_invisible), "{line:?}");
    assert_eq!(&serde_json::from_str::<Value>(&line).expect("JSON"), object);
}

/// Asserts the same of an incident.
pub(crate) fn assert_incident(object: &Value) {
    assert_sound_in(&INCIDENT_SCHEMA, object);
}

#[test]
fn the_schema_refuses_what_ocsf_does_not_know() {
    let finding = strategy::plain_finding(1, Level::Low, 7);
    let good = ocsf::finding(&finding, Activity::Create, None, now());
    assert_sound(&good);
    let mutations: [fn(&mut Value); 4] = [
        |object| object["severity_id"] = json!(7),
        |object| object["source_ip"] = json!("198.51.100.7"),
        |object| object["evidences"][0]["src_endpoint"]["ip"] = json!("198.51.100.7/32x"),
        |object| object["finding_info"]["uid"] = Value::Null,
    ];
    for mutate in mutations {
        let mut object = good.clone();
        mutate(&mut object);
        assert!(!SCHEMA.is_valid(&object), "{object}");
    }
}

#[test]
fn the_attributes_that_tools_read_are_there() {
    let finding = strategy::plain_finding(0xabc, Level::Low, 123);
    let object = ocsf::finding(&finding, Activity::Update, Some("17-x-2"), now());
    let paths = [
        "/class_uid",
        "/type_uid",
        "/activity_id",
        "/status_id",
        "/severity_id",
        "/count",
        "/risk_score",
        "/metadata/uid",
        "/finding_info/uid",
        "/finding_info/analytic/name",
        "/finding_info/first_seen_time",
        "/finding_info/last_seen_time",
        "/finding_info/attacks/0/technique/uid",
        "/evidences/0/src_endpoint/ip",
        "/resources/0/name",
        "/unmapped/source_ip",
    ];
    let found: Vec<Value> = paths.iter().map(|path| object.pointer(path).cloned().unwrap_or(Value::Null)).collect();
    let expected = json!([
        2004,
        200_402,
        2,
        2,
        2,
        123,
        20,
        "17-x-2",
        "00000000000000000000000000000abc",
        "kubernetes-scanning-by-unauthenticated-ip",
        1_795_309_252_000i64,
        1_795_311_010_000i64,
        "T1046",
        "198.51.100.7",
        "dev",
        "198.51.100.7"
    ]);
    assert_eq!(Value::Array(found), expected);
    assert_eq!(
        object["message"],
        "low kubernetes-scanning-by-unauthenticated-ip 198.51.100.7 123 requests 2026-11-22T01:00:52Z..2026-11-22T01:30:10Z dev,prod"
    );
}

#[test]
fn the_attributes_of_an_incident_that_tools_read_are_there() {
    let findings = [(0xabc, Level::Low, 123), (0xdef, Level::High, 7)].map(|(key, level, count)| {
        let mut finding = strategy::plain_finding(key, level, count);
        let rule = Arc::make_mut(&mut finding.rule);
        rule.name = format!("rule-{level}");
        finding
    });
    let incident = &incidents(&findings, &IncidentOptions::default())[0];
    let object = ocsf::incident(incident, Activity::Update, Some("17-x-2"), now());
    assert_sound_in(&INCIDENT_SCHEMA, &object);
    let paths = [
        "/class_uid",
        "/type_uid",
        "/activity_id",
        "/severity_id",
        "/count",
        "/start_time",
        "/end_time",
        "/message",
        "/metadata/uid",
        "/attacks/0/technique/uid",
        "/is_suspected_breach",
        "/finding_info_list/0/uid",
        "/finding_info_list/1/analytic/name",
    ];
    let found: Vec<Value> = paths.iter().map(|path| object.pointer(path).cloned().unwrap_or(Value::Null)).collect();
    let title = "198.51.100.7 matched Kubernetes scanning by an unauthenticated address in 2 clusters";
    let expected = json!([
        2005,
        200_502,
        2,
        4,
        123,
        1_795_309_252_000i64,
        1_795_311_010_000i64,
        title,
        "17-x-2",
        "T1046",
        false,
        "00000000000000000000000000000abc",
        "rule-high"
    ]);
    assert_eq!(Value::Array(found), expected);
    let mut details = object["unmapped"]["incident"].clone();
    let steps = details["steps"].take();
    assert_eq!(
        details,
        json!({
            "uid": incident.key.to_string(),
            "actor": {"kind": "address", "name": "198.51.100.7"},
            "sources": ["198.51.100.7"],
            "sources_total": 1,
            "sources_are_more": false,
            "findings_total": 2,
            "clusters": ["dev", "prod"],
            "risk_score": 40,
            "tactics": ["discovery"],
            "rules": ["rule-high", "rule-low"],
            "steps": null,
            "related": [],
        })
    );
    assert_eq!(
        steps[0],
        json!({
            "phrase": "matched Kubernetes scanning by an unauthenticated address in 2 clusters",
            "rule": "rule-high",
            "level": "high",
            "let_in": false,
            "start_time": 1_795_309_252_000i64,
            "end_time": 1_795_311_010_000i64,
            "count": 7,
            "count_by_code": {"401": 0, "403": 7},
            "findings": 1,
        })
    );
}

/// A finding about many addresses lists them: `replay` prints all that are kept, a message fewer.
#[test]
fn a_finding_of_many_sources_lists_them_lowest_first() {
    let mut finding = strategy::plain_finding(2, Level::High, 9_000);
    finding.group = GroupKey(Vec::new());
    Arc::make_mut(&mut finding.rule).group_by = Vec::new();
    for host in (0..5_000_u32).rev() {
        finding.sources.add(SourceIp::V4((0x0a00_0000 + host).into()));
    }
    finding.sources.add(SourceIp::V6Net(1));
    let addresses = |object: &Value| object["evidences"].as_array().map_or(0, Vec::len);
    let all = ocsf::finding(&finding, Activity::Create, None, now());
    assert_sound(&all);
    assert_eq!((addresses(&all), &all["evidences"][0]["src_endpoint"]["ip"]), (4_096, &json!("10.0.0.0")));
    assert_eq!(
        (&all["unmapped"]["sources_total"], &all["unmapped"]["sources_are_more"]),
        (&json!(4_096), &json!(true))
    );
    let line = "high kubernetes-scanning-by-unauthenticated-ip all requests 9000 requests from at least 4096 sources ";
    assert!(all["message"].as_str().is_some_and(|message| message.starts_with(line)), "{}", all["message"]);
    let body = MessageBody::Finding { finding: &finding, activity: Activity::Create };
    let mut sent = ocsf::message(&Message { id: "9-x".to_owned(), body }, now());
    assert_eq!(addresses(&sent), ocsf::SOURCES_MAX);
    ocsf::shrink_to(&mut sent, 131_072);
    assert_sound(&sent);
}

#[test]
fn a_message_about_findings_names_the_command_that_shows_them() {
    let finding = strategy::plain_finding(0xabc, Level::Low, 7);
    let details = |body| ocsf::message(&Message { id: "9-x".to_owned(), body }, now())["unmapped"]["details"].clone();
    let digest = Digest { findings: vec![(&finding, Activity::Create)], ..Digest::default() };
    assert_eq!(details(MessageBody::Digest(digest)), "stakeout findings list");
    assert_eq!(
        details(MessageBody::Finding { finding: &finding, activity: Activity::Create }),
        "stakeout findings show 00000000000000000000000000000abc"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn findings_are_valid_and_fit_in_sns(finding in strategy::finding(), activity in strategy::activity()) {
        let mut object = ocsf::finding(&finding, activity, Some("1-x-1"), now());
        assert_sound(&object);
        let fixed = [object["finding_info"]["uid"].clone(), object["count"].clone(), object["evidences"][0].clone()];
        ocsf::shrink_to(&mut object, 131_072);
        prop_assert!(ocsf::to_line(&object).len() <= 131_072);
        assert_sound(&object);
        prop_assert_eq!(fixed, [object["finding_info"]["uid"].clone(), object["count"].clone(), object["evidences"][0].clone()]);
    }

    /// Whatever an attacker wrote, an incident is valid, and its text shows nothing invisible and keeps to its lines.
    #[test]
    fn incidents_are_valid(findings in vec(strategy::finding(), 1..5), activity in strategy::activity()) {
        for incident in incidents(&findings, &IncidentOptions::default()) {
            assert_sound_in(&INCIDENT_SCHEMA, &ocsf::incident(&incident, activity, Some("1-x-1"), now()));
            let story = stakeout_notify::incident::story(&incident);
            let lines: Vec<&str> = story.lines().collect();
            prop_assert_eq!(lines.len(), 1 + incident.steps.len());
            prop_assert!(lines.iter().all(|line| !line.contains(is_invisible)), "{}", story);
            prop_assert!(lines.iter().skip(1).all(|line| line.starts_with("    ")), "{}", story);
        }
    }

    #[test]
    fn notices_are_valid(notice in strategy::notice()) {
        assert_sound(&ocsf::notice(&notice, Some("1-notice-0"), now()));
        assert_sound(&ocsf::notice(&notice, None, now()));
    }

    #[test]
    fn finding_lines_show_no_invisible_characters(finding in strategy::finding()) {
        let line = stakeout_notify::text::finding_line(&finding);
        prop_assert!(!line.contains(is_invisible), "{:?}", line);
        prop_assert!(line.chars().count() <= stakeout_notify::text::LINE_CHARS_MAX);
    }

    #[test]
    fn other_messages_are_valid(findings in vec(strategy::finding(), 0..4), notice in strategy::notice(), name in strategy::text(64)) {
        let shown = findings.iter().map(|finding| (finding, Activity::Create)).collect();
        let bodies = [
            MessageBody::Digest(Digest { findings: shown, notices: vec![&notice], forgotten: vec![Subject::Finding(FindingKey(3))], ..Digest::default() }),
            MessageBody::Forgotten([1, 2].map(|key| Subject::Finding(FindingKey(key))).to_vec()),
            MessageBody::Test { destination: &name },
            MessageBody::Notice(&notice),
        ];
        for body in bodies {
            assert_sound(&ocsf::message(&Message { id: "9-x".to_owned(), body }, now()));
        }
    }
}
