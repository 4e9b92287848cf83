//! Every field of the table, in every place that reads it: a rule's file, the kind check, the matcher, the prefilter and
//! the explanation.

use std::collections::BTreeMap;

use super::*;
use crate::address::TrustedProxies;
use crate::decode::{EventFilter, borrowed_event, decode};
use crate::event::CutFields;
use crate::field::{FieldKind, FieldValue};
use crate::source::{LogId, Provider, Source};
use crate::time::Second;

const PROXY: &str = "10.0.0.50";
/// Events that together give every field a value, and every boolean field both of them.
const EVENTS: [&str; 5] = [
    r#"{"level":"Request","auditID":"a1","stage":"ResponseComplete","requestURI":"/api/v1/namespaces/shop/pods/p/log?x=1",
        "verb":"get","user":{"username":"system:serviceaccount:shop:web","groups":["g1","g2"]},
        "impersonatedUser":{"username":"admin"},"sourceIPs":["1.1.1.1","8.8.8.8","10.0.0.50"],"userAgent":"curl/8",
        "objectRef":{"resource":"pods","subresource":"log","namespace":"other","name":"p","apiGroup":"apps",
        "apiVersion":"v1"},"responseStatus":{"code":403,"reason":"Forbidden","message":"no"},
        "annotations":{"authorization.k8s.io/decision":"forbid"}}"#,
    r#"{"stage":"ResponseComplete","verb":"list","requestURI":"/healthz","user":{"username":"system:anonymous"},
        "sourceIPs":["10.0.0.50"],"responseStatus":{"code":200}}"#,
    r#"{"stage":"ResponseComplete","verb":"list","requestURI":"/healthz%2f","user":{"username":"bob",
        "groups":["system:unauthenticated"]},"sourceIPs":["8.8.8.8"],"responseStatus":{"code":200}}"#,
    r#"{"stage":"ResponseStarted","verb":"list","requestURI":"/api","user":{},"sourceIPs":["10.2.0.9"],
        "responseStatus":{"code":401,"message":"Unauthorized: attempted: bearer"}}"#,
    r#"{"stage":"ResponseComplete","verb":"list","user":{},"sourceIPs":["2a00:1450:1:2::9"],"responseStatus":{"code":403}}"#,
];

fn trusted() -> TrustedProxies {
    TrustedProxies::new(vec![format!("{PROXY}/32").parse().expect("a network")])
}

fn observation(event: &str) -> Observation {
    let source = Source {
        name: "prod".to_owned(),
        provider: Provider::File,
        cluster: "prod".into(),
        log: LogId("file/prod".to_owned()),
    };
    let mut event = decode(event.as_bytes()).expect("an event").event;
    event.principal_redacted = event.username.is_none() && event.response_code == Some(403);
    Observation::of_event(&source, &trusted(), event, Second(0), || "1".to_owned()).expect("a request")
}

fn rules(field: &str, value: &str) -> Rules {
    let text = format!(
        "{{title: T, name: t, logsource: {{product: kubernetes}}, detection: {{s: {{{field}: {value}}}, condition: s}}}}"
    );
    load(&[RuleFile { origin: Origin::Own, name: "t.yml".to_owned(), text }])
        .unwrap_or_else(|errors| panic!("{field}: {errors:?}"))
}

/// Returns a value as a rule would name it.
fn spelled(value: &FieldValue<'_>) -> String {
    match value {
        FieldValue::Missing => "null".to_owned(),
        FieldValue::Text(text) => format!("'{text}'"),
        FieldValue::Owned(text) => format!("'{text}'"),
        FieldValue::Texts(texts) => format!("'{}'", texts[0]),
        FieldValue::Number(number) => number.to_string(),
        FieldValue::Bool(value) => value.to_string(),
    }
}

/// Returns the values that `field` has in [`EVENTS`], with the events.
fn values(field: &Field) -> Vec<(&'static str, Observation, String)> {
    let values = EVENTS.iter().map(|event| {
        let observation = observation(event);
        let value = spelled(&field.value_of(&observation, observation.client));
        (*event, observation, value)
    });
    values.collect()
}

fn fields() -> impl Iterator<Item = Field> {
    Field::names().chain(["annotations.authorization.k8s.io/decision"]).map(|name| name.parse().expect("a field"))
}

