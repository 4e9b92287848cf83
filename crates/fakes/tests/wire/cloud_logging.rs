//! Cloud Logging over plain HTTP, like its REST clients. The crate of the reader tests it with the official Rust SDK,
//! `wire_truth` with the official Python client.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use stakeout_fakes::cloud_logging::{EntryOrder, Paging, Served, TokenGone};
use stakeout_fakes::{CloudLogging, Fault, Faults};

const PROJECT: &str = "projects/acme-prod";

async fn start() -> CloudLogging {
    CloudLogging::start().await.expect("a loopback port is free")
}

fn entry(n: u32, timestamp: &str) -> Value {
    json!({
        "logName": "projects/acme-prod/logs/cloudaudit.googleapis.com%2Fdata_access",
        "resource": {"type": "k8s_cluster", "labels": {"cluster_name": "prod"}},
        "timestamp": timestamp,
        "insertId": format!("id-{n:03}"),
        "protoPayload": {
            "@type": "type.googleapis.com/google.cloud.audit.AuditLog",
            "status": {"code": if n.is_multiple_of(2) { 7 } else { 0 }},
        },
    })
}

/// Adds ten entries per second, five of them with the same time.
fn fill(logging: &CloudLogging, count: u32) {
    for n in 0..count {
        let timestamp = format!("2026-11-22T01:00:{:02}.{}Z", n / 10, n % 10 / 5);
        logging.ingest(&entry(n, &timestamp).to_string());
    }
}

async fn post(logging: &CloudLogging, path: &str, body: &Value) -> (u16, Value) {
    let request = crate::http().post(format!("{}{path}", logging.endpoint())).json(body);
    let answer = request.send().await.expect("is answered");
    (answer.status().as_u16(), answer.json().await.expect("answers JSON"))
}

async fn list(logging: &CloudLogging, body: &Value) -> (u16, Value) {
    post(logging, "/v2/entries:list", body).await
}

async fn refusal(logging: &CloudLogging, body: &Value) -> String {
    let (http, answer) = list(logging, body).await;
    assert_eq!(answer["error"]["code"], json!(http), "{body}: {answer}");
    let error = &answer["error"];
    format!("{}: {}", error["status"].as_str().unwrap_or_default(), error["message"].as_str().unwrap_or_default())
}

fn ids(answer: &Value) -> Vec<String> {
    let entries = answer["entries"].as_array().cloned().unwrap_or_default();
    entries.iter().map(|entry| entry["insertId"].as_str().expect("each has one").to_owned()).collect()
}

/// Reads all pages; returns the ids and the number of entries of each page.
async fn read(logging: &CloudLogging, search: &Value) -> Result<(Vec<String>, Vec<usize>), Value> {
    let (mut all, mut pages, mut search) = (Vec::new(), Vec::new(), search.clone());
    loop {
        let (http, answer) = list(logging, &search).await;
        if http != 200 {
            return Err(answer);
        }
        let page = ids(&answer);
        pages.push(page.len());
        all.extend(page);
        match answer.get("nextPageToken") {
            Some(token) => search["pageToken"] = token.clone(),
            None => return Ok((all, pages)),
        }
    }
}

#[tokio::test]
async fn the_filter_is_evaluated_and_the_project_too() {
    let logging = start().await;
    fill(&logging, 40);
    logging.ingest(&entry(99, "2026-11-22T01:00:01Z").to_string().replace("acme-prod", "acme-test"));
    let filter = r#"resource.type="k8s_cluster" AND protoPayload.status.code=7
        AND timestamp>="2026-11-22T01:00:01Z" AND timestamp<"2026-11-22T01:00:02Z""#;
    let (http, answer) = list(&logging, &json!({"resourceNames": [PROJECT], "filter": filter})).await;
    assert_eq!(http, 200, "{answer}");
    let found: BTreeSet<_> = ids(&answer).into_iter().collect();
    assert_eq!(found.into_iter().collect::<Vec<_>>(), ["id-010", "id-012", "id-014", "id-016", "id-018"]);
    assert_eq!(answer.get("nextPageToken"), None);
    let both =
        json!({"resourceNames": [PROJECT, "projects/acme-test"], "filter": "timestamp>=\"2026-11-22T01:00:01Z\""});
    assert_eq!(ids(&list(&logging, &both).await.1).len(), 31);
    assert_eq!(logging.requests()[0].target, "POST /v2/entries:list");
    logging.create_project("empty");
    assert_eq!(list(&logging, &json!({"resourceNames": ["projects/empty"]})).await, (200, json!({})));
}

