//! Windows of every table and plan: their rows, the rows just outside, and that two halves make a whole.

use std::time::Duration;

use serde_json::json;
use stakeout_azure_monitor::{AuditTable, AzureMonitor, Plan, decode};
use stakeout_core::event::CutFields;
use stakeout_core::prefilter::Prefilter;
use stakeout_core::record::{CutRequests, FetchError, PageToken, RawRecord};
use stakeout_core::time::{Second, Window};
use stakeout_fakes::LogAnalytics;
use stakeout_fakes::log_analytics::Answering;

use crate::{RESOURCE, forbidden, ingest, row, sorted_ids, start, window};

const HOUR_MS: i64 = 3_600_000;

/// Fills a table with the rows to read and with near misses: of other clusters, times and codes.
fn fill(logs: &LogAnalytics, table: AuditTable) -> Vec<String> {
    let mut expected = Vec::new();
    for n in 0..40 {
        let code = if n % 4 == 0 { 403 } else { 200 };
        let id = format!("{n:02}");
        ingest(logs, table, row(table, &id, n * 90_000, code));
        if code == 403 {
            expected.push(id);
        }
    }
    for (id, after_ms) in [("first", 0), ("last", HOUR_MS - 1)] {
        ingest(logs, table, row(table, id, after_ms, 403));
        expected.push(id.to_owned());
    }
    for after_ms in [-1, -60_000, HOUR_MS, HOUR_MS + 1_000] {
        ingest(logs, table, row(table, "beside", after_ms, 403));
    }
    for resource in [RESOURCE.replace("aks-prod", "aks-prod2"), RESOURCE.replace("aks-prod", "other-aks-prod")] {
        let mut other = row(table, "of another cluster", 1_000, 403);
        other["_ResourceId"] = json!(resource);
        ingest(logs, table, other);
    }
    if table == AuditTable::AzureDiagnostics {
        let mut other = row(table, "of another log", 1_000, 403);
        other["Category"] = json!("guard");
        ingest(logs, table, other);
    }
    expected.sort();
    expected
}

