//! Whole reads: whatever the pages are like, they hold what matches, once the copies are left out, and nothing beside it.

use stakeout_cloud_logging::{CloudLogging, decode};
use stakeout_core::prefilter::Prefilter;
use stakeout_fakes::cloud_logging::{EntryOrder, Paging};
use stakeout_fakes::{CloudLogging as FakeCloudLogging, Fault, Faults};
use stakeout_http::Network;

use crate::{BEGIN, Entry, SECONDS, asked, config, forbidden, read, sorted_ids, start, window};

/// Fills the log with entries of both kinds, a third of them denials; answers the ids of all and of the denials.
fn fill(logs: &FakeCloudLogging, number: usize) -> (Vec<String>, Vec<String>) {
    let (mut all, mut denied) = (Vec::new(), Vec::new());
    for n in 0..number {
        let at_ms = BEGIN * 1_000 + i64::try_from(n * 599_999 / number).expect("small");
        let log = ["activity", "data_access"][n % 2];
        let grpc = [7, 0, 16][n % 3];
        let id = Entry { log, grpc, ..Entry::denied(format!("n{n}"), at_ms) }.ingest(logs);
        all.push(id.clone());
        if grpc == 7 {
            denied.push(id);
        }
    }
    (all, denied)
}

/// Adds near misses, of other clusters, services, logs and times; returns the ids of the entries just inside.
fn surround(logs: &FakeCloudLogging) -> Vec<String> {
    let begin_ms = BEGIN * 1_000;
    let end_ms = begin_ms + SECONDS * 1_000;
    let inside = Entry::denied("b", begin_ms + 1);
    for entry in [
        Entry { cluster: "prod-2", ..inside.clone() },
        Entry { service: "container.googleapis.com", ..inside.clone() },
        Entry { log: "system_event", ..inside.clone() },
        Entry::denied("early", begin_ms - 1),
        Entry::denied("late", end_ms),
    ] {
        entry.ingest(logs);
    }
    vec![Entry::denied("first", begin_ms).ingest(logs), Entry::denied("last", end_ms - 1).ingest(logs)]
}

fn sorted(mut ids: Vec<String>) -> Vec<String> {
    ids.sort();
    ids
}

