//! The promise of pushdown: an event that a prefilter accepts is accepted by the pattern that is made of it, and this
//! as the strict fake reads patterns and as core reads events.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use stakeout_cloudwatch::pushdown::filter_pattern;
use stakeout_core::address::SourceIp;
use stakeout_core::decode::decode;
use stakeout_core::event::AuditEvent;
use stakeout_core::field::{Field, FieldValue};
use stakeout_core::observation::Observation;
use stakeout_core::prefilter::{Literal, Prefilter};
use stakeout_core::source::Provider;
use stakeout_core::time::Second;
use stakeout_fakes::FilterPattern;

const FIELDS: [&str; 9] = [
    "user.username",
    "verb",
    "responseStatus.code",
    "userAgent",
    "objectRef.resource",
    "requestURI",
    "sourceIPs",
    "user.groups",
    // A field that no pattern can say; the rest of its prefilter must stay a superset.
    "source_ip_public",
];

/// Texts that have a meaning in patterns, in JSON or in log viewers.
const HOSTILE: &[&str] = &[
    "system:anonymous",
    "list",
    "403",
    "0403",
    "4.03e2",
    "true",
    "false",
    "null",
    "*",
    "sys*",
    "%40[13]%",
    "$.verb",
    "\"",
    "\\",
    "\\\"",
    "\\\\\" || ($.verb = \"*\") } {",
    "\" } { $.verb = \"x",
    "a && b || c",
    "(",
    " list ",
    "/api/v1/pods?limit=500&continue=%2A",
    "jürgen",
    "\u{202e}\u{0}\n",
    "[Truncated...]",
];

const CASES: u32 = 8_192;

#[test]
fn an_event_that_fits_a_prefilter_fits_its_pattern() {
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(CASES) });
    let cases = prefilter().prop_flat_map(|prefilter| {
        let choices = prop::collection::vec(any::<u8>(), 64);
        (Just(prefilter), choices, noise())
    });
    let (accepted, patterns) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
    let outcome = runner.run(&cases, |(prefilter, choices, noise)| {
        let message = message(&prefilter, &choices, &noise);
        let observation = observation(&message);
        let fits = accepts(&prefilter, &observation);
        accepted.set(accepted.get() + u32::from(fits));
        let Some(text) = filter_pattern(&prefilter) else { return Ok(()) };
        patterns.set(patterns.get() + u32::from(fits));
        let pattern = FilterPattern::parse(&text).map_err(|error| TestCaseError::fail(format!("{text}: {error}")))?;
        prop_assert!(!fits || pattern.fits(&message), "{text} refuses {message}");
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
    // A generator whose events never fit would prove nothing.
    assert!(accepted.get() > CASES / 3, "only {} events fitted", accepted.get());
    assert!(patterns.get() > CASES / 10, "only {} of them met a pattern", patterns.get());
}

fn literal() -> impl Strategy<Value = Literal> {
    let text = prop_oneof![
        4 => prop::sample::select(HOSTILE).prop_map(str::to_owned),
        2 => prop::collection::vec(prop::sample::select(HOSTILE), 2..4).prop_map(|parts| parts.concat()),
        1 => "[ -~]{1,12}",
        1 => "\\PC{1,8}",
        1 => "/[a-z0-9/]{150,400}",
    ];
    prop_oneof![
        1 => prop_oneof![Just(403), Just(401), Just(0), Just(-1), any::<i64>()].prop_map(Literal::Number),
        3 => (text, prop::bool::weighted(0.9)).prop_map(|(text, cased)| Literal::Text { text, cased }),
    ]
}

fn prefilter() -> impl Strategy<Value = Prefilter> {
    // The first eight, which patterns can say, come nine times as often.
    let index = prop_oneof![9 => 0..8_usize, 1 => 8..FIELDS.len()];
    let field = index.prop_map(|index| Field::Named(FIELDS[index]));
    let leaf = prop_oneof![
        3 => (field, literal()).prop_map(|(field, literal)| Prefilter::Is { field, literal }),
        1 => prop::collection::vec(address(), 1..90).prop_map(Prefilter::Or),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..5).prop_map(Prefilter::Or),
            prop::collection::vec(inner, 1..5).prop_map(Prefilter::And),
        ]
    })
}

/// Sources as follow-ups ask for them, and networks of any size.
fn address() -> impl Strategy<Value = Prefilter> {
    let group = || prop_oneof![Just(0_u16), 1..3_u16, any::<u16>()];
    let v6 = prop::array::uniform8(group()).prop_map(IpAddr::from);
    let address = prop_oneof![any::<[u8; 4]>().prop_map(IpAddr::from), v6];
    (address, prop::option::of(0..=32_u8)).prop_map(|(address, prefix_len)| match prefix_len {
        None => Prefilter::from_source(SourceIp::of(address)),
        Some(prefix_len) => {
            let network = IpNet::new(address, prefix_len * if address.is_ipv6() { 4 } else { 1 });
            let literal = Literal::Network(network.expect("short enough"));
            Prefilter::Is { field: Field::Named("sourceIPs"), literal }
        }
    })
}