#[tokio::test]
async fn bad_requests_are_refused() {
    let logging = start().await;
    fill(&logging, 1);
    let with = |member: &str, value: Value| {
        let mut body = json!({"resourceNames": [PROJECT]});
        body[member] = value;
        body
    };
    for (body, expected) in [
        (json!({}), "INVALID_ARGUMENT: resource_names"),
        (with("resourceNames", json!([])), "INVALID_ARGUMENT: resource_names"),
        (with("resourceNames", json!(["acme-prod"])), "INVALID_ARGUMENT: resource_names"),
        (with("resourceNames", json!(["projects/acme-prod/logs/x"])), "INVALID_ARGUMENT: resource_names"),
        (with("resourceNames", json!([PROJECT, PROJECT])), "INVALID_ARGUMENT: resource_names"),
        (with("resourceNames", json!(vec![PROJECT; 101])), "INVALID_ARGUMENT: resource_names"),
        (with("resourceNames", json!(["projects/none"])), "NOT_FOUND: Project does not exist"),
        (with("resourceNames", json!(["organizations/1"])), "PERMISSION_DENIED: "),
        (with("resourceNames", json!(["folders/1"])), "PERMISSION_DENIED: "),
        (with("resourceNames", json!(["billingAccounts/1"])), "PERMISSION_DENIED: "),
        (
            with("resourceNames", json!(["projects/acme-prod/locations/global/buckets/_Default/views/_AllLogs"])),
            "NOT_FOUND: ",
        ),
        (with("pageSize", json!(-1)), "INVALID_ARGUMENT: page_size"),
        (with("pageSize", json!(1001)), "INVALID_ARGUMENT: page_size"),
        (with("orderBy", json!("timestamp")), "INVALID_ARGUMENT: order_by"),
        (with("orderBy", json!("insertId asc")), "INVALID_ARGUMENT: order_by"),
        (with("filter", json!("insertId=")), "INVALID_ARGUMENT: Unparseable filter: expected"),
        (with("filter", json!("thud=1")), "INVALID_ARGUMENT: Unparseable filter: LogEntry has no field thud"),
        (with("filter", json!("x".repeat(20_001))), "INVALID_ARGUMENT: Unparseable filter: expected at most 20000"),
        (with("pageToken", json!("made-up")), "INVALID_ARGUMENT: page_token"),
        (with("projectIds", json!(["acme-prod"])), "INVALID_ARGUMENT: Invalid JSON payload received. unknown field"),
        (with("pageSize", json!("many")), "INVALID_ARGUMENT: Invalid JSON payload received."),
    ] {
        let refused = refusal(&logging, &body).await;
        assert!(refused.starts_with(expected), "{body}: {refused}");
    }
    assert_eq!(post(&logging, "/v2/entries:tail", &json!({})).await.0, 404);
    let plain = crate::http().post(format!("{}/v2/entries:list", logging.endpoint())).body("{}").send().await;
    assert_eq!(plain.expect("is answered").status(), 400);
}

#[tokio::test]
async fn a_page_has_50_entries_by_default_and_1000_at_most() {
    let logging = start().await;
    for n in 0..1_001 {
        logging.ingest(&entry(n, "2026-11-22T01:00:00Z").to_string());
    }
    for (size, pages) in [(0, [50; 20].to_vec()), (1_000, vec![1_000])] {
        let read = read(&logging, &json!({"resourceNames": [PROJECT], "pageSize": size})).await.expect("is answered").1;
        assert_eq!(read, [pages, vec![1]].concat());
    }
}

