//! Rows of every shape, and the recorded scenarios compared with what the API server itself wrote.

use std::collections::BTreeMap;
use std::io::Read;

use serde_json::{Value, json};
use stakeout_core::event::AuditEvent;
use stakeout_core::time::Second;

use super::*;

const SCENARIOS: [&str; 4] = ["anonymous-scan", "auth-failures", "kube-hunter", "limited"];
const RESOURCE: &str =
    "/SUBSCRIPTIONS/1/RESOURCEGROUPS/RG/PROVIDERS/MICROSOFT.CONTAINERSERVICE/MANAGEDCLUSTERS/AKS-Prod";
const EVENT: &str = r#"{"kind":"Event","auditID":"a-1","stage":"ResponseComplete","verb":"list","user":{"username":"system:anonymous"},"sourceIPs":["8.8.8.8"],"responseStatus":{"code":403},"requestObject":"skipped-too-big-size-object","requestReceivedTimestamp":"2026-11-22T01:00:00.000000Z","stageTimestamp":"2026-11-22T01:00:00.002000Z"}"#;
const AT_MS: i64 = 1_795_309_200_001;

fn read(folder: &str, name: &str) -> String {
    let path = format!("{}/../../tests/data/{folder}/{name}.gz", env!("CARGO_MANIFEST_DIR"));
    let file = std::fs::File::open(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).expect("UTF-8");
    text
}

/// An audit row whose cells of JSON are as given.
fn audit_row(cells: &Value) -> String {
    let mut row = json!({
        "TimeGenerated": "2026-11-22T01:00:00.001Z", "AuditId": "a-1", "Level": "Metadata", "Stage": "ResponseComplete",
        "Verb": "list", "_ResourceId": RESOURCE,
    });
    let members = row.as_object_mut().expect("an object");
    members.extend(cells.as_object().expect("an object").clone());
    row.to_string()
}

fn diagnostics_row(log: &Value) -> String {
    json!({"TimeGenerated": "2026-11-22T01:00:00.001Z", "Category": "kube-audit", "log_s": log, "ResourceId": RESOURCE})
        .to_string()
}

fn event_of(row: &str) -> AuditEvent {
    super::row(row).unwrap_or_else(|error| panic!("{row}: {error}")).decoded.event
}

/// The rows of both tables hold what the API server wrote, field by field: there is no exception in the recordings.
#[test]
fn the_recorded_scenarios_match_the_api_servers_own_events() {
    for scenario in SCENARIOS {
        let mut written: BTreeMap<_, Vec<AuditEvent>> = BTreeMap::new();
        let mut lines = 0;
        for line in read("audit", &format!("{scenario}.audit.log")).lines() {
            let event = stakeout_core::decode::decode(line.as_bytes()).expect("an event").event;
            written.entry((event.audit_id.clone(), event.stage_timestamp.clone())).or_default().push(event);
            lines += 1;
        }
        for table in ["aks", "aks-audit"] {
            let answer = rows(&read("cloud", &format!("{scenario}.{table}.json"))).expect("an answer");
            assert_eq!((answer.rows.len(), answer.error), (lines, None), "{scenario}.{table}");
            for row in &answer.rows {
                let Enveloped { decoded, time_ms, cluster, .. } = super::row(row).expect("an event");
                assert!(!decoded.is_truncated);
                assert_eq!(cluster.as_deref(), Some("aks-prod"));
                assert_eq!(Some(time_ms), decoded.event.stage_time_ms());
                let key = (decoded.event.audit_id.clone(), decoded.event.stage_timestamp.clone());
                let same = written.get(&key).unwrap_or_else(|| panic!("{row} was never written"));
                assert!(same.contains(&decoded.event), "{row}\n{same:#?}");
            }
        }
    }
}