#[test]
fn every_field_has_values_of_its_kind() {
    for field in fields() {
        assert_eq!(field.name().parse(), Ok(field.clone()));
        let mut found = BTreeMap::new();
        for event in EVENTS {
            let observation = observation(event);
            let value = field.value_of(&observation, observation.client);
            let is_of_kind = match &value {
                FieldValue::Missing => true,
                FieldValue::Text(_) | FieldValue::Owned(_) => {
                    matches!(field.kind(), FieldKind::Text | FieldKind::Address)
                }
                FieldValue::Texts(_) => field.is_array(),
                FieldValue::Number(_) => field.is_number(),
                FieldValue::Bool(_) => field.is_bool(),
            };
            assert!(is_of_kind, "{field}: {value:?}");
            found.insert(spelled(&value), ());
        }
        found.remove("null");
        assert!(found.len() > usize::from(field.is_bool()), "{field} only has {found:?}");
    }
}

/// The event that has a value always matches the rule that names it, passes the rule's prefilter and is explained so.
#[test]
fn every_value_of_a_field_matches_the_rule_that_names_it() {
    for field in fields() {
        let values = values(&field);
        for (_, _, value) in &values {
            let rules = rules(&field.name(), value);
            assert_eq!(rules.warnings, [], "{field}: {value}");
            let filter = EventFilter::new(&rules.prefilter());
            for (event, observation, other) in &values {
                let is_match = !rules.rules[0].groups_of(observation).is_empty();
                // A list can hold the value behind its first one.
                let is_expected = is_match == (value == other) || field.is_array() && is_match;
                assert!(is_expected, "{field}: {value} and {other}");
                let event = borrowed_event(event.as_bytes()).expect("an event");
                assert!(!is_match || filter.may_match(&event), "{field}: {value} and {other}");
                let explanation = rules.explain(&rules.rules[0], observation, &trusted());
                assert_eq!(explanation.is_match, is_match, "{explanation:#?}");
                assert_eq!(explained_value(&explanation).is_none(), other == "null", "{explanation:#?}");
            }
        }
    }
}

fn explained_value(explanation: &Explanation) -> Option<&String> {
    let mut step = &explanation.clients[0].rules[0].selections[0].step;
    while let Step::All { parts } = step {
        step = &parts[0].step;
    }
    let Step::Field { value, .. } = step else { panic!("{step:#?}") };
    value.as_ref()
}

#[test]
fn a_value_of_another_kind_is_reported_for_every_field() {
    for field in fields() {
        let rules = rules(&field.name(), "yes");
        let is_kind_of_words = !field.is_bool() && !field.is_number();
        assert_eq!(rules.warnings.is_empty(), is_kind_of_words, "{field}: {:?}", rules.warnings);
        assert_eq!(rules.rules[0].never_matches(), !is_kind_of_words, "{field}");
    }
}

#[test]
fn every_boolean_field_says_why() {
    for field in fields().filter(Field::is_bool) {
        for (_, observation, value) in values(&field) {
            assert!(field.reason(&observation, observation.client).is_some(), "{field}: {value}");
        }
    }
}

#[test]
fn a_rule_that_reads_a_field_does_not_judge_an_event_in_which_it_was_cut() {
    let cut = |request_uri, user_agent| {
        let event = r#"{"kind":"Event","auditID":"a","verb":"list","requestURI":"/api/v1/pods","userAgent":"curl","sourceIPs":["8.8.8.8"],"responseStatus":{"code":403}}"#;
        let mut observation = observation(event);
        observation.event.cut_fields = CutFields { request_uri, user_agent };
        observation
    };
    for (field, value, reads) in [
        ("userAgent", "curl", CutFields { request_uri: false, user_agent: true }),
        ("requestURI", "/api/v1/pods", CutFields { request_uri: true, user_agent: false }),
        ("path", "/api/v1/pods", CutFields { request_uri: true, user_agent: false }),
        ("verb|fieldref", "userAgent", CutFields { request_uri: false, user_agent: true }),
        ("responseStatus.code", "403", CutFields::default()),
    ] {
        let rules = rules(field, value);
        assert_eq!(rules.rules[0].cut_by(), reads, "{field}");
        for (request_uri, user_agent) in [(false, false), (true, false), (false, true), (true, true)] {
            let observation = cut(request_uri, user_agent);
            let is_blind = observation.event.cut_fields.meets(reads);
            assert_eq!(rules.blinded_by(observation.event.cut_fields).is_empty(), !is_blind, "{field}");
            let is_judged = !is_blind && field != "verb|fieldref";
            assert_eq!(rules.rules[0].groups_of(&observation).len(), usize::from(is_judged), "{field}");
        }
    }
}
