//! The queries of our client, checked by implementations of KQL that we did not write: Microsoft's language service for
//! syntax and names, DuckDB for the rows that they find.
//!
//! The last stage of each query, which projects columns, is replaced by one that projects the index of each row, to
//! compare the rows. The rest is unchanged.

use std::collections::BTreeMap;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde_json::{Map, Value, json};
use stakeout_azure_monitor::{AuditTable, AzureMonitor, AzureMonitorConfig, Credential, Plan, Share, pushdown};
use stakeout_core::field::Field;
use stakeout_core::prefilter::{Literal, Prefilter};
use stakeout_core::time::{Second, Window};
use stakeout_fakes::LogAnalytics;
use stakeout_fakes::kql::{self, Column, ColumnType, Query, Row};
use stakeout_fakes::log_analytics;
use stakeout_http::{Endpoint, Network};

use super::answered;
use super::log_analytics::{recordings, text_of};
use crate::support::node::node;

#[path = "../../crates/azure-monitor/tests/wire/prefilters.rs"]
mod prefilters;

const WORKSPACE: &str = "0f3a5a1e-0000-4000-8000-aabbccddeeff";
const CLUSTER: &str = "/subscriptions/11112222-3333-4444-5555-666677778888/resourceGroups/rg-prod/providers/Microsoft.ContainerService/managedClusters/aks-prod";
/// Prefilters of every shape, each for three tables and two plans.
const SHAPES: usize = 50;
/// How many of these run over rows, which takes a tenth of a second each.
const SHAPES_RUN: usize = 12;
/// One of this many pieces of a query is broken.
const EVERY: usize = 11;

/// A query and its origin.
#[derive(Debug)]
struct PushedQuery {
    table: AuditTable,
    plan: Plan,
    prefilter: Prefilter,
    query: String,
}

/// The minute with most of the recorded rows.
fn window() -> Window {
    Window::new(Second(1_795_309_260), Second(1_795_309_320)).expect("not empty")
}

fn config(table: AuditTable, plan: Plan, cluster: &str) -> AzureMonitorConfig {
    AzureMonitorConfig { plan, ..AzureMonitorConfig::new(WORKSPACE, table, cluster, Credential::Anonymous) }
}

/// Returns the prefilter of the shipped rules, the empty one, and `shapes` random ones, the same each time.
fn prefilters(shapes: usize) -> Vec<Prefilter> {
    let rules = stakeout_core::rule::load(&stakeout_core::shipped::rule_files()).expect("the shipped rules load");
    let mut runner = TestRunner::deterministic();
    let random = (0..shapes).map(|_| prefilters::prefilter().new_tree(&mut runner).expect("is made").current());
    [rules.prefilter(), Prefilter::Any].into_iter().chain(random.collect::<Vec<_>>()).collect()
}

fn queries(shapes: usize) -> Vec<PushedQuery> {
    let plans = AuditTable::ALL.into_iter().flat_map(|table| [(table, Plan::Analytics), (table, Plan::Basic)]);
    let plans: Vec<(AuditTable, Plan)> = plans.collect();
    let pushed = prefilters(shapes).into_iter().enumerate().flat_map(|(index, prefilter)| {
        let cluster = if index % 2 == 0 { "aks-prod" } else { CLUSTER };
        let ask = move |(table, plan): &(AuditTable, Plan)| {
            let query = pushdown::query(window(), &prefilter, &config(*table, *plan, cluster));
            PushedQuery { table: *table, plan: *plan, prefilter: prefilter.clone(), query }
        };
        plans.iter().map(ask).collect::<Vec<_>>()
    });
    pushed.collect()
}

/// Returns the other queries of the client, besides those for windows.
async fn queries_of_doctor() -> Vec<String> {
    let logs = LogAnalytics::start().await.expect("a free port");
    for (table, plan) in AuditTable::ALL.into_iter().flat_map(|table| [(table, Plan::Analytics), (table, Plan::Basic)])
    {
        let of_table =
            if plan == Plan::Basic { log_analytics::TablePlan::Basic } else { log_analytics::TablePlan::Analytics };
        logs.set_plan(WORKSPACE, table.as_str(), of_table).expect("is a table");
        let config = AzureMonitorConfig {
            endpoint: Endpoint::parse_base(&logs.endpoint()).ok(),
            ..config(table, plan, "aks-prod")
        };
        let client = AzureMonitor::new(config, &Network::default()).expect("is a config");
        client.has_records(window()).await.expect("is answered");
        let source = Prefilter::from_address([8, 8, 8, 8].into());
        client.first_records(window(), &source, None, 200).await.expect("is answered");
        client.checks(window(), &Prefilter::Any, window().latest().millis()).await;
    }
    let bodies = logs.requests().into_iter().map(|request| request.body);
    let queries = bodies.map(|body| serde_json::from_str::<Value>(&body).expect("is JSON")["query"].take());
    queries.map(|query| text_of(&query)).collect()
}