#[tokio::test]
async fn pages_hold_every_entry_once_in_order_of_time() {
    let logging = start().await;
    fill(&logging, 100);
    let search = json!({"resourceNames": [PROJECT], "pageSize": 1_000});
    logging.set_paging(Paging { page_records: 30, empty_pages: 2, last_page_has_token: true, ..Paging::default() });
    let (shuffled, pages) = read(&logging, &search).await.expect("is answered");
    assert_eq!(pages, [0, 0, 30, 0, 0, 30, 0, 0, 30, 0, 0, 10, 0, 0, 0]);
    assert_eq!(read(&logging, &search).await.expect("is answered").0, shuffled, "the order is the same each time");

    logging.set_paging(Paging { order: EntryOrder::Sorted, ..Paging::default() });
    let (sorted, pages) = read(&logging, &search).await.expect("is answered");
    let in_order: Vec<String> = (0..100).map(|n| format!("id-{n:03}")).collect();
    assert_eq!((&sorted, pages), (&in_order, vec![100]));
    // Only the five of one time change places.
    assert_ne!(shuffled, sorted);
    let fives =
        |ids: &[String]| -> Vec<BTreeSet<String>> { ids.chunks(5).map(|ids| ids.iter().cloned().collect()).collect() };
    assert_eq!(fives(&shuffled), fives(&sorted));

    let newest_first = json!({"resourceNames": [PROJECT], "pageSize": 1_000, "orderBy": "timestamp desc"});
    let (reversed, _) = read(&logging, &newest_first).await.expect("is answered");
    assert_eq!(reversed, in_order.into_iter().rev().collect::<Vec<_>>());
    logging.set_paging(Paging { order: EntryOrder::Shuffled(1), ..Paging::default() });
    let (anyhow, _) = read(&logging, &search).await.expect("is answered");
    assert_ne!(fives(&anyhow), fives(&sorted));
    assert_eq!(logging.served().records, 500);
}

#[tokio::test]
async fn delivered_pages_and_entries_are_counted() {
    let logging = start().await;
    let given = json!({"receiveTimestamp": "2026-11-22T01:00:01Z"});
    let mut whole = entry(0, "2026-11-22T01:00:00Z");
    whole["receiveTimestamp"] = given["receiveTimestamp"].clone();
    logging.ingest(&whole.to_string());
    let (_, answer) = list(&logging, &json!({"resourceNames": [PROJECT]})).await;
    assert_eq!(answer, json!({"entries": [whole]}));
    assert_eq!(logging.served(), Served { pages: 1, records: 1, bytes: whole.to_string().len() as u64 });
    assert_eq!((logging.stored_entries("acme-prod"), logging.stored_entries("none")), (1, 0));
}

#[tokio::test]
async fn an_entry_that_was_written_twice_comes_once_by_default() {
    let logging = start().await;
    let written = entry(0, "2026-11-22T01:00:00Z");
    let later = entry(0, "2026-11-22T01:00:00.000000001Z");
    for entry in [&written, &written, &later] {
        logging.ingest(&entry.to_string());
    }
    let search = json!({"resourceNames": [PROJECT]});
    assert_eq!(ids(&list(&logging, &search).await.1), ["id-000"; 2]);
    logging.set_paging(Paging { duplicates: true, ..Paging::default() });
    assert_eq!(ids(&list(&logging, &search).await.1), ["id-000"; 6]);
}

#[tokio::test]
async fn late_entries_are_seen_by_searches_that_begin_later() {
    let logging = start().await;
    let now = "2026-11-22T02:00:00Z".parse().expect("a time");
    logging.clock().set(now);
    fill(&logging, 4);
    logging.set_paging(Paging { page_records: 3, ..Paging::default() });
    let search = json!({"resourceNames": [PROJECT]});
    let (_, first) = list(&logging, &search).await;
    logging.ingest_late(&entry(9, "2026-11-22T01:00:00Z").to_string(), now + Duration::from_secs(60));
    assert_eq!(read(&logging, &search).await.expect("is answered").1, [3, 1]);
    logging.clock().advance(Duration::from_secs(60));
    let second = json!({"resourceNames": [PROJECT], "pageToken": first["nextPageToken"]});
    assert_eq!(ids(&list(&logging, &second).await.1).len(), 1, "a search that began before does not see it");
    assert_eq!(read(&logging, &search).await.expect("is answered").1, [3, 2]);
    let received = json!({"resourceNames": [PROJECT], "filter": "receiveTimestamp>=\"2026-11-22T02:00:01Z\""});
    assert_eq!(ids(&list(&logging, &received).await.1), ["id-009"]);
}