/// Reads a window as the daemon does: where an answer is a part, the two halves, down to a second.
async fn read(azure_monitor: &AzureMonitor, window: Window) -> Result<Vec<RawRecord>, FetchError> {
    let (mut records, mut left) = (Vec::new(), vec![window]);
    while let Some(window) = left.pop() {
        match azure_monitor.page(window, &forbidden(), None).await {
            Ok(page) => records.extend(page.records),
            Err(FetchError::Truncated { .. }) => {
                let middle = Second(window.earliest().0.midpoint(window.latest().0));
                left.extend(Window::new(window.earliest(), middle));
                left.extend(Window::new(middle, window.latest()));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(records)
}

fn ids(records: &[RawRecord]) -> Vec<String> {
    sorted_ids(records.iter().map(|record| record.body.as_str()))
}

#[tokio::test]
async fn a_window_holds_its_rows_in_every_table_and_plan() {
    for table in AuditTable::ALL {
        for plan in [Plan::Analytics, Plan::Basic] {
            let (logs, azure_monitor) = start(table, plan).await;
            let expected = fill(&logs, table);
            let page = azure_monitor.page(window(), &forbidden(), None).await.expect("is answered");
            assert_eq!(ids(&page.records), expected, "{table:?} {plan:?}");
            assert_eq!((page.next, page.unusable), (None, 0));
            assert_eq!(page.bytes, page.records.iter().map(|record| record.body.len() as u64).sum::<u64>());
            let whole = azure_monitor.page(window(), &Prefilter::Any, None).await.expect("is answered");
            assert_eq!(whole.records.len(), 42, "{table:?} {plan:?}");
            assert_eq!(logs.served().wait_s, Some(600));
        }
    }
}

#[tokio::test]
async fn halves_of_a_window_make_a_whole() {
    for plan in [Plan::Analytics, Plan::Basic] {
        for answering in [
            Answering { rows_max: 3, ..Answering::default() },
            Answering { partial_next: 3, ..Answering::default() },
            Answering { span_max: Some(Duration::from_secs(300)), ..Answering::default() },
        ] {
            let (logs, azure_monitor) = start(AuditTable::AksAudit, plan).await;
            let expected = fill(&logs, AuditTable::AksAudit);
            logs.set_answering(answering.clone());
            let first = azure_monitor.page(window(), &forbidden(), None).await;
            assert!(matches!(first, Err(FetchError::Truncated { .. })), "{answering:?}: {first:?}");
            let records = read(&azure_monitor, window()).await.expect("is answered");
            assert_eq!(ids(&records), expected, "{answering:?}");
        }
    }
}

/// Follows the pages of the one second in which [`second_of`] has rows, and returns the records and what was cut.
async fn read_second(azure_monitor: &AzureMonitor) -> Result<(Vec<RawRecord>, CutRequests), FetchError> {
    let second = Window::new(window().earliest(), window().earliest().plus(1)).expect("a second");
    let (mut records, mut cut, mut token) = (Vec::new(), CutRequests::default(), None);
    loop {
        let page = azure_monitor.page(second, &forbidden(), token.as_ref()).await?;
        records.extend(page.records);
        cut.add(page.cut);
        token = page.next;
        if token.is_none() {
            return Ok((records, cut));
        }
    }
}

/// Fills a second with so many rows.
fn second_of(
    logs: &LogAnalytics,
    table: AuditTable,
    rows: usize,
    with: impl Fn(usize, &mut serde_json::Value),
) -> Vec<String> {
    let ids: Vec<String> = (0..rows).map(|n| format!("{n:04}")).collect();
    for (n, id) in ids.iter().enumerate() {
        let mut row = row(table, id, 500, 403);
        with(n, &mut row);
        ingest(logs, table, row);
    }
    ids
}

#[tokio::test]
async fn a_second_of_the_shared_table_that_does_not_fit_is_split_by_a_hash() {
    let (logs, azure_monitor) = start(AuditTable::AzureDiagnostics, Plan::Analytics).await;
    let expected = second_of(&logs, AuditTable::AzureDiagnostics, 60, |_, _| {});
    for (rows_max, requests) in [(12, 1 + 16), (3, 2 + 256)] {
        logs.set_answering(Answering { rows_max, ..Answering::default() });
        let before = logs.requests().len();
        let (records, cut) = read_second(&azure_monitor).await.expect("is answered");
        assert_eq!((ids(&records), cut), (expected.clone(), CutRequests::default()), "{rows_max}");
        assert!(logs.requests().len() - before <= requests, "{} requests", logs.requests().len() - before);
    }
    logs.set_answering(Answering { rows_max: 0, ..Answering::default() });
    assert!(matches!(read_second(&azure_monitor).await, Err(FetchError::Truncated { .. })));
}

#[tokio::test]
async fn a_second_of_long_agents_is_read_without_their_ends() {
    for plan in [Plan::Analytics, Plan::Basic] {
        let (logs, azure_monitor) = start(AuditTable::AksAudit, plan).await;
        let (long, short) = ("x".repeat(60_000), "y".repeat(256));
        let expected = second_of(&logs, AuditTable::AksAudit, 240, |n, row| {
            row["RequestUri"] = json!(if n == 0 { &short } else { &long });
            row["UserAgent"] = json!(if n < 2 { &short } else { &long });
        });
        let (records, cut_requests) = read_second(&azure_monitor).await.expect("is answered");
        assert_eq!(ids(&records), expected);
        let both = CutFields { request_uri: true, user_agent: true };
        assert_eq!(cut_requests, CutRequests { requests: 239, fields: both });
        let events = records.iter().map(|record| decode::row(&record.body).expect("an event").decoded.event);
        let mut cut: Vec<_> =
            events.map(|event| (event.audit_id.clone(), event.cut_fields, event.user_agent)).collect();
        cut.sort_by(|left, right| left.0.cmp(&right.0));
        assert_eq!((cut[0].1, cut[0].2.as_deref()), (CutFields::default(), Some(short.as_str())));
        assert_eq!(
            (cut[1].1, cut[1].2.as_deref()),
            (CutFields { request_uri: true, user_agent: false }, Some(short.as_str()))
        );
        assert_eq!(
            (cut[2].1, cut[2].2.as_deref()),
            (CutFields { request_uri: true, user_agent: true }, Some(&long[..256]))
        );
    }
}

#[tokio::test]
async fn no_content_means_no_rows_and_an_empty_body_is_an_error() {
    let (logs, azure_monitor) = start(AuditTable::AksAudit, Plan::Analytics).await;
    let expected = fill(&logs, AuditTable::AksAudit);
    logs.set_answering(Answering { no_content_next: 2, ..Answering::default() });
    let page = azure_monitor.page(window(), &forbidden(), None).await.expect("is answered");
    assert_eq!((page.records, page.next), (vec![], None));
    assert!(!azure_monitor.has_records(window()).await.expect("is answered"));

    logs.set_answering(Answering { empty_body_next: 2, ..Answering::default() });
    for _ in 0..2 {
        match azure_monitor.page(window(), &forbidden(), None).await {
            Err(FetchError::Unavailable { reason }) => assert!(reason.contains("empty"), "{reason}"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(ids(&read(&azure_monitor, window()).await.expect("is answered")), expected);
}

#[tokio::test]
async fn whether_anything_is_logged_can_be_told() {
    for table in AuditTable::ALL {
        for plan in [Plan::Analytics, Plan::Basic] {
            let (logs, azure_monitor) = start(table, plan).await;
            for after_ms in [-1, HOUR_MS + 500] {
                ingest(&logs, table, row(table, "beside", after_ms, 200));
            }
            assert!(!azure_monitor.has_records(window()).await.expect("is answered"), "{table:?} {plan:?}");
            ingest(&logs, table, row(table, "in it", 1_000, 200));
            assert!(azure_monitor.has_records(window()).await.expect("is answered"), "{table:?} {plan:?}");
        }
    }
}

#[tokio::test]
async fn there_is_no_second_page() {
    let (_logs, azure_monitor) = start(AuditTable::AksAudit, Plan::Analytics).await;
    let token = PageToken("another provider's".to_owned());
    let answer = azure_monitor.page(window(), &forbidden(), Some(&token)).await;
    assert!(matches!(answer, Err(FetchError::TokenGone { .. })), "{answer:?}");
}