#[test]
fn a_line_is_read_in_every_envelope() {
    let expected = Enveloped {
        decoded: stakeout_core::decode::decode(EVENT.as_bytes()).expect("an event"),
        time_ms: AT_MS,
        record_id: String::new(),
        cluster: Some("aks-prod".to_owned()),
        cluster_id: Some(RESOURCE.to_ascii_lowercase()),
    };
    let line = format!("{EVENT}\n");
    let object: Value = serde_json::from_str(EVENT).expect("JSON");
    let properties = json!({"log": line, "stream": "stdout", "pod": "kube-apiserver-1"});
    let exported = |properties: Value| {
        json!({"time": "2026-11-22T01:00:00.001Z", "category": "kube-audit-admin", "resourceId": RESOURCE, "properties": properties})
            .to_string()
    };
    for row in [
        diagnostics_row(&json!(EVENT)),
        diagnostics_row(&json!(line)),
        diagnostics_row(&object),
        exported(properties.clone()),
        exported(json!(properties.to_string())),
        exported(json!({"log": object})),
    ] {
        let read = super::row(&row).unwrap_or_else(|error| panic!("{row}: {error}"));
        assert_eq!(Enveloped { record_id: String::new(), ..read }, expected, "{row}");
    }
}

#[test]
fn cells_are_read_as_text_and_as_objects() {
    let cells = json!({
        "User": {"username": "jane", "groups": ["a", "b"]}, "SourceIps": ["10.0.0.1", "8.8.8.8"], "ObjectRef": {"resource": "pods"},
        "ResponseStatus": {"code": 403, "reason": "Forbidden"}, "Annotations": {"a/b": "c"},
    });
    let as_texts: serde_json::Map<String, Value> = cells
        .as_object()
        .expect("an object")
        .iter()
        .map(|(key, cell)| (key.clone(), json!(cell.to_string())))
        .collect();
    let event = event_of(&audit_row(&cells));
    assert_eq!(event, event_of(&audit_row(&Value::Object(as_texts))));
    assert_eq!((event.username.as_deref(), event.response_code), (Some("jane"), Some(403)));
    assert_eq!(event.source_ips, ["10.0.0.1", "8.8.8.8"]);
    assert_eq!(event.annotations, [("a/b".to_owned(), "c".to_owned())]);
}

/// Cut anywhere, a text gives what stood before the cut, and never a wrong code; a list of addresses gives none, since
/// the sender's own comes last.
#[test]
fn a_cut_text_yields_the_members_before_the_cut() {
    let status = r#"{"metadata":{},"code":403,"reason":"Forbidden","message":"no"}"#;
    // A code is known once the next key is complete.
    let next_key_ends = status.find("\"reason\":").expect("there") + 8;
    for cut in 1..status.len() {
        let row = audit_row(&json!({"ResponseStatus": status[..cut], "User": "{\"username\":\"jane\"}"}));
        let Enveloped { decoded, .. } = super::row(&row).expect("an event");
        assert!(decoded.is_truncated, "{row}");
        assert_eq!(decoded.event.response_code, (cut >= next_key_ends).then_some(403), "{row}");
        assert_eq!(decoded.event.username.as_deref(), Some("jane"));
    }
    let row = audit_row(&json!({"SourceIps": "[\"10.0.0.1\",\"9.9.", "ResponseStatus": "{\"code\":403,\"reason\":"}));
    let event = event_of(&row);
    assert_eq!((event.source_ips.as_slice(), event.response_code), (&[] as &[String], Some(403)));

    let code_ends = EVENT.find(":403").expect("there") + 4;
    for cut in 100..EVENT.len() {
        let Enveloped { decoded, .. } = super::row(&diagnostics_row(&json!(EVENT[..cut]))).expect("an event");
        assert!(decoded.is_truncated);
        assert_eq!(decoded.event.response_code, (cut > code_ends).then_some(403));
    }
}

#[test]
fn a_damaged_cell_adds_nothing_to_another() {
    let forged = r#"{"code":200},"user":{"username":"system:masters"},"x":{"y":1"#;
    let event = event_of(&audit_row(&json!({"ResponseStatus": forged, "User": {"username": "jane"}})));
    assert_eq!((event.username.as_deref(), event.response_code), (Some("jane"), Some(200)));
}

#[test]
fn other_rows_are_an_error_that_says_why() {
    let of = |row: Value| super::row(&row.to_string());
    let other = json!({"TimeGenerated": "2026-11-22T01:00:00Z", "Category": "kube-apiserver", "log_s": "I1122 trace"});
    assert_eq!(of(other), Err(DecodeError::OtherService("category kube-apiserver".to_owned())));
    for row in [
        json!({"TimeGenerated": "2026-11-22T01:00:00Z", "Verb": "", "AuditId": null}),
        json!({"Verb": "list"}),
        json!({"time": "2026-11-22T01:00:00Z", "category": "kube-audit", "properties": {"stream": "stdout"}}),
        json!({"time": "2026-11-22T01:00:00Z", "category": "kube-audit", "properties": "{\"log\":\"{\\\"ki"}),
        json!(["list"]),
    ] {
        assert!(matches!(of(row.clone()), Err(DecodeError::NotJson(_))), "{row}: {:?}", of(row.clone()));
    }
}

