//! CloudWatch Logs with boto3: the same requests to the fake and to moto, and the faults that only the fake has.

use serde_json::{Value, json};
use stakeout_fakes::cloudwatch_logs::{EventOrder, Paging, TokenGone};
use stakeout_fakes::{CloudWatchLogs, Fault, Faults};

use super::{Differs, Facts, answered, assert_alike};
use crate::support::python::Moto;

const GROUP: &str = "/aws/eks/prod/cluster";
const FORBIDDEN: &str = "{ $.code = 403 }";

/// Differences of moto, besides JSON patterns, which it never evaluates.
const MOTO_DIFFERS: &[Differs] = &[
    ("a group by its arn", "moto's search does not know logGroupIdentifier"),
    ("a pattern of 1025", "moto takes a pattern of any length"),
    ("a stream name with a colon", "moto checks no names of streams"),
    ("a stream prefix", "moto ignores logStreamNamePrefix"),
    ("an unknown token", "moto takes any token"),
    ("an end before the start", "moto finds nothing instead"),
    ("malformed \"not closed", "moto parses no pattern"),
    ("malformed { $.verb = system:anonymous }", "moto parses no pattern"),
    ("malformed { $.verb = }", "moto parses no pattern"),
    ("malformed { $.verb == 1 }", "moto parses no pattern"),
    ("names and a prefix", "moto takes both"),
    ("no such stream", "moto finds nothing instead"),
    ("phrase \"\\\"verb\\\":\\\"list\\\"\"", "moto searches the escapes literally"),
    ("put: 10001 events", "moto knows no limit of a batch"),
    ("put: all too large", "moto knows no limit of a batch"),
    ("put: nothing but old", "moto's index of the last old event includes it; the API's does not"),
    ("put: one event too large", "moto knows no limit of an event"),
    ("put: over 24 hours", "moto knows no span of a batch"),
    (
        "put: too old and too new",
        "moto names the last of each; the API the first new one, and the one after the last old",
    ),
];

/// The documented answers of the cloud; Python checks the searches by pattern.
fn documented() -> Value {
    let found = json!([0, 0]);
    let invalid = "InvalidParameterException InvalidParameterException";
    let missing = "ResourceNotFoundException ResourceNotFoundException";
    let exists = "ResourceAlreadyExistsException ResourceAlreadyExistsException";
    json!({
        "fill": {},
        "everything": found,
        "a window with both ends": found,
        "a stream prefix": found,
        "stream names": found,
        "pages of 50": [50, 50, 50, 50, 40],
        "a group by its arn": found,
        "ids are unique": true,
        "ids stay": true,
        "no such group": missing,
        "no such stream": missing,
        "an unknown token": invalid,
        "a limit of 10001": invalid,
        "an end before the start": invalid,
        "names and a prefix": invalid,
        "malformed { $.verb = }": invalid,
        "malformed { $.verb == 1 }": invalid,
        "malformed { $.verb = system:anonymous }": invalid,
        "malformed \"not closed": invalid,
        "a pattern of 1025": invalid,
        "put: too old and too new": {"tooOldLogEventEndIndex": 2, "tooNewLogEventStartIndex": 3},
        "put: nothing but old": {"tooOldLogEventEndIndex": 2},
        "put: out of order": invalid,
        "put: over 24 hours": invalid,
        "put: exactly 24 hours": {},
        "put: 10001 events": invalid,
        "put: 10000 events": {},
        "put: one event too large": invalid,
        "put: one event just fits": {},
        "put: all too large": invalid,
        "put: all just fit": {},
        "put: nothing": "ParamValidationError",
        "put: no such stream": missing,
        "put: no such group": missing,
        "a group twice": exists,
        "a stream twice": exists,
        "a stream name with a colon": invalid,
        "groups": [GROUP, "limits"],
    })
}

