//! Failures on the way: the error that the caller gets, and that following it loses nothing.

use std::time::Duration;

use stakeout_cloudwatch::CloudWatch;
use stakeout_core::prefilter::Prefilter;
use stakeout_core::record::{FetchError, Page, PageToken};
use stakeout_fakes::cloudwatch_logs::{LogGroupClass, Paging, TokenGone};
use stakeout_fakes::{CloudWatchLogs, Fault, Faults};
use stakeout_http::Network;

use crate::{GROUP, STREAMS, config, forbidden, ingest, read, sorted_ids, start, window};

/// Eight matching events in pages of three, the first of which is read.
async fn under_way() -> (CloudWatchLogs, CloudWatch, Vec<String>, PageToken) {
    let (logs, cloudwatch) = start().await;
    let mut ids: Vec<String> =
        (0..8).map(|n| ingest(&logs, STREAMS[n % 3], 1_100_000, r#"{"responseStatus":{"code":403}}"#)).collect();
    ids.sort();
    logs.set_paging(Paging { page_records: 3, ..Paging::default() });
    let token = first_page(&cloudwatch).await.next.expect("a second page");
    (logs, cloudwatch, ids, token)
}

async fn first_page(cloudwatch: &CloudWatch) -> Page {
    cloudwatch.page(window(), &forbidden(), None).await.expect("is answered")
}

async fn next_page(cloudwatch: &CloudWatch, token: &PageToken) -> Result<Page, FetchError> {
    cloudwatch.page(window(), &forbidden(), Some(token)).await
}

fn assert_gone(answer: &Result<Page, FetchError>) {
    assert!(matches!(answer, Err(FetchError::TokenGone { .. })), "{answer:?}");
}

#[tokio::test]
async fn a_token_that_expires_is_gone_and_the_window_can_be_read_again() {
    let (logs, cloudwatch, ids, token) = under_way().await;
    logs.expire_tokens();
    assert_gone(&next_page(&cloudwatch, &token).await);
    let (records, _) = read(&cloudwatch, &forbidden()).await.expect("is answered");
    assert_eq!(sorted_ids(records), ids);

    let token = first_page(&cloudwatch).await.next.expect("a second page");
    logs.clock().advance(Duration::from_hours(25));
    assert_gone(&next_page(&cloudwatch, &token).await);
}

#[tokio::test]
async fn a_token_that_is_lost_in_either_pass_is_gone() {
    let (logs, cloudwatch, ids, _) = under_way().await;
    let cut: Vec<String> = (0..4)
        .map(|_| ingest(&logs, STREAMS[0], 1_100_000, r#"{"responseStatus":{"code":403},"[Truncated...]"#))
        .collect();
    for pages_before in [1, 2] {
        logs.set_paging(Paging {
            page_records: 3,
            token_gone: Some(TokenGone { page: pages_before + 1, times: 1 }),
            ..Paging::default()
        });
        assert!(matches!(read(&cloudwatch, &forbidden()).await, Err(FetchError::TokenGone { .. })));
    }
    let (records, _) = read(&cloudwatch, &forbidden()).await.expect("is answered");
    let mut expected = [ids, cut].concat();
    expected.sort();
    assert_eq!(sorted_ids(records), expected);
}

#[tokio::test]
async fn a_token_that_repeats_itself_is_gone_and_does_not_end_the_window() {
    let (logs, cloudwatch, _, token) = under_way().await;
    logs.set_paging(Paging { page_records: 3, same_token: true, ..Paging::default() });
    assert_gone(&next_page(&cloudwatch, &token).await);
}

#[tokio::test]
async fn a_token_belongs_to_its_search() {
    let (_logs, cloudwatch, _, token) = under_way().await;
    assert_gone(&cloudwatch.page(window(), &Prefilter::Any, Some(&token)).await);
    assert!(next_page(&cloudwatch, &token).await.is_ok());
}

#[tokio::test]
async fn a_retry_after_a_temporary_error_loses_nothing() {
    let (logs, cloudwatch, ids, token) = under_way().await;
    let whole = next_page(&cloudwatch, &token).await.expect("is answered");
    let lost = [
        Fault::InternalError,
        Fault::Unavailable,
        Fault::ResetMidBody,
        Fault::TruncatedBody,
        Fault::AnswerLost,
        Fault::Answer { status: 502, body: "<html>".to_owned() },
        Fault::Answer { status: 200, body: String::new() },
    ];
    for fault in lost {
        logs.set_faults(Faults::next(1, &fault));
        let answer = next_page(&cloudwatch, &token).await;
        assert!(matches!(answer, Err(FetchError::Unavailable { .. })), "{fault:?}: {answer:?}");
        let again = next_page(&cloudwatch, &token).await.expect("is answered");
        assert_eq!(again, whole, "{fault:?}");
    }
    let (records, _) = read(&cloudwatch, &forbidden()).await.expect("is answered");
    assert_eq!(sorted_ids(records), ids);
}

#[tokio::test]
async fn too_many_requests_are_throttled() {
    let (logs, cloudwatch, _, token) = under_way().await;
    for (retry_after_s, asked_for) in [(None, None), (Some(7), Some(Duration::from_secs(7)))] {
        logs.set_faults(Faults::next(1, &Fault::Throttled { retry_after_s }));
        match next_page(&cloudwatch, &token).await {
            Err(FetchError::Throttled { retry_after, .. }) => assert_eq!(retry_after, asked_for),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_permanent_error_is_denied() {
    let (logs, cloudwatch, _, _) = under_way().await;
    logs.set_faults(Faults::next(1, &Fault::Denied));
    assert_denied(&cloudwatch, "allow logs:FilterLogEvents").await;
    logs.create_group(GROUP, LogGroupClass::InfrequentAccess);
    assert_denied(&cloudwatch, "INFREQUENT_ACCESS").await;

    let mut config = config(&logs);
    config.log_group = "/aws/eks/other/cluster".to_owned();
    assert_denied(&CloudWatch::new(config, &Network::default()), "does not exist").await;
}

async fn assert_denied(cloudwatch: &CloudWatch, fix: &str) {
    match cloudwatch.page(window(), &forbidden(), None).await {
        Err(FetchError::Denied { reason }) => assert!(reason.contains(fix), "{reason}"),
        other => panic!("{other:?}"),
    }
}