/// The errors of the language service for a query, and the texts in it.
#[derive(Debug, serde::Deserialize)]
struct Checked {
    diagnostics: Vec<String>,
    literals: Vec<String>,
}

fn checked(queries: &[String]) -> Vec<Checked> {
    let columns = |table: AuditTable| log_analytics::columns(table.as_str()).expect("the fake knows it");
    let types = |table| -> Map<String, Value> {
        columns(table).into_iter().map(|column| (column.name, json!(column.kind.as_str()))).collect()
    };
    let tables: Map<String, Value> =
        AuditTable::ALL.into_iter().map(|table| (table.as_str().to_owned(), Value::Object(types(table)))).collect();
    let printed = node("kusto.js", &json!({"tables": tables, "queries": queries}).to_string());
    let checked: Vec<Checked> = serde_json::from_str(&printed).expect("the script prints JSON");
    assert_eq!(checked.len(), queries.len());
    checked
}

fn is_taken(query: &str) -> bool {
    Query::compile(query, log_analytics::columns).is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn microsofts_language_service_accepts_our_queries() {
    let mut texts: Vec<String> = queries(SHAPES).into_iter().map(|pushed| pushed.query).collect();
    texts.extend([
        pushdown::share(window(), &Prefilter::Any, Share::Cut, &config(AuditTable::AksAudit, Plan::Basic, "aks-prod")),
        pushdown::share(
            window(),
            &Prefilter::Any,
            Share::Part { index: 3, of: 16 },
            &config(AuditTable::AzureDiagnostics, Plan::Analytics, "aks-prod"),
        ),
    ]);
    let of_doctor = queries_of_doctor().await;
    assert!(of_doctor.iter().any(|query| query.contains("summarize")), "{of_doctor:#?}");
    texts.extend(of_doctor);
    for (query, checked) in texts.iter().zip(checked(&texts)) {
        assert_eq!(checked.diagnostics, Vec::<String>::new(), "{query}");
        assert!(is_taken(query), "the fake refuses {query}");
    }
}

/// Invalid queries.
const REFUSED_BY_BOTH: [&str; 15] = [
    "AKSAudit | where Verb = \"list\"",
    "AKSAudit | where verb == \"list\"",
    "AKSAudit | where Verb == \"list",
    "AKSAudit | where Verb == list",
    "AKSAudit | where (Verb == \"list\"",
    "AKSAudit | where Verb == \"\\q\"",
    "AKSAudit | where TimeGenerated >= \"2026-11-22\"",
    "AKSAudit | where Verb",
    "AKSAudit | where Verb AND Stage",
    "AKSAudit | where unheard(Verb)",
    "AKSAudit | where isempty()",
    "AKSAudit | where Verb has 1",
    "AKSAudit | project Verb | where Stage == \"\"",
    "AKSAudit | nonsense",
    "Heartbeat | take 1",
];

#[test]
fn the_fake_accepts_nothing_that_the_language_service_refuses() {
    let refused: Vec<String> = REFUSED_BY_BOTH.iter().map(|query| (*query).to_owned()).collect();
    for (query, checked) in refused.iter().zip(checked(&refused)) {
        assert!(!checked.diagnostics.is_empty() && !is_taken(query), "{query}: {checked:?}");
    }
    // Our queries with one piece dropped or doubled: many are still valid.
    let whole = queries(8).into_iter().map(|pushed| pushed.query).filter(|query| query.len() < 900);
    let mut broken = Vec::new();
    for (index, query) in whole.enumerate() {
        let pieces: Vec<&str> = query.split_inclusive([' ', '(', '"', '.', '[']).collect();
        for nth in (index % EVERY..pieces.len()).step_by(EVERY) {
            let (before, after) = pieces.split_at(nth);
            broken.push([before, &after[1..]].concat().concat());
            broken.push([before, &after[..1], after].concat().concat());
        }
    }
    let checked = checked(&broken);
    let taken: Vec<(&String, &Checked)> = broken.iter().zip(&checked).filter(|(query, _)| is_taken(query)).collect();
    for (query, checked) in &taken {
        assert_eq!(checked.diagnostics, Vec::<String>::new(), "the fake takes {query}");
    }
    let refused = checked.iter().filter(|checked| !checked.diagnostics.is_empty()).count();
    assert!(broken.len() > 200 && refused > 100 && taken.len() > 10, "{}, {refused}, {}", broken.len(), taken.len());
}

#[test]
fn the_language_service_reads_our_literals_back() {
    let mut runner = TestRunner::deterministic();
    let any = proptest::prop_oneof![
        "\\PC{0,20}",
        "[\"'\\\\@hu0-9\n\r\t ~`]{1,12}",
        proptest::string::string_regex("(?s).{1,8}").expect("is one")
    ];
    let random = (0..400).map(|_| any.new_tree(&mut runner).expect("is made").current());
    let texts: Vec<String> = prefilters::HOSTILE.iter().map(|text| (*text).to_owned()).chain(random).collect();
    let ask = |text: &String| {
        let literal = Literal::Text { text: text.clone(), cased: true };
        let prefilter = Prefilter::Is { field: Field::Named("verb"), literal };
        pushdown::query(window(), &prefilter, &config(AuditTable::AksAudit, Plan::Basic, ""))
    };
    let queries: Vec<String> = texts.iter().map(ask).collect();
    let mut compared = 0;
    for ((text, query), checked) in texts.iter().zip(&queries).zip(checked(&queries)) {
        assert_eq!(checked.diagnostics, Vec::<String>::new(), "{query}");
        if query.contains(" == ") {
            compared += 1;
            assert_eq!(checked.literals, ["/managedclusters/", text.as_str()], "{query}");
        }
    }
    assert!(compared > texts.len() / 2, "only {compared} of {} texts are in a query", texts.len());
}

/// Returns rows of a table: some of the recorded ones, and unusual ones.
fn sample(table: AuditTable) -> Vec<Map<String, Value>> {
    let is_of_table = |row: &Map<String, Value>| row["Type"] == table.as_str().replace("Admin", "");
    let recorded: Vec<Map<String, Value>> =
        recordings().into_iter().flat_map(|(_, rows)| rows).filter(is_of_table).collect();
    let mut rows: Vec<Map<String, Value>> = recorded.iter().step_by(13).cloned().collect();
    let first = recorded.first().expect("there are some").clone();
    let changes: &[(&str, &str)] = match table {
        AuditTable::AzureDiagnostics => &[
            (
                "log_s",
                "{\"verb\":\"list\",\"responseStatus\":{\"code\":403},\"user\":{\"username\":\"system:anonymous\"}}\n",
            ),
            ("log_s", "{\"verb\":\"LIST\",\"responseStatus\":{\"code\":\"403\"},\"userAgent\":\"Kubectl\"}"),
            ("log_s", "{\"verb\":\"list\",\"responseStatus\":{\"code\":403},\"user\":{\"usern"),
            ("log_s", "\"403\""),
            ("log_s", ""),
            ("Category", "Kube-Audit-Admin"),
            ("Category", "kube-apiserver"),
            ("_ResourceId", "/other/managedclusters/aks-prod-2"),
            ("TimeGenerated", "2026-11-22T01:01:00Z"),
            ("TimeGenerated", "2026-11-22T01:02:00Z"),
        ],
        AuditTable::AksAudit | AuditTable::AksAuditAdmin => &[
            ("ResponseStatus", "{\"code\":403}"),
            ("ResponseStatus", "{\"code\":\"403\"}"),
            ("ResponseStatus", "{\"code\":403,\"mess"),
            ("ResponseStatus", "\"{\\\"code\\\":403}\""),
            ("User", "{\"username\":\"system:anonymous\",\"groups\":[\"system:unauthenticated\"]}"),
            ("User", "\"{\\\"username\\\":\\\"system:anonymous\\\"}\""),
            ("User", "[]"),
            ("Verb", "LIST"),
            ("UserAgent", "Kubectl"),
            ("UserAgent", "\u{212a}ubectl"),
            ("RequestUri", "\" or true or Verb == \""),
            ("Annotations", "{\"authorization.k8s.io/decision\":\"forbid\",\"plain\":\"list\"}"),
            ("_ResourceId", "/other/managedclusters/aks-prod-2"),
            ("TimeGenerated", "2026-11-22T01:01:00Z"),
            ("TimeGenerated", "2026-11-22T01:02:00Z"),
        ],
    };
    for (column, cell) in changes {
        let mut row = first.clone();
        row.insert("TimeGenerated".to_owned(), json!("2026-11-22T01:01:30Z"));
        row.insert((*column).to_owned(), json!(cell));
        rows.push(row);
    }
    rows
}

/// Returns a prefilter in the form that the script reads.
fn encoded(prefilter: &Prefilter) -> Value {
    let all = |parts: &[Prefilter]| parts.iter().map(encoded).collect::<Vec<_>>();
    match prefilter {
        Prefilter::Any => json!({"any": true}),
        Prefilter::Or(parts) => json!({"or": all(parts)}),
        Prefilter::And(parts) => json!({"and": all(parts)}),
        Prefilter::Is { field, literal } => {
            let path: Vec<&str> = match field {
                Field::Named(name) => name.split('.').collect(),
                Field::Annotation(key) => vec!["annotations", key],
            };
            match literal {
                Literal::Number(number) => json!({"is": {"path": path, "number": number}}),
                Literal::Text { text, cased } => json!({"is": {"path": path, "text": text, "cased": cased}}),
                Literal::Network(network) => json!({"is": {"path": path, "network": network.to_string()}}),
            }
        }
    }
}

/// Returns the table's columns, after the index of a row.
fn columns_with_index(table: &str) -> Option<Vec<Column>> {
    let index = Column { name: "RowId".to_owned(), kind: ColumnType::Long };
    Some(std::iter::once(index).chain(log_analytics::columns(table)?).collect())
}

/// Returns the indexes of the rows that the fake finds.
fn found_here(query: &str, rows: &[Row]) -> Vec<i64> {
    let query = Query::compile(query, columns_with_index).unwrap_or_else(|error| panic!("{query}: {error}"));
    let found = query.run(rows.to_vec());
    let index = |row: &Row| match row[0] {
        kql::Cell::Long(index) => index,
        ref other => panic!("{other:?} is not an index"),
    };
    let mut indexes: Vec<i64> = found.iter().map(index).collect();
    indexes.sort_unstable();
    indexes
}

/// What `kql_rows.py` prints for a query.
#[derive(Debug, serde::Deserialize)]
struct Found {
    found: Vec<i64>,
    wanted: Vec<i64>,
}

#[test]
fn duckdb_finds_the_same_rows_and_every_wanted_row() {
    let samples: BTreeMap<&str, Vec<Map<String, Value>>> =
        AuditTable::ALL.into_iter().map(|table| (table.as_str(), sample(table))).collect();
    let mut rows = BTreeMap::new();
    let mut tables = Map::new();
    for (name, sample) in &samples {
        let columns = columns_with_index(name).expect("is a table");
        let read = |(index, row): (usize, &Map<String, Value>)| {
            let mut row = row.clone();
            row.insert("RowId".to_owned(), json!(index));
            kql::read_row(&columns, Value::Object(row)).expect("is a row")
        };
        rows.insert(*name, sample.iter().enumerate().map(read).collect::<Vec<Row>>());
        let types: Map<String, Value> =
            columns[1..].iter().map(|column| (column.name.clone(), json!(column.kind.as_str()))).collect();
        tables.insert((*name).to_owned(), json!({"columns": types, "rows": sample}));
    }
    let mut pushed = queries(SHAPES_RUN);
    for pushed in &mut pushed {
        let (kept, _) = pushed.query.rsplit_once("\n| project ").expect("the columns are the last stage");
        pushed.query = format!("{kept}\n| project RowId");
    }
    let (earliest, latest) = ("2026-11-22T01:01:00Z", "2026-11-22T01:02:00Z");
    let encoded: Vec<Value> = pushed
        .iter()
        .map(|pushed| {
            let is_timed = pushed.plan == Plan::Analytics;
            json!({
                "table": pushed.table.as_str(),
                "query": pushed.query,
                "prefilter": encoded(&pushed.prefilter),
                "cluster": "/managedclusters/aks-prod",
                "earliest": is_timed.then_some(earliest),
                "latest": is_timed.then_some(latest),
            })
        })
        .collect();
    let given = json!({"tables": tables, "queries": encoded}).to_string();
    let answers: Vec<Found> = answered("kql_rows.py", &[], &given);
    let (mut narrowed, mut wanted) = (0, 0);
    for (pushed, answer) in pushed.iter().zip(answers) {
        let rows = &rows[pushed.table.as_str()];
        assert_eq!(found_here(&pushed.query, rows), answer.found, "{}", pushed.query);
        let missing: Vec<&i64> = answer.wanted.iter().filter(|index| !answer.found.contains(index)).collect();
        assert_eq!(missing, Vec::<&i64>::new(), "{}\n{:?}", pushed.query, pushed.prefilter);
        narrowed += usize::from(answer.found.len() < rows.len() / 2);
        wanted += answer.wanted.len();
    }
    assert!(narrowed > pushed.len() / 4 && wanted > 100, "{narrowed} of {} queries, {wanted} rows", pushed.len());
}