#[test]
fn the_id_of_a_row_depends_on_all_of_it() {
    let id = |row: &str| super::row(row).expect("an event").record_id;
    let row = audit_row(&json!({"User": "{}"}));
    assert_eq!(id(&row), id(&row));
    assert_ne!(id(&row), id(&audit_row(&json!({"User": "{ }"}))));
    assert_eq!(id(&row).len(), 32);
}

#[test]
fn answers_and_what_az_prints_are_rows() {
    let columns = json!([{"name": "A", "type": "string"}, {"name": "B\"", "type": "dynamic"}]);
    let table =
        json!({"name": "PrimaryResult", "columns": columns, "rows": [["x", {"y": [1]}], [null, null], [null, "z"]]});
    let beside = json!({"name": "QueryStatistics", "columns": columns, "rows": [["no", 1]]});
    let expected: Vec<String> = [r#"{"A":"x","B\"":{"y":[1]}}"#, "{}", r#"{"B\"":"z"}"#].map(str::to_owned).to_vec();
    let whole = json!({"tables": [table, beside]}).to_string();
    assert_eq!(rows(&whole), Ok(QueryAnswer { rows: expected.clone(), error: None }));
    for (error, message) in [
        (json!({"code": "PartialError"}), r#"{"code":"PartialError"}"#),
        (
            json!({"message": "a", "details": [{"message": "b", "innererror": {"message": "too many rows"}}]}),
            "too many rows",
        ),
        (json!("odd"), "\"odd\""),
    ] {
        let partial = json!({"tables": [table], "error": error}).to_string();
        assert_eq!(rows(&partial), Ok(QueryAnswer { rows: expected.clone(), error: Some(message.to_owned()) }));
    }
    let printed = format!(" [{}]", expected.join(",\n"));
    assert_eq!(rows(&printed), Ok(QueryAnswer { rows: expected, error: None }));
    for other in ["", "{}", "<html>", "{\"tables\":[{}]}", "[1,"] {
        assert!(rows(other).is_err(), "{other}");
    }
}

#[test]
fn a_page_holds_the_rows_of_its_window_and_counts_those_without_a_time() {
    let window = Window::new(Second(60), Second(120)).expect("not empty");
    let row = |at: &str| json!({"TimeGenerated": at}).to_string();
    let rows: Vec<String> = [
        "1970-01-01T00:00:59.999Z",
        "1970-01-01T00:01:00Z",
        "1970-01-01T00:01:59.9999999",
        "1970-01-01T00:02:00Z",
        "soon",
    ]
    .map(row)
    .to_vec();
    let record = |row: &String, time_ms| RawRecord { record_id: record_id(row), time_ms, body: row.clone() };
    let records = vec![record(&rows[1], 60_000), record(&rows[2], 119_999)];
    let bytes = (rows[1].len() + rows[2].len()) as u64;
    assert_eq!(page_of(window, rows, Share::All), Page { records, bytes, unusable: 1, ..Page::default() });
}

#[test]
fn half_of_a_pair_that_a_cut_left_hides_no_request() {
    let row = r#"{"TimeGenerated":"2026-11-22T01:10:00Z","Verb":"list","UserAgent":"x\ud83d","ResponseStatus":"{\"code\":403}","SourceIps":"[\"8.8.8.8\"]"}"#;
    let event = row_of(row);
    assert_eq!((event.verb.as_deref(), event.response_code), (Some("list"), Some(403)));
    assert_eq!(event.source_ips, ["8.8.8.8"]);
    let row = r#"{"TimeGenerated":"2026-11-22T01:10:00Z","log_s":"{\"kind\":\"Event\",\"verb\":\"list\",\"sourceIPs\":[\"8.8.8.8\"],\"responseStatus\":{\"code\":403},\"userAgent\":\"x\ud83d"}"#;
    let event = row_of(row);
    assert_eq!((event.verb.as_deref(), event.response_code), (Some("list"), Some(403)));
}

fn row_of(json: &str) -> AuditEvent {
    row(json).expect("an event").decoded.event
}
