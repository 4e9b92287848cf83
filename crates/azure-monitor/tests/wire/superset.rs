//! The promise of pushdown: a row whose event a prefilter accepts is returned by the query that is made of it, and this
//! as the strict fake evaluates queries and as core reads events, also of cells that were cut.

use std::cell::Cell;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use stakeout_azure_monitor::{AuditTable, AzureMonitorConfig, Credential, Plan, Share, decode, pushdown};
use stakeout_core::event::AuditEvent;
use stakeout_core::field::{Field, FieldValue};
use stakeout_core::observation::Observation;
use stakeout_core::prefilter::{Literal, Prefilter};
use stakeout_core::source::Provider;
use stakeout_core::time::Second;
use stakeout_fakes::kql::{self, ColumnType, DateTime, Query};
use stakeout_fakes::log_analytics;

use crate::prefilters::{ANNOTATIONS, FIELDS, HOSTILE, prefilter};
use crate::{RESOURCE, WORKSPACE, window};

const CASES: u32 = 4_096;
const AT: &str = "2026-11-22T01:00:00.001Z";

/// How a row's JSON came: what a column of type `dynamic` may hold, and where it ends.
#[derive(Clone, Debug)]
struct Shape {
    table: AuditTable,
    is_text: bool,
    /// The thousandth at which a text ends early, of the cell that it cuts.
    cut: Option<(usize, usize)>,
}

/// What came of the cases.
#[derive(Default)]
struct Tally {
    fitted: Cell<u32>,
    filtered: Cell<u32>,
    left_out: Cell<u32>,
    cut: Cell<u32>,
}

