//! Cloud Logging with the official Python client: recorded entries of GKE, each filter checked by a predicate in
//! Python.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::Path;

use flate2::read::GzDecoder;
use serde_json::{Value, json};
use stakeout_fakes::cloud_logging::{EntryOrder, Paging, TokenGone};
use stakeout_fakes::{CloudLogging, Fault, Faults};

use super::{Facts, answered};

const RECORDINGS: [&str; 4] = ["anonymous-scan", "auth-failures", "kube-hunter", "limited"];

/// All recorded entries, in the form of one answer.
fn recorded() -> Value {
    let entries = RECORDINGS.into_iter().flat_map(|name| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../tests/data/cloud/{name}.gke.json.gz"));
        let mut text = String::new();
        let file = fs::File::open(&path).expect("the recording is there");
        GzDecoder::new(file).read_to_string(&mut text).expect("gzip of UTF-8");
        let mut answer: Value = serde_json::from_str(&text).expect("an answer of entries.list");
        std::mem::take(answer["entries"].as_array_mut().expect("it has entries"))
    });
    json!({"entries": entries.collect::<Vec<_>>()})
}

/// The documented answers of the API; Python checks the searches by filter.
fn documented() -> Value {
    let invalid = "BadRequest INVALID_ARGUMENT";
    json!({
        "filters that find nothing": ["resource.labels.cluster_name=\"other\""],
        "oldest first": true,
        "oldest first, asked for": true,
        "newest first": true,
        "pages of 7 to 40": true,
        "nothing is lost in small pages": true,
        "no such project": "NotFound NOT_FOUND",
        "no project at all": invalid,
        "an organization": "Forbidden PERMISSION_DENIED",
        "an order by id": invalid,
        "a page of 1001": invalid,
        "a page of -1": invalid,
        "malformed": invalid,
        "an undefined field": invalid,
        "lower case and": invalid,
        "a value that wants quotes": invalid,
        "a filter of 20001": invalid,
        "a filter of 20000": 1,
        "written": {
            "TextEntry": ["a text", null, {"n": "1"}],
            "StructEntry": [{"answer": 42}, "ERROR", null],
        },
        "found by its id": [["mine", "test"]],
        "an unknown severity": invalid,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_official_client_is_answered_as_documented() {
    let logging = CloudLogging::start().await.expect("a free port");
    let recorded = recorded().to_string();
    logging.set_paging(Paging { order: EntryOrder::Sorted, ..Paging::default() });
    let count = logging.ingest_answer(&recorded);
    let mut facts: Facts = answered("cloud_logging.py", &[&logging.endpoint()], &recorded);
    let names: Vec<String> = facts.keys().filter(|name| name.starts_with("filter ")).cloned().collect();
    let filters: BTreeMap<_, _> = names.into_iter().filter_map(|name| facts.remove_entry(&name)).collect();
    assert_eq!((count, filters.len()), (1_546, 21));
    assert!(filters.values().all(|found| *found == json!([0, 0])), "[missing, too many] of {filters:#?}");
    assert_eq!(Value::Object(facts), documented());
}

/// What `cloud_logging_pages.py` prints for one repetition.
#[derive(Debug, PartialEq, serde::Deserialize)]
struct Read {
    ids: Vec<String>,
    error: Option<String>,
}

/// Returns a log of 60 entries, four of each time, and the sorted ids of the 20 forbidden ones.
async fn forbidden() -> (CloudLogging, Vec<String>) {
    let logging = CloudLogging::start().await.expect("a free port");
    let mut ids = Vec::new();
    for n in 0..60 {
        let code = [0, 7, 16][n % 3];
        let entry = json!({
            "logName": "projects/acme/logs/cloudaudit.googleapis.com%2Fdata_access",
            "resource": {"type": "k8s_cluster", "labels": {"cluster_name": "prod"}},
            "timestamp": format!("2026-11-22T01:00:{:02}Z", n / 4),
            "insertId": format!("id-{n:02}"),
            "protoPayload": {
                "@type": "type.googleapis.com/google.cloud.audit.AuditLog",
                "status": {"code": code},
            },
        });
        logging.ingest(&entry.to_string());
        if code == 7 {
            ids.push(format!("id-{n:02}"));
        }
    }
    (logging, ids)
}

fn read<const TIMES: usize>(logging: &CloudLogging) -> [Read; TIMES] {
    let filter = "timestamp>=\"2026-11-22T00:00:00Z\" AND protoPayload.status.code=7";
    let args = [&logging.endpoint(), "acme", filter, "8", &TIMES.to_string()];
    let mut reads: Vec<Read> = answered("cloud_logging_pages.py", &args, "");
    reads.iter_mut().for_each(|read| read.ids.sort());
    reads.try_into().expect("one of each time")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_official_client_pages_through_ties_and_empty_pages() {
    let (logging, ids) = forbidden().await;
    let cases = [
        (Paging::default(), 3),
        (Paging { page_records: 3, order: EntryOrder::Shuffled(1), ..Paging::default() }, 7),
        (Paging { empty_pages: 2, order: EntryOrder::ShuffledTies(2), ..Paging::default() }, 9),
        (Paging { last_page_has_token: true, ..Paging::default() }, 4),
    ];
    let mut pages_before = 0;
    for (paging, pages) in cases {
        logging.set_paging(paging.clone());
        assert_eq!(read(&logging), [Read { ids: ids.clone(), error: None }], "{paging:?}");
        pages_before += pages;
        assert_eq!(logging.served().pages, pages_before, "{paging:?}");
    }
    logging.set_paging(Paging { duplicates: true, ..Paging::default() });
    let mut twice = [ids.clone(), ids].concat();
    twice.sort();
    assert_eq!(read(&logging), [Read { ids: twice, error: None }]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_official_client_reports_each_fault_as_its_class() {
    let (logging, ids) = forbidden().await;
    logging.set_paging(Paging { token_gone: Some(TokenGone { page: 3, times: 1 }), ..Paging::default() });
    let [broken_off, whole] = read(&logging);
    assert_eq!((broken_off.ids.len(), broken_off.error.as_deref()), (16, Some("BadRequest INVALID_ARGUMENT")));
    assert_eq!(whole, Read { ids, error: None });

    let faults = [
        (Fault::Throttled { retry_after_s: None }, "TooManyRequests RESOURCE_EXHAUSTED"),
        (Fault::InternalError, "InternalServerError INTERNAL"),
        (Fault::Unavailable, "ServiceUnavailable UNAVAILABLE"),
        (Fault::Denied, "Forbidden PERMISSION_DENIED"),
        (Fault::AnswerLost, "ConnectionError"),
        (Fault::ResetMidBody, "ConnectionError or ChunkedEncodingError"),
        (Fault::TruncatedBody, "JSONDecodeError"),
    ];
    let script = faults.iter().map(|(fault, _)| Some(fault.clone())).collect();
    logging.set_faults(Faults { script, ..Faults::default() });
    for ((fault, errors), read) in faults.into_iter().zip(read::<7>(&logging)) {
        let error = read.error.expect("the first page fails");
        assert!(errors.split(" or ").any(|expected| expected == error), "{fault:?}: {error}");
    }
    // After a 401 the client refreshes its token, which anonymous credentials cannot do.
    logging.require_token(Some("secret"));
    let [locked_out] = read(&logging);
    assert_eq!(locked_out, Read { ids: Vec::new(), error: Some("InvalidOperation".to_owned()) });
}
