//! Both passes of a filtered read, over logs of whole and cut messages that come in any order and in any pages.

use stakeout_cloudwatch::CloudWatch;
use stakeout_core::prefilter::Prefilter;
use stakeout_fakes::CloudWatchLogs;
use stakeout_fakes::cloudwatch_logs::{EventOrder, Paging};
use stakeout_http::Network;

use crate::{GROUP, STREAMS, config, forbidden, ingest, read, sorted_ids, start};

/// What must be read: the matching events, and beside them those that hold the mark of a cut message.
struct Expected {
    matching: Vec<String>,
    cut: Vec<String>,
}

impl Expected {
    fn sorted(&self) -> Vec<String> {
        let mut ids = [self.matching.as_slice(), self.cut.as_slice()].concat();
        ids.sort();
        ids
    }
}

/// Fills a group with events of every kind, most of them of no interest.
fn fill(logs: &CloudWatchLogs, events: i64) -> Expected {
    let mut expected = Expected { matching: Vec::new(), cut: Vec::new() };
    for n in 0..events {
        let at_ms = 1_000_000 + n * 599_999 / events;
        let stream = STREAMS[usize::try_from(n).expect("not negative") % STREAMS.len()];
        let code = [200, 403, 404, 401][usize::try_from(n).expect("not negative") % 4];
        let whole = format!(r#"{{"kind":"Event","verb":"list","responseStatus":{{"code":{code}}},"n":{n}}}"#);
        let id = ingest(logs, stream, at_ms, &whole);
        if code == 403 {
            expected.matching.push(id);
        }
        if n % 5 == 0 {
            let cut = format!(r#"{{"kind":"Event","verb":"create","requestObject":{{"n":{n},"data":"[Truncated...]"#);
            expected.cut.push(ingest(logs, stream, at_ms, &cut));
        }
    }
    expected
}

/// Adds near misses: of other logs, of other times, and cut in another way.
fn surround(logs: &CloudWatchLogs, expected: &mut Expected) {
    let forbidden = r#"{"kind":"Event","responseStatus":{"code":403}}"#;
    let cut = r#"{"kind":"Event","responseStatus":{"code":403},"x":"[Truncated...]"#;
    for message in [forbidden, cut] {
        ingest(logs, "authenticator-1", 1_300_000, message);
        ingest(logs, STREAMS[0], 999_999, message);
        ingest(logs, STREAMS[0], 1_600_000, message);
    }
    ingest(logs, STREAMS[0], 1_300_000, r#"{"kind":"Event","x":"[truncated...]"#);
    ingest(logs, STREAMS[0], 1_300_000, r#"{"kind":"Event","responseStatus":{"code":403},"x":"Trunc"#);
    expected.matching.push(ingest(logs, STREAMS[0], 1_000_000, forbidden));
    expected.matching.push(ingest(logs, STREAMS[0], 1_599_999, forbidden));
    expected.cut.push(ingest(logs, STREAMS[0], 1_599_999, cut));
    // A client may write the mark into a whole event, which then comes in both passes.
    let both = r#"{"kind":"Event","userAgent":"[Truncated...]","responseStatus":{"code":403}}"#;
    let id = ingest(logs, STREAMS[1], 1_300_000, both);
    expected.matching.push(id.clone());
    expected.cut.push(id);
}

fn pagings() -> Vec<Paging> {
    let orders = [EventOrder::Sorted, EventOrder::Shuffled(1), EventOrder::Shuffled(2)];
    let mut pagings = Vec::new();
    for order in orders {
        for page_records in [1, 7, 10_000] {
            for (empty_pages, last_page_has_token) in [(0, false), (0, true), (3, false), (2, true)] {
                pagings.push(Paging { page_records, empty_pages, last_page_has_token, order, ..Paging::default() });
            }
        }
    }
    pagings
}

#[tokio::test]
async fn both_passes_together_give_matching_and_cut_events() {
    let (logs, cloudwatch) = start().await;
    let mut expected = fill(&logs, 60);
    surround(&logs, &mut expected);
    for paging in pagings() {
        logs.set_paging(paging.clone());
        let (records, pages) = read(&cloudwatch, &forbidden()).await.expect("is answered");
        assert_eq!(sorted_ids(records), expected.sorted(), "{paging:?}");
        let filled = [&expected.matching, &expected.cut].map(|ids| ids.len().div_ceil(paging.page_records));
        let wanted = filled.iter().sum::<usize>() * (1 + paging.empty_pages as usize);
        assert!(pages >= wanted, "{pages} pages of {wanted}: {paging:?}");
    }
}

#[tokio::test]
async fn an_event_that_comes_twice_has_one_id() {
    let (logs, cloudwatch) = start().await;
    let expected = fill(&logs, 40).sorted();
    logs.set_paging(Paging { duplicates: true, page_records: 3, ..Paging::default() });
    let (records, _) = read(&cloudwatch, &forbidden()).await.expect("is answered");
    let mut ids = sorted_ids(records);
    assert_eq!(ids.len(), 2 * expected.len());
    ids.dedup();
    assert_eq!(ids, expected);
}

#[tokio::test]
async fn without_a_filter_one_pass_reads_everything_once() {
    let (logs, cloudwatch) = start().await;
    fill(&logs, 30);
    logs.set_paging(Paging { page_records: 4, empty_pages: 1, ..Paging::default() });
    let (records, _) = read(&cloudwatch, &Prefilter::Any).await.expect("is answered");
    let ids = sorted_ids(records);
    assert_eq!(ids.len(), logs.stored_events(GROUP));
    assert!(ids.is_sorted_by(|a, b| a < b), "an id came twice");
    assert!(logs.requests().iter().all(|request| !request.body.contains("filterPattern")));
}

#[tokio::test]
async fn a_group_given_as_arn_and_a_page_size_are_taken() {
    let (logs, _) = start().await;
    let expected = fill(&logs, 40).sorted();
    let mut config = config(&logs);
    config.log_group = format!("arn:aws:logs:eu-west-1:000000000000:log-group:{GROUP}:*");
    config.page_size = Some(5);
    let cloudwatch = CloudWatch::new(config, &Network::default());
    let (records, pages) = read(&cloudwatch, &forbidden()).await.expect("is answered");
    assert_eq!(sorted_ids(records), expected);
    assert_eq!(pages, 2 + 2, "ten matching events and eight cut ones, five to a page");
}

#[tokio::test]
async fn a_window_without_records_differs_from_one_without_matches() {
    let (logs, cloudwatch) = start().await;
    ingest(&logs, STREAMS[0], 1_300_000, r#"{"responseStatus":{"code":200}}"#);
    logs.set_paging(Paging { empty_pages: 4, ..Paging::default() });
    assert!(cloudwatch.has_records(crate::window()).await.expect("is answered"));
    let (records, _) = read(&cloudwatch, &forbidden()).await.expect("is answered");
    assert_eq!(records, []);

    let (logs, cloudwatch) = start().await;
    ingest(&logs, STREAMS[0], 1_600_000, "{}");
    ingest(&logs, "authenticator-1", 1_300_000, "{}");
    assert!(!cloudwatch.has_records(crate::window()).await.expect("is answered"));
}