#[tokio::test]
async fn tokens_are_bound_and_expire() {
    let logging = start().await;
    fill(&logging, 9);
    let three = Paging { page_records: 3, ..Paging::default() };
    logging.set_paging(three.clone());
    let search = json!({"resourceNames": [PROJECT], "filter": "resource.type:*"});
    let (_, first) = list(&logging, &search).await;
    let mut again = search.clone();
    again["pageToken"] = first["nextPageToken"].clone();
    assert_eq!(list(&logging, &again).await, list(&logging, &again).await);
    let gone = "INVALID_ARGUMENT: page_token doesn't match arguments from the request, or has expired";
    for (member, value) in [
        ("pageToken", json!("made-up")),
        ("pageSize", json!(3)),
        ("filter", json!("resource.type:* ")),
        ("orderBy", json!("timestamp asc")),
    ] {
        let mut other = again.clone();
        other[member] = value;
        assert_eq!(refusal(&logging, &other).await, gone, "{other}");
    }

    logging.set_paging(Paging { token_uses: Some(2), ..three.clone() });
    assert_eq!(refusal(&logging, &again).await, gone);
    logging.set_paging(Paging { token_gone: Some(TokenGone { page: 3, times: 1 }), ..three.clone() });
    assert!(read(&logging, &search).await.is_err());
    assert_eq!(read(&logging, &search).await.map(|read| read.1), Ok(vec![3, 3, 3]));
    logging.set_paging(Paging { same_token: true, ..three });
    assert_eq!(list(&logging, &again).await.1["nextPageToken"], again["pageToken"]);

    logging.expire_tokens();
    assert_eq!(refusal(&logging, &again).await, gone);
    let (_, first) = list(&logging, &search).await;
    again["pageToken"] = first["nextPageToken"].clone();
    logging.clock().advance(Duration::from_hours(23));
    assert_eq!(list(&logging, &again).await.0, 200);
    logging.clock().advance(Duration::from_hours(2));
    assert_eq!(refusal(&logging, &again).await, gone);
}

#[tokio::test]
async fn a_token_may_be_required() {
    let logging = start().await;
    fill(&logging, 1);
    let ask = |bearer: Option<&'static str>| {
        let request = crate::http().post(format!("{}/v2/entries:list", logging.endpoint()));
        let request = request.json(&json!({"resourceNames": [PROJECT]}));
        let request = match bearer {
            Some(bearer) => request.header("authorization", bearer),
            None => request,
        };
        async move { request.send().await.expect("is answered").status().as_u16() }
    };
    assert_eq!((ask(None).await, ask(Some("Bearer any")).await), (200, 200));
    logging.require_token(Some("t0"));
    let asked = [ask(None).await, ask(Some("Bearer any")).await, ask(Some("t0")).await, ask(Some("Bearer t0")).await];
    assert_eq!(asked, [401, 401, 401, 200]);
    logging.require_token(None);
    assert_eq!(ask(None).await, 200);
}

#[tokio::test]
async fn private_logs_are_hidden_silently() {
    let logging = start().await;
    fill(&logging, 3);
    logging.ingest(&entry(9, "2026-11-22T01:00:01Z").to_string().replace("data_access", "activity"));
    let search = json!({"resourceNames": [PROJECT]});
    logging.hide_private_logs(true);
    assert_eq!(ids(&list(&logging, &search).await.1), ["id-009"]);
    logging.hide_private_logs(false);
    assert_eq!(ids(&list(&logging, &search).await.1).len(), 4);
}