#[tokio::test]
async fn the_pages_of_a_window_hold_the_matches() {
    let (logs, reader) = start().await;
    let (_, denied) = fill(&logs, 60);
    let expected = sorted([denied, surround(&logs)].concat());
    for order in [EntryOrder::Sorted, EntryOrder::ShuffledTies(3), EntryOrder::Shuffled(1)] {
        for page_records in [1, 7, 1_000] {
            for (empty_pages, last_page_has_token) in [(0, false), (0, true), (3, false), (2, true)] {
                let paging = Paging { page_records, empty_pages, last_page_has_token, order, ..Paging::default() };
                logs.set_paging(paging.clone());
                let (records, pages) = read(&reader, &forbidden()).await.expect("is answered");
                assert_eq!(sorted_ids(records), expected, "{paging:?}");
                let wanted = expected.len().div_ceil(page_records) * (1 + empty_pages as usize);
                assert!(pages >= wanted, "{pages} pages of {wanted}: {paging:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_record_can_be_decoded_and_has_the_id_of_its_entry() {
    let (logs, reader) = start().await;
    let id = Entry::denied("x", BEGIN * 1_000 + 120).ingest(&logs);
    let (records, _) = read(&reader, &forbidden()).await.expect("is answered");
    let enveloped = decode::entry(&records[0].body).expect("an audit entry");
    assert_eq!((records.len(), &records[0].record_id, &enveloped.record_id), (1, &id, &id));
    assert_eq!((records[0].time_ms, enveloped.time_ms), (BEGIN * 1_000 + 120, BEGIN * 1_000 + 120));
    let event = enveloped.decoded.event;
    assert_eq!((event.response_code, event.username.as_deref()), (Some(403), Some("system:anonymous")));
    assert_eq!(enveloped.cluster.as_deref(), Some("prod"));
}

#[tokio::test]
async fn an_entry_that_comes_twice_has_one_id() {
    let (logs, reader) = start().await;
    let (_, denied) = fill(&logs, 40);
    logs.set_paging(Paging { duplicates: true, page_records: 3, ..Paging::default() });
    let (records, _) = read(&reader, &forbidden()).await.expect("is answered");
    let mut ids = sorted_ids(records);
    assert_eq!(ids.len(), 2 * denied.len());
    ids.dedup();
    assert_eq!(ids, sorted(denied));
}

#[tokio::test]
async fn without_a_prefilter_everything_of_the_cluster_is_read() {
    let (logs, reader) = start().await;
    let (all, _) = fill(&logs, 30);
    let expected = sorted([all, surround(&logs)].concat());
    let (records, pages) = read(&reader, &Prefilter::Any).await.expect("is answered");
    assert_eq!((sorted_ids(records), pages), (expected, 1));
}

#[tokio::test]
async fn a_page_is_one_request_whose_token_goes_with_the_same_parameters() {
    let (logs, _) = start().await;
    fill(&logs, 60);
    let mut config = config(&logs);
    config.page_size = Some(8);
    config.location = Some("europe-west1".to_owned());
    let (records, pages) =
        read(&CloudLogging::new(config, &Network::default()), &forbidden()).await.expect("is answered");
    assert_eq!((records.len(), pages), (20, 3));
    let mut requests = asked(&logs);
    assert_eq!(requests.len(), 3);
    for request in &mut requests {
        request["pageToken"].take();
    }
    assert_eq!(requests[0]["resourceNames"], serde_json::json!(["projects/acme-prod"]));
    assert_eq!(requests[0]["orderBy"], "timestamp asc");
    assert_eq!(requests[0]["pageSize"], 8);
    assert!(requests.iter().all(|request| *request == requests[0]), "{requests:#?}");
}

#[tokio::test]
async fn a_page_is_as_large_as_it_may_be() {
    let (logs, reader) = start().await;
    reader.page(window(), &forbidden(), None).await.expect("is answered");
    let mut config = config(&logs);
    config.page_size = Some(5_000);
    CloudLogging::new(config, &Network::default()).page(window(), &forbidden(), None).await.expect("is answered");
    assert!(asked(&logs).iter().all(|request| request["pageSize"] == 1_000));
}

#[tokio::test]
async fn a_filter_that_is_refused_costs_no_entry() {
    let (logs, reader) = start().await;
    let (all, _) = fill(&logs, 10);
    let refusal = r#"{"error":{"code":400,"message":"Unparseable filter","status":"INVALID_ARGUMENT"}}"#;
    logs.set_faults(Faults::next(1, &Fault::Answer { status: 400, body: refusal.to_owned() }));
    let (records, pages) = read(&reader, &forbidden()).await.expect("is answered");
    assert_eq!((sorted_ids(records), pages), (sorted(all), 2));
}

#[tokio::test]
async fn a_window_without_records_differs_from_one_without_matches() {
    let (logs, reader) = start().await;
    Entry { grpc: 0, ..Entry::denied("x", BEGIN * 1_000) }.ingest(&logs);
    logs.set_paging(Paging { empty_pages: 4, ..Paging::default() });
    assert!(reader.has_records(window()).await.expect("is answered"));
    assert_eq!(read(&reader, &forbidden()).await.expect("is answered").0, []);

    let (logs, reader) = start().await;
    Entry::denied("x", (BEGIN + SECONDS) * 1_000).ingest(&logs);
    assert!(!reader.has_records(window()).await.expect("is answered"));
    logs.set_paging(Paging { empty_pages: 11, ..Paging::default() });
    Entry::denied("x", BEGIN * 1_000).ingest(&logs);
    assert!(reader.has_records(window()).await.is_err(), "eleven empty pages prove nothing");
}

/// The sender of a request chooses how long its agent is.
#[tokio::test]
async fn a_page_of_long_entries_is_asked_for_again_in_smaller_ones() {
    let (logs, reader) = start().await;
    let agent = "x".repeat(250_000);
    let long = |n: i64| Entry { agent: agent.clone(), ..Entry::denied(format!("n{n}"), (BEGIN + n) * 1_000) };
    let mut ids: Vec<String> = (0..100).map(|n| long(n).ingest(&logs)).collect();
    ids.sort();
    let (records, _) = read(&reader, &forbidden()).await.expect("is answered");
    assert_eq!(sorted_ids(records), ids);
    let sizes: Vec<i64> = asked(&logs).iter().filter_map(|request| request["pageSize"].as_i64()).collect();
    assert_eq!(sizes, [1_000, 250, 62, 62]);
}