/// Values for the fields that the prefilter leaves open.
fn noise() -> impl Strategy<Value = Vec<Option<String>>> {
    prop::collection::vec(prop::option::of(prop::sample::select(HOSTILE).prop_map(str::to_owned)), FIELDS.len())
}

/// Returns the line of an event that was made to fit, each value in one of the ways that a line may spell it.
fn message(prefilter: &Prefilter, choices: &[u8], noise: &[Option<String>]) -> String {
    let mut event = json!({
        "kind": "Event", "stage": "ResponseComplete", "user": {"groups": ["system:authenticated"]},
        "objectRef": {"namespace": "default"}, "responseStatus": {"metadata": {}},
    });
    for (field, value) in FIELDS.iter().zip(noise) {
        if let Some(value) = value {
            insert(&mut event, field, json!(value));
        }
    }
    fit(prefilter, &mut event, &mut choices.iter().copied().cycle());
    event.to_string()
}

/// Puts into an event what a prefilter asks for; of alternatives, one.
fn fit(prefilter: &Prefilter, event: &mut Value, choices: &mut impl Iterator<Item = u8>) {
    let choice = usize::from(choices.next().unwrap_or_default());
    match prefilter {
        Prefilter::Any => {}
        Prefilter::Or(parts) => fit(&parts[choice % parts.len()], event, choices),
        Prefilter::And(parts) => parts.iter().for_each(|part| fit(part, event, choices)),
        Prefilter::Is { field, literal } => {
            let value = match literal {
                Literal::Number(number) if choice.is_multiple_of(2) => json!(number),
                Literal::Number(number) => json!(number.to_string()),
                Literal::Text { text, cased: false } if choice.is_multiple_of(2) => json!(text.to_uppercase()),
                Literal::Text { text, .. } => match text.parse::<i64>() {
                    Ok(number) if choice.is_multiple_of(2) => json!(number),
                    _ => json!(text),
                },
                Literal::Network(network) => json!(inside(network, choice)),
            };
            insert(event, &field.name(), value);
        }
    }
}

/// Returns an address of a network.
fn inside(network: &IpNet, choice: usize) -> String {
    let low = u8::try_from(choice % 256).expect("a byte");
    let bits = match network {
        IpNet::V4(network) => {
            return (u32::from(network.network()) | (u32::from(low) & u32::from(network.hostmask())))
                .to_be_bytes()
                .map(|byte| byte.to_string())
                .join(".");
        }
        IpNet::V6(network) => {
            u128::from(network.network()) | ((u128::from(low) << (choice % 3 * 60)) & u128::from(network.hostmask()))
        }
    };
    Ipv6Addr::from(bits).to_string()
}

/// Puts a value at a field. The API server writes a number into the code only, lists into groups, and no derived field.
fn insert(event: &mut Value, field: &str, value: Value) {
    if field == "source_ip_public" {
        return;
    }
    let value = match (field, value) {
        ("responseStatus.code", value) => value,
        ("sourceIPs", value) => json!(["198.51.100.7", text_of(&value), "10.0.0.1"]),
        ("user.groups", value) => json!(["system:authenticated", text_of(&value)]),
        (_, value) => json!(text_of(&value)),
    };
    match field.split_once('.') {
        Some((outer, inner)) => event[outer][inner] = value,
        None => event[field] = value,
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn observation(message: &str) -> Observation {
    // A line without a verb may be no event to core; then nothing can fit it.
    let event = decode(message.as_bytes()).map_or_else(|_| AuditEvent::default(), |decoded| decoded.event);
    Observation {
        record_id: Some("1".to_owned()),
        event,
        provider: Provider::Cloudwatch,
        cluster: "prod".into(),
        client: None,
        is_client_proxy: false,
        n: 1,
        first: Second(0),
        last: Second(0),
    }
}

/// Returns how core judges a prefilter, field by field.
fn accepts(prefilter: &Prefilter, observation: &Observation) -> bool {
    match prefilter {
        Prefilter::Any => true,
        Prefilter::Or(parts) => parts.iter().any(|part| accepts(part, observation)),
        Prefilter::And(parts) => parts.iter().all(|part| accepts(part, observation)),
        Prefilter::Is { field, literal } => match field.value_of(observation, None) {
            FieldValue::Missing => false,
            FieldValue::Text(text) => equals(literal, text),
            FieldValue::Owned(text) => equals(literal, &text),
            FieldValue::Texts(texts) => texts.iter().any(|text| equals(literal, text)),
            FieldValue::Number(number) => equals(literal, &number.to_string()),
            FieldValue::Bool(fact) => equals(literal, &fact.to_string()),
        },
    }
}

fn equals(literal: &Literal, held: &str) -> bool {
    match literal {
        Literal::Number(number) => held == number.to_string(),
        Literal::Text { text, cased: true } => held == text,
        Literal::Text { text, cased: false } => held.to_lowercase() == text.to_lowercase(),
        Literal::Network(_) => literal.is(held),
    }
}