#[tokio::test]
async fn faults_look_like_those_of_google() {
    let logging = start().await;
    fill(&logging, 3);
    let search = json!({"resourceNames": [PROJECT]});
    for (fault, http, status) in [
        (Fault::Throttled { retry_after_s: None }, 429, "RESOURCE_EXHAUSTED"),
        (Fault::InternalError, 500, "INTERNAL"),
        (Fault::Unavailable, 503, "UNAVAILABLE"),
        (Fault::Denied, 403, "PERMISSION_DENIED"),
    ] {
        logging.set_faults(Faults::next(1, &fault));
        let (found, answer) = list(&logging, &search).await;
        assert_eq!((found, &answer["error"]["code"], &answer["error"]["status"]), (http, &json!(http), &json!(status)));
    }
    assert_eq!(list(&logging, &search).await.0, 200);
}

#[tokio::test]
async fn data_is_loaded_over_the_wire() {
    let logging = start().await;
    logging.clock().set("2026-11-22T02:00:00Z".parse().expect("a time"));
    let log = "projects/acme-prod/logs/test";
    let common = json!({
        "logName": log, "resource": {"type": "global"}, "labels": {"a": "common", "b": "common"},
        "entries": [
            {"textPayload": "first", "labels": {"a": "own"}},
            {"jsonPayload": {"n": 2}, "severity": "ERROR", "insertId": "mine", "timestamp": "2026-11-22T01:00:00Z"},
            {"textPayload": "too old", "timestamp": "2026-10-22T01:00:00Z"},
            {"textPayload": "too new", "timestamp": "2026-11-23T02:00:01Z"},
        ],
    });
    let mut dry = common.clone();
    dry["dryRun"] = json!(true);
    assert_eq!(post(&logging, "/v2/entries:write", &dry).await, (200, json!({})));
    assert_eq!(logging.stored_entries("acme-prod"), 0);
    assert_eq!(post(&logging, "/v2/entries:write", &common).await, (200, json!({})));
    let (_, answer) = list(&logging, &json!({"resourceNames": [PROJECT]})).await;
    let entries = answer["entries"].as_array().expect("entries");
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[0]["labels"], json!({"a": "common", "b": "common"}));
    assert_eq!(entries[1]["labels"], json!({"a": "own", "b": "common"}));
    assert_eq!(entries[1]["timestamp"], "2026-11-22T02:00:00Z");
    assert!(entries[1]["insertId"].as_str().is_some_and(|id| id.len() == 20), "{answer}");

    let good = json!({"logName": log, "resource": {"type": "global"}, "textPayload": "good"});
    for (member, bad) in [
        ("logName", json!("projects/acme-prod/logs/not/encoded")),
        ("logName", json!("folders/1/logs/test")),
        ("resource", json!({})),
        ("jsonPayload", json!({"beside": "text"})),
        ("severity", json!("LOUD")),
        ("timestamp", json!("yesterday")),
        ("labels", json!({"n": 1})),
        ("httpRequest", json!({"status": "many"})),
        ("operation", json!({"first": "true"})),
        ("unknown", json!(1)),
    ] {
        let mut entry = good.clone();
        entry[member] = bad;
        let (http, answer) = post(&logging, "/v2/entries:write", &json!({"entries": [good, entry]})).await;
        assert_eq!((http, &answer["error"]["status"]), (400, &json!("INVALID_ARGUMENT")), "{entry}");
    }
    assert_eq!(logging.stored_entries("acme-prod"), 2);
    let partly = json!({"entries": [good, {"logName": log}], "partialSuccess": true});
    assert_eq!(post(&logging, "/v2/entries:write", &partly).await.0, 400);
    assert_eq!(logging.stored_entries("acme-prod"), 3);
}

#[tokio::test]
#[should_panic(expected = "invalid LogEntry: resource.type is missing")]
async fn ingesting_an_invalid_entry_panics() {
    start().await.ingest(r#"{"logName": "projects/acme-prod/logs/x"}"#);
}
