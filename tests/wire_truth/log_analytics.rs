//! Log Analytics with Microsoft's client: it reads back every cell of the recorded rows, and reports each fault of an
//! answer.

use std::fs::{self, File};
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use flate2::read::GzDecoder;
use serde_json::{Map, Value, json};
use stakeout_fakes::log_analytics::{Answering, Proof, TablePlan};
use stakeout_fakes::{Fault, Faults, LogAnalytics};

use super::{Facts, answered};

const WORKSPACE: &str = "0f3a5a1e-0000-4000-8000-aabbccddeeff";
const RECORDINGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/cloud");

/// The recorded answers of both tables, by file.
pub(crate) fn recordings() -> Vec<(PathBuf, Vec<Map<String, Value>>)> {
    let entries = fs::read_dir(RECORDINGS).expect("the recordings are there");
    let paths = entries.map(|entry| entry.expect("is an entry").path());
    let is_recording =
        |path: &PathBuf| path.to_str().is_some_and(|path| path.contains(".aks") && path.ends_with(".json.gz"));
    let mut paths: Vec<PathBuf> = paths.filter(is_recording).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), rows(&path))).collect()
}

/// The rows of a recorded answer, by names of columns.
fn rows(path: &PathBuf) -> Vec<Map<String, Value>> {
    let mut text = String::new();
    GzDecoder::new(File::open(path).expect("is a file")).read_to_string(&mut text).expect("is text");
    let answer: Value = serde_json::from_str(&text).expect("is JSON");
    let table = &answer["tables"][0];
    let list = |value: &Value| value.as_array().expect("is a list").clone();
    let names: Vec<String> = list(&table["columns"]).iter().map(|column| text_of(&column["name"])).collect();
    list(&table["rows"]).iter().map(|row| names.iter().cloned().zip(list(row)).collect()).collect()
}

pub(crate) fn text_of(value: &Value) -> String {
    value.as_str().expect("is a text").to_owned()
}

/// Starts a fake whose workspace holds all recorded rows.
pub(crate) async fn with_recordings() -> LogAnalytics {
    let logs = LogAnalytics::start().await.expect("a free port");
    for row in recordings().into_iter().flat_map(|(_, rows)| rows) {
        let table = text_of(&row["Type"]);
        logs.ingest(WORKSPACE, &table, Value::Object(row)).expect("the fake knows its columns");
    }
    logs
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn microsofts_client_reads_the_recorded_rows() {
    let logs = with_recordings().await;
    logs.allow_anonymous(false);
    logs.register("44445555-3333-4444-5555-666677778888", Proof::Secret("a secret & more+".to_owned()));
    logs.register("pod", Proof::Assertion("a service account's token".to_owned()));
    let files: Vec<String> = recordings().iter().map(|(path, _)| path.to_str().expect("is text").to_owned()).collect();
    let endpoint = logs.endpoint();
    let args: Vec<&str> = [endpoint.as_str(), WORKSPACE].into_iter().chain(files.iter().map(String::as_str)).collect();
    let found: Facts = answered("log_analytics.py", &args, "");
    let all = logs.stored_rows(WORKSPACE, "AKSAudit");
    assert_eq!((files.len(), all, logs.stored_rows(WORKSPACE, "AzureDiagnostics")), (8, 2572, 2572));
    let bad_argument = "HttpResponseError 400 BadArgumentError";
    let mut documented = json!({
        "rows counted": all,
        "a long wait": all,
        "too long a wait": bad_argument,
        "a syntax error": bad_argument,
        "an unknown column": bad_argument,
        "an unknown table": bad_argument,
        "an unknown workspace": "HttpResponseError 404 PathNotFoundError",
        "another workspace beside": bad_argument,
        "a wrong secret": "ClientAuthenticationError AADSTS7000215",
        "a workload identity": all,
        "a managed identity": all,
    });
    for table in ["AKSAudit", "AzureDiagnostics"] {
        for read in ["all", "a timespan", "a start and a duration", "a timespan and a condition"] {
            documented[format!("{read} of {table}")] = json!([0, 0]);
        }
    }
    assert_eq!(Value::Object(found), documented);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn microsofts_client_reports_each_fault() {
    let logs = LogAnalytics::start().await.expect("a free port");
    logs.set_plan(WORKSPACE, "AKSAudit", TablePlan::Analytics).expect("is a table");
    for second in 0..8 {
        let row = json!({"TimeGenerated": format!("2026-11-22T01:00:0{second}Z"), "AuditId": second.to_string()});
        logs.ingest(WORKSPACE, "AKSAudit", row).expect("is a row");
    }
    let endpoint = logs.endpoint();
    let ask = |times: &str| -> Vec<(String, usize, Option<String>)> {
        answered("log_analytics_answers.py", &[&endpoint, WORKSPACE, times], "")
    };
    let partial = |rows| ("LogsQueryPartialResult".to_owned(), rows, Some("PartialError".to_owned()));
    let refused = |name: &str| (name.to_owned(), 0, None);
    logs.set_answering(Answering { rows_max: 7, partial_next: 1, ..Answering::default() });
    // The client sends discovery and token requests to Entra before its queries.
    let faults = [
        Fault::Throttled { retry_after_s: Some(1) },
        Fault::Denied,
        Fault::Unavailable,
        Fault::TruncatedBody,
        Fault::AnswerLost,
    ];
    let script = [const { None }; 4].into_iter().chain(faults.into_iter().map(Some)).collect();
    logs.set_faults(Faults { script, ..Faults::default() });
    let expected = vec![
        partial(4),
        partial(7),
        refused("HttpResponseError 429 ThrottledError"),
        refused("HttpResponseError 403 InsufficientAccessError"),
        refused("HttpResponseError 503 ServiceUnavailableError"),
        refused("HttpResponseError 200"),
        refused("ServiceResponseError"),
        partial(7),
    ];
    assert_eq!(ask("8"), expected);
    logs.set_answering(Answering { span_max: Some(Duration::from_secs(1)), ..Answering::default() });
    assert_eq!(ask("1"), [refused("HttpResponseError 504 GatewayTimeout")]);
}
