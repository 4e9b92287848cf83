//! Our reading of Sigma against another implementation: `rsigma-eval` shares no code with us.
//!
//! Random rules meet random events, and both must say the same of each pair. Where we differ on purpose, the list in
//! `differences.yml` says why, with an example that must go on differing. How many pairs are tried, and from which
//! seed on, `STAKEOUT_TEST_PAIRS` and `STAKEOUT_TEST_SEED` say.

mod differences;
mod explained;
mod grammar;

use grammar::Dice;
use rsigma_eval::{Engine, JsonEvent};
use serde_json::{Value as Json, json};
use stakeout_core::address::TrustedProxies;
use stakeout_core::decode::{EventFilter, borrowed_event, decode};
use stakeout_core::field::FieldValue;
use stakeout_core::observation::Observation;
use stakeout_core::prefilter::{Literal, Prefilter};
use stakeout_core::rule::{self, Expression, Origin, RuleFile};
use stakeout_core::source::{LogId, Provider, Source};
use stakeout_core::time::Second;

/// Events that each rule meets.
const EVENTS_A_RULE: u64 = 20;

#[expect(clippy::disallowed_methods, reason = "the caller chooses how long the test runs")]
fn number_of(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// Returns what our reader makes of a rule.
fn ours(rule: &str) -> Expression {
    let file = RuleFile { origin: Origin::Own, name: "rule.yml".to_owned(), text: rule.to_owned() };
    let rules = rule::load(&[file]).unwrap_or_else(|faults| panic!("{rule}\n{faults:#?}"));
    rules.rules[0].selections[0].clone()
}

/// Returns what the oracle makes of a rule.
fn theirs(rule: &str) -> Engine {
    let collection = rsigma_parser::parse_sigma_yaml(rule).unwrap_or_else(|fault| panic!("{rule}\n{fault}"));
    assert!(collection.errors.is_empty(), "{rule}\n{:?}", collection.errors);
    let mut engine = Engine::new();
    engine.add_collection(&collection).unwrap_or_else(|fault| panic!("{rule}\n{fault}"));
    engine
}

/// Returns the request of an audit event.
fn observation(event: &Json) -> Observation {
    let source = Source {
        name: "prod".to_owned(),
        provider: Provider::File,
        cluster: "prod".into(),
        log: LogId("file/prod".to_owned()),
    };
    let decoded = decode(event.to_string().as_bytes()).unwrap_or_else(|fault| panic!("{event}: {fault}"));
    Observation::of_event(&source, &TrustedProxies::default(), decoded.event, Second(0), || "record".to_owned())
        .expect("a request")
}

/// Returns the event with what we derive from it beside what was audited, so that the oracle has the same fields.
fn with_derived_fields(event: &Json, observation: &Observation) -> Json {
    let mut event = event.clone();
    let all = event.as_object_mut().expect("an object");
    if let Some(client) = observation.client {
        all.insert("source_ip".to_owned(), json!(client.to_string()));
    }
    all.insert("unauthenticated".to_owned(), json!(observation.event.is_unauthenticated()));
    if let Some(failure) = observation.event.auth_failure() {
        all.insert("auth_failure".to_owned(), json!(failure));
    }
    for (key, value) in &observation.event.annotations {
        all.insert(format!("annotations.{key}"), json!(value));
    }
    event
}

/// Returns what we and what the oracle say of a pair.
fn verdicts(expression: &Expression, engine: &Engine, event: &Json) -> (bool, bool) {
    let observation = observation(event);
    let seen = with_derived_fields(event, &observation);
    let ours = expression.holds(&observation, observation.client);
    (ours, !engine.evaluate(&JsonEvent::borrow(&seen)).is_empty())
}

/// Returns whether a provider that says a prefilter exactly would return the event.
fn passes(prefilter: &Prefilter, observation: &Observation) -> bool {
    match prefilter {
        Prefilter::Any => true,
        Prefilter::And(parts) => parts.iter().all(|part| passes(part, observation)),
        Prefilter::Or(parts) => parts.iter().any(|part| passes(part, observation)),
        Prefilter::Is { field, literal } => {
            assert!(field.is_audited(), "{field} is in no record");
            let equals = |text: &str| match literal {
                Literal::Number(number) => text == number.to_string(),
                Literal::Text { text: whole, cased: true } => text == whole,
                Literal::Text { text: whole, cased: false } => text.to_lowercase() == whole.to_lowercase(),
                Literal::Network(_) => literal.is(text),
            };
            match field.value_of(observation, observation.client) {
                FieldValue::Text(text) => equals(text),
                FieldValue::Texts(texts) => texts.iter().any(|text| equals(text)),
                FieldValue::Number(number) => equals(&number.to_string()),
                FieldValue::Missing | FieldValue::Owned(_) | FieldValue::Bool(_) => false,
            }
        }
    }
}

#[test]
fn random_rules_match_what_the_oracle_says() {
    let pairs = number_of("STAKEOUT_TEST_PAIRS", 10_000);
    let seed = number_of("STAKEOUT_TEST_SEED", 20_261_124);
    let (mut tried, mut matched) = (0, 0);
    while tried < pairs {
        let rule_seed = seed.wrapping_add(tried / EVENTS_A_RULE);
        let mut dice = Dice::new(rule_seed);
        let rule = grammar::rule(&mut dice);
        let (expression, engine) = (ours(&rule), theirs(&rule));
        let prefilter = expression.prefilter().simplified();
        for _ in 0..EVENTS_A_RULE {
            let event = grammar::event(&mut dice);
            let (ours, theirs) = verdicts(&expression, &engine, &event);
            assert_eq!(ours, theirs, "ours, theirs of seed {rule_seed}:\n{rule}\n{event:#}");
            let text = event.to_string();
            let may_fit =
                borrowed_event(text.as_bytes()).is_ok_and(|event| EventFilter::new(&prefilter).may_match(&event));
            let is_left_out = ours && !(passes(&prefilter, &observation(&event)) && may_fit);
            assert!(!is_left_out, "the prefilter loses it, seed {rule_seed}:\n{rule}\n{prefilter:?}\n{event:#}");
            matched += u64::from(ours);
            tried += 1;
        }
    }
    eprintln!("seed {seed}: {tried} pairs, {matched} matches");
    assert!(
        matched * 20 > tried && matched * 20 < tried * 19,
        "only one answer is hardly tested: {matched} of {tried}"
    );
}