#[test]
fn a_row_that_fits_a_prefilter_is_returned_by_its_query() {
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(CASES) });
    let cases = (prefilter(), prop::collection::vec(any::<u8>(), 64), noise(), shape());
    let tally = Tally::default();
    let outcome = runner.run(&cases, |(prefilter, choices, noise, shape)| {
        let row = row(&event(&prefilter, &choices, &noise), &shape);
        let is_fitting = accepts(&prefilter, &observation(&row));
        let text = pushdown::query(window(), &prefilter, &config(&shape));
        let query = Query::compile(&text, log_analytics::columns)
            .map_err(|error| TestCaseError::fail(format!("{text}: {error:?}")))?;
        let is_returned = !query.run(vec![stored(shape.table, &row)]).is_empty();
        prop_assert!(is_returned || !is_fitting, "{text}\nrefuses {row}");
        prop_assert!(text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\n')) && text.len() <= 16_384);

        let count = |counter: &Cell<u32>, is: bool| counter.set(counter.get() + u32::from(is));
        count(&tally.fitted, is_fitting);
        count(&tally.filtered, is_fitting && text != pushdown::query(window(), &Prefilter::Any, &config(&shape)));
        count(&tally.left_out, !is_returned);
        count(&tally.cut, is_fitting && shape.cut.is_some());
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
    // A generator whose events never fit would prove nothing, and neither would queries that leave nothing out.
    for (counter, least) in [(&tally.fitted, 3), (&tally.filtered, 10), (&tally.left_out, 10), (&tally.cut, 40)] {
        assert!(counter.get() > CASES / least, "{} of {CASES}, wanted one in {least}", counter.get());
    }
}

/// The fake evaluates what is sent, and nothing that never is. Networks of addresses have functions of their own, which are
/// not sent because no index serves them.
#[test]
fn every_function_of_the_fake_is_sent_but_those_of_networks() {
    let refused = Prefilter::Is { field: Field::Named("responseStatus.code"), literal: Literal::Number(403) };
    let annotated = Prefilter::Is {
        field: Field::Annotation("authorization.k8s.io/decision".to_owned()),
        literal: Literal::Text { text: "forbid".to_owned(), cased: true },
    };
    let prefilter = Prefilter::And(vec![Prefilter::from_address([8, 8, 8, 8].into()), refused, annotated]);
    let mut sent = String::new();
    for (table, share) in [
        (AuditTable::AksAudit, Share::All),
        (AuditTable::AksAudit, Share::Cut),
        (AuditTable::AzureDiagnostics, Share::Part { index: 1, of: 16 }),
    ] {
        let query = pushdown::share(window(), &prefilter, share, &config(&Shape { table, is_text: false, cut: None }));
        Query::compile(&query, log_analytics::columns).unwrap_or_else(|error| panic!("{query}: {error}"));
        sent += &query;
    }
    let unsent: Vec<&str> = kql::functions().filter(|name| !sent.contains(&format!("{name}("))).collect();
    assert_eq!(unsent, ["ipv4_is_in_any_range", "ipv6_is_in_any_range"]);
}

fn config(shape: &Shape) -> AzureMonitorConfig {
    let config = AzureMonitorConfig::new(WORKSPACE, shape.table, "AKS-prod", Credential::Anonymous);
    AzureMonitorConfig { plan: if shape.is_text { Plan::Basic } else { Plan::Analytics }, ..config }
}

fn shape() -> impl Strategy<Value = Shape> {
    let cut = prop::option::weighted(0.4, (0..5_usize, 0..1_000_usize));
    (prop::sample::select(&AuditTable::ALL[..]), any::<bool>(), cut).prop_map(|(table, is_text, cut)| Shape {
        table,
        is_text,
        cut,
    })
}

/// Values for the fields that the prefilter leaves open.
fn noise() -> impl Strategy<Value = Vec<Option<String>>> {
    let text = prop::option::of(prop::sample::select(HOSTILE).prop_map(str::to_owned));
    prop::collection::vec(text, FIELDS.len())
}

/// Returns an event that was made to fit, each value in one of the ways that a line may spell it.
fn event(prefilter: &Prefilter, choices: &[u8], noise: &[Option<String>]) -> Value {
    let mut event = json!({
        "kind": "Event", "auditID": "a-1", "stage": "ResponseComplete", "verb": "get", "user": {"groups": ["system:authenticated"]},
        "responseStatus": {"metadata": {}, "code": 200}, "annotations": {ANNOTATIONS[1]: "x"},
        "requestReceivedTimestamp": AT, "stageTimestamp": AT,
    });
    for (field, value) in FIELDS.iter().zip(noise) {
        if let Some(value) = value {
            insert(&mut event, &Field::Named(field), json!(value));
        }
    }
    fit(prefilter, &mut event, &mut choices.iter().copied().cycle());
    event
}

/// Puts into an event what a prefilter asks for; of alternatives, one.
fn fit(prefilter: &Prefilter, event: &mut Value, choices: &mut impl Iterator<Item = u8>) {
    let choice = usize::from(choices.next().unwrap_or_default());
    match prefilter {
        Prefilter::Any => {}
        Prefilter::Or(parts) => fit(&parts[choice % parts.len()], event, choices),
        Prefilter::And(parts) => parts.iter().for_each(|part| fit(part, event, choices)),
        Prefilter::Is { field, literal } => insert(event, field, spelled(literal, choice)),
    }
}

fn spelled(literal: &Literal, choice: usize) -> Value {
    match (literal, choice % 3) {
        (Literal::Number(number), 0) => json!(number),
        (Literal::Number(number), 1) => json!(number.to_string()),
        (Literal::Number(number), _) => serde_json::from_str(&format!("{number}.0")).expect("a number"),
        (Literal::Text { text, cased: false }, 0) => json!(text.to_uppercase()),
        (Literal::Text { text, cased: false }, 1) => json!(text.replace(['k', 'K'], "\u{212a}")),
        (Literal::Text { text, .. }, _) => json!(text),
        (Literal::Network(network), 0) => json!(network.network()),
        (Literal::Network(network), 1) => json!(network.broadcast()),
        (Literal::Network(network), _) => json!(network.hosts().nth(choice).unwrap_or(network.addr())),
    }
}

/// Puts a value at a field. The API server writes a number into the code only, lists where they belong, and no derived
/// field.
fn insert(event: &mut Value, field: &Field, value: Value) {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match (field, field.name().split_once('.')) {
        (Field::Annotation(key), _) => event["annotations"][key] = json!(text),
        (Field::Named("responseStatus.code"), _) => event["responseStatus"]["code"] = value,
        (Field::Named("user.groups"), _) => event["user"]["groups"] = json!(["system:authenticated", text]),
        (Field::Named("sourceIPs"), _) => event["sourceIPs"] = json!([text, "10.0.0.1"]),
        (_, Some((outer, inner))) => event[outer][inner] = json!(text),
        (Field::Named(name), None) if field.is_audited() => event[*name] = json!(text),
        (Field::Named(_), None) => {}
    }
}

/// Returns the row that holds an event.
fn row(event: &Value, shape: &Shape) -> Value {
    if shape.table == AuditTable::AzureDiagnostics {
        let log = format!("{event}\n");
        let log = shape.cut.map_or(log.clone(), |(_, thousandth)| cut(&log, thousandth));
        return json!({"TimeGenerated": AT, "Category": "kube-audit", "log_s": log, "_ResourceId": RESOURCE});
    }
    let mut row = json!({
        "TimeGenerated": AT, "RequestReceivedTime": AT, "StageReceivedTime": AT, "_ResourceId": RESOURCE.to_uppercase(),
        "Level": event["level"], "AuditId": event["auditID"], "Stage": event["stage"], "RequestUri": event["requestURI"],
        "Verb": event["verb"], "UserAgent": event["userAgent"],
    });
    let cells = ["user", "sourceIPs", "objectRef", "responseStatus", "annotations"];
    for (n, (part, column)) in
        cells.iter().zip(["User", "SourceIps", "ObjectRef", "ResponseStatus", "Annotations"]).enumerate()
    {
        let part = &event[part];
        row[column] = match shape.cut {
            _ if part.is_null() => Value::Null,
            Some((index, thousandth)) if index == n => json!(cut(&part.to_string(), thousandth)),
            _ if shape.is_text => json!(part.to_string()),
            _ => part.clone(),
        };
    }
    row
}

/// Returns the beginning of a text.
fn cut(text: &str, thousandth: usize) -> String {
    let end = (0..=text.len() * thousandth / 1_000).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text[..end].to_owned()
}

/// Returns a row as the table stores it.
fn stored(table: AuditTable, row: &Value) -> kql::Row {
    let columns = log_analytics::columns(table.as_str()).expect("a table");
    let cell = |column: &kql::Column| match (column.kind, &row[&column.name]) {
        (ColumnType::String, cell) => kql::Cell::text(cell.as_str().unwrap_or("")),
        (_, Value::Null) => kql::Cell::Null,
        (ColumnType::DateTime, cell) => {
            kql::Cell::DateTime(DateTime::parse(cell.as_str().expect("a text")).expect("a time"))
        }
        (_, Value::String(text)) => kql::Cell::parse_json(text),
        (_, cell) => kql::Cell::dynamic(cell.clone()),
    };
    columns.iter().map(cell).collect()
}

fn observation(row: &Value) -> Observation {
    // Of a row that was cut early nothing may be left to read; then nothing can fit it.
    let event = decode::row(&row.to_string()).map_or_else(|_| AuditEvent::default(), |read| read.decoded.event);
    Observation {
        record_id: Some("1".to_owned()),
        event,
        provider: Provider::AzureMonitor,
        cluster: "aks-prod".into(),
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