/// Removes the searches by pattern or phrase from facts.
fn take_searches(facts: &mut Facts, kind: &str) -> Facts {
    let names: Vec<String> = facts.keys().filter(|name| name.starts_with(kind)).cloned().collect();
    names.into_iter().filter_map(|name| facts.remove_entry(&name)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn boto3_is_answered_as_documented_and_by_moto_alike() {
    let logs = CloudWatchLogs::start().await.expect("a free port");
    let mut fake: Facts = answered("cloudwatch_logs.py", &[&logs.endpoint()], "");
    let moto = Moto::start();
    let mut others: Facts = answered("cloudwatch_logs.py", &[moto.endpoint()], "");

    let patterns = take_searches(&mut fake, "pattern ");
    assert_eq!(patterns.len(), 9);
    assert!(patterns.values().all(|found| *found == json!([0, 0])), "[missing, too many] of {patterns:#?}");
    for (pattern, found) in take_searches(&mut others, "pattern ") {
        assert!(found[0] == 0 && found[1].as_u64() > Some(0), "moto reads {pattern}: {found}");
    }
    assert_alike(&fake, &others, MOTO_DIFFERS);

    let phrases = take_searches(&mut fake, "phrase ");
    assert_eq!(phrases.len(), 4);
    assert!(phrases.values().all(|found| *found == json!([0, 0])), "[missing, too many] of {phrases:#?}");
    assert_eq!(Value::Object(fake), documented());
}

/// What `cloudwatch_pages.py` prints.
#[derive(Debug, PartialEq, serde::Deserialize)]
struct Read {
    ids: Vec<String>,
    pages: Vec<usize>,
    retries: u32,
    error: Option<String>,
}

/// Answers a group of 60 events over three streams, and the sorted ids of the 20 forbidden ones.
async fn forbidden() -> (CloudWatchLogs, Vec<String>) {
    let logs = CloudWatchLogs::start().await.expect("a free port");
    let mut ids = Vec::new();
    for n in 0..60 {
        let code = 401 + n % 3;
        let stream = format!("kube-apiserver-audit-{}", n % 4);
        let id = logs.ingest(GROUP, &stream, 1_795_309_252_000 + n, &json!({"code": code, "n": n}).to_string());
        if code == 403 {
            ids.push(id);
        }
    }
    ids.sort();
    (logs, ids)
}

fn read(logs: &CloudWatchLogs, retries: &[&str]) -> Read {
    let endpoint = logs.endpoint();
    let mut read: Read = answered("cloudwatch_pages.py", &[&[&endpoint, GROUP, FORBIDDEN], retries].concat(), "");
    read.ids.sort();
    read
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn boto3_pages_through_shuffled_streams_and_empty_pages() {
    let (logs, ids) = forbidden().await;
    let shuffled = |seed| Paging { page_records: 8, order: EventOrder::Shuffled(seed), ..Paging::default() };
    let cases = [
        (shuffled(1), vec![8, 8, 4]),
        (Paging { empty_pages: 2, ..shuffled(2) }, vec![0, 0, 8, 0, 0, 8, 0, 0, 4]),
        (Paging { last_page_has_token: true, ..shuffled(3) }, vec![8, 8, 4, 0]),
        (Paging { order: EventOrder::Sorted, ..shuffled(4) }, vec![8, 8, 4]),
    ];
    for (paging, pages) in cases {
        logs.set_paging(paging.clone());
        let expected = Read { ids: ids.clone(), pages, retries: 0, error: None };
        assert_eq!(read(&logs, &[]), expected, "{paging:?}");
    }
    logs.set_paging(Paging { duplicates: true, ..shuffled(5) });
    let mut twice = [ids.clone(), ids].concat();
    twice.sort();
    assert_eq!(read(&logs, &[]), Read { ids: twice, pages: vec![8; 5], retries: 0, error: None });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn boto3_sees_what_goes_wrong_as_the_class_that_it_is() {
    let (logs, ids) = forbidden().await;
    let three_pages = Paging { page_records: 8, ..Paging::default() };
    let invalid = "InvalidParameterException InvalidParameterException";
    logs.set_paging(Paging { token_gone: Some(TokenGone { page: 2, times: 1 }), ..three_pages.clone() });
    assert_eq!(read(&logs, &[]).error.as_deref(), Some(invalid));
    logs.set_paging(Paging { same_token: true, ..three_pages.clone() });
    assert_eq!(read(&logs, &[]).error.as_deref(), Some("PaginationError"));

    logs.set_paging(three_pages);
    // A reset may reach the client before it has read the first byte. Half a body is no error to boto3, which makes an
    // answer without members of it; our own reader must not (see the tests of stakeout-cloudwatch).
    for (fault, errors) in [
        (Fault::Throttled { retry_after_s: None }, "ThrottlingException ThrottlingException"),
        (Fault::InternalError, "ClientError InternalFailure"),
        (Fault::Unavailable, "ServiceUnavailableException ServiceUnavailableException"),
        (Fault::Denied, "AccessDeniedException AccessDeniedException"),
        (Fault::AnswerLost, "ConnectionClosedError"),
        (Fault::ResetMidBody, "ConnectionClosedError or ResponseStreamingError"),
        (Fault::TruncatedBody, "an answer without events"),
    ] {
        logs.set_faults(Faults::next(1, &fault));
        let error = read(&logs, &[]).error.expect("the first page fails");
        assert!(errors.split(" or ").any(|expected| expected == error), "{fault:?}: {error}");
    }
    for fault in [Fault::Throttled { retry_after_s: None }, Fault::Unavailable] {
        logs.set_faults(Faults::next(1, &fault));
        let expected = Read { ids: ids.clone(), pages: vec![8, 8, 4], retries: 1, error: None };
        assert_eq!(read(&logs, &["2"]), expected, "boto3 tries again after {fault:?}");
    }
}
