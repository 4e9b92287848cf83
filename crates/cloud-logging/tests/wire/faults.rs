//! Failures on the way: the error that the caller gets, and that following it loses nothing.

use std::time::Duration;

use stakeout_cloud_logging::{CloudLogging, CloudLoggingConfig};
use stakeout_core::prefilter::Prefilter;
use stakeout_core::record::{FetchError, Page, PageToken};
use stakeout_fakes::cloud_logging::{Paging, TokenGone};
use stakeout_fakes::{CloudLogging as FakeCloudLogging, Fault, Faults};
use stakeout_http::Network;

use crate::{BEGIN, Entry, config, endpoint, forbidden, read, sorted_ids, start, window};

/// Eight matching entries in pages of three, the first of which is read.
async fn under_way() -> (FakeCloudLogging, CloudLogging, Vec<String>, PageToken) {
    let (logs, reader) = start().await;
    let mut ids: Vec<String> =
        (0..8).map(|n| Entry::denied(format!("n{n}"), BEGIN * 1_000 + n).ingest(&logs)).collect();
    ids.sort();
    logs.set_paging(Paging { page_records: 3, ..Paging::default() });
    let token = first_page(&reader).await.next.expect("a second page");
    (logs, reader, ids, token)
}

async fn first_page(reader: &CloudLogging) -> Page {
    reader.page(window(), &forbidden(), None).await.expect("is answered")
}

async fn next_page(reader: &CloudLogging, token: &PageToken) -> Result<Page, FetchError> {
    reader.page(window(), &forbidden(), Some(token)).await
}

fn assert_gone(answer: &Result<Page, FetchError>) {
    assert!(matches!(answer, Err(FetchError::TokenGone { .. })), "{answer:?}");
}

#[tokio::test]
async fn a_token_that_expires_is_gone_and_the_window_can_be_read_again() {
    let (logs, reader, ids, token) = under_way().await;
    logs.expire_tokens();
    assert_gone(&next_page(&reader, &token).await);
    let (records, _) = read(&reader, &forbidden()).await.expect("is answered");
    assert_eq!(sorted_ids(records), ids);

    let token = first_page(&reader).await.next.expect("a second page");
    logs.clock().advance(Duration::from_hours(25));
    assert_gone(&next_page(&reader, &token).await);
}

#[tokio::test]
async fn a_token_refused_after_the_first_page_is_gone() {
    let (logs, reader, ids, _) = under_way().await;
    let token_gone = Some(TokenGone { page: 3, times: 1 });
    logs.set_paging(Paging { page_records: 3, token_gone, ..Paging::default() });
    assert!(matches!(read(&reader, &forbidden()).await, Err(FetchError::TokenGone { .. })));
    let (records, _) = read(&reader, &forbidden()).await.expect("is answered");
    assert_eq!(sorted_ids(records), ids);
}

#[tokio::test]
async fn a_token_that_repeats_itself_is_gone_and_does_not_end_the_window() {
    let (logs, reader, _, token) = under_way().await;
    logs.set_paging(Paging { page_records: 3, same_token: true, ..Paging::default() });
    assert_gone(&next_page(&reader, &token).await);
}

#[tokio::test]
async fn a_token_belongs_to_its_search() {
    let (_logs, reader, _, token) = under_way().await;
    assert_gone(&reader.page(window(), &Prefilter::Any, Some(&token)).await);
    assert!(next_page(&reader, &token).await.is_ok());
    assert_gone(&next_page(&reader, &PageToken("not ours".to_owned())).await);
}

#[tokio::test]
async fn a_retry_after_a_temporary_error_loses_nothing() {
    let (logs, reader, ids, token) = under_way().await;
    let whole = next_page(&reader, &token).await.expect("is answered");
    let status = |code: u16, name: &str| Fault::Answer {
        status: code,
        body: format!(r#"{{"error":{{"code":{code},"message":"m","status":"{name}"}}}}"#),
    };
    let lost = [
        Fault::InternalError,
        Fault::Unavailable,
        status(504, "DEADLINE_EXCEEDED"),
        status(500, "UNKNOWN"),
        status(409, "ABORTED"),
        Fault::ResetMidBody,
        Fault::TruncatedBody,
        Fault::AnswerLost,
        Fault::Answer { status: 502, body: "<html>".to_owned() },
        Fault::Answer { status: 200, body: String::new() },
        Fault::Answer { status: 200, body: "<html>".to_owned() },
        Fault::Answer { status: 200, body: "[]".to_owned() },
    ];
    for fault in lost {
        logs.set_faults(Faults::next(1, &fault));
        let before = logs.requests().len();
        let answer = next_page(&reader, &token).await;
        assert!(matches!(answer, Err(FetchError::Unavailable { .. })), "{fault:?}: {answer:?}");
        assert_eq!(logs.requests().len(), before + 1, "{fault:?}: one call is one request");
        let again = next_page(&reader, &token).await.expect("is answered");
        // Members of an entry come in no order.
        assert_eq!((again.records.len(), &again.next), (whole.records.len(), &whole.next), "{fault:?}");
        assert_eq!(sorted_ids(again.records), sorted_ids(whole.records.clone()), "{fault:?}");
    }
    let (records, _) = read(&reader, &forbidden()).await.expect("is answered");
    assert_eq!(sorted_ids(records), ids);
}

#[tokio::test]
async fn too_many_requests_are_throttled() {
    let (logs, reader, _, token) = under_way().await;
    for (retry_after_s, asked_for) in [(None, None), (Some(7), Some(Duration::from_secs(7)))] {
        logs.set_faults(Faults::next(1, &Fault::Throttled { retry_after_s }));
        match next_page(&reader, &token).await {
            Err(FetchError::Throttled { retry_after, .. }) => assert_eq!(retry_after, asked_for),
            other => panic!("{other:?}"),
        }
    }
    logs.set_faults(Faults::next(1, &Fault::Answer { status: 429, body: "<html>".to_owned() }));
    assert!(matches!(next_page(&reader, &token).await, Err(FetchError::Throttled { retry_after: None, .. })));
    let in_details = r#"{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED","details":[
        {"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"8.5s"}]}}"#;
    for fault in [Fault::Busy { retry_after_s: 9 }, Fault::Answer { status: 429, body: in_details.to_owned() }] {
        logs.set_faults(Faults::next(1, &fault));
        let answer = next_page(&reader, &token).await;
        let wait = Some(Duration::from_secs(9));
        assert!(matches!(answer, Err(FetchError::Throttled { retry_after, .. }) if retry_after == wait), "{answer:?}");
    }
}

#[tokio::test]
async fn a_permanent_error_is_denied() {
    let (logs, reader, _, _) = under_way().await;
    logs.set_faults(Faults::next(1, &Fault::Denied));
    assert_denied(&reader, "--role=roles/logging.privateLogViewer").await;
    let disabled = r#"{"error":{"code":403,"message":"m","status":"PERMISSION_DENIED","details":[
        {"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"SERVICE_DISABLED","domain":"googleapis.com"}]}}"#;
    logs.set_faults(Faults::next(1, &Fault::Answer { status: 403, body: disabled.to_owned() }));
    assert_denied(&reader, "`gcloud services enable logging.googleapis.com --project=acme-prod`").await;
    let narrow = disabled.replace("SERVICE_DISABLED", "ACCESS_TOKEN_SCOPE_INSUFFICIENT");
    logs.set_faults(Faults::next(1, &Fault::Answer { status: 403, body: narrow }));
    assert_denied(&reader, "the machine's access scopes do not allow reading logs").await;
    logs.require_token(Some("other"));
    assert_denied(&reader, "`gcloud auth application-default login`").await;
    logs.require_token(None);

    let other_project = CloudLoggingConfig { project: "acme-test".to_owned(), ..config(&logs) };
    assert_denied(&CloudLogging::new(other_project, &Network::default()), "project acme-test does not exist").await;
}

#[tokio::test]
async fn a_forbidden_config_sends_no_request() {
    let (logs, _) = start().await;
    let without_loopback = CloudLoggingConfig { endpoint: None, ..config(&logs) };
    assert_denied(&CloudLogging::new(without_loopback, &Network::default()), "is for an endpoint on this machine only")
        .await;
}

async fn assert_denied(reader: &CloudLogging, fix: &str) {
    match reader.page(window(), &forbidden(), None).await {
        Err(FetchError::Denied { reason }) => assert!(reason.contains(fix), "{reason}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_an_answer_ends() {
    let (logs, reader, ids, token) = under_way().await;
    logs.set_faults(Faults::next(1, &Fault::Hang));
    let answer = next_page(&reader, &token).await;
    assert!(matches!(answer, Err(FetchError::Unavailable { .. })), "{answer:?}");
    let (records, _) = read(&reader, &forbidden()).await.expect("is answered");
    assert_eq!(sorted_ids(records), ids);
}

/// The sender of a request chooses how deep its body is nested, and must not hide by it.
#[tokio::test]
async fn an_entry_that_is_nested_deeply_is_an_entry_like_others() {
    let (logs, reader) = start().await;
    let request = format!("{}{}", "[".repeat(2_000), "]".repeat(2_000));
    let entry = format!(
        r#"{{"logName":"l","insertId":"i","timestamp":"2026-11-22T01:00:00Z","protoPayload":{{"request":{{"x":{request}}}}}}}"#
    );
    logs.set_faults(Faults::next(1, &Fault::Answer { status: 200, body: format!(r#"{{"entries":[{entry}]}}"#) }));
    let page = reader.page(window(), &forbidden(), None).await.expect("is answered");
    assert_eq!(page.records.iter().map(|record| record.body.as_str()).collect::<Vec<_>>(), [entry]);
}

#[tokio::test]
async fn a_web_page_is_named() {
    let (logs, reader) = start().await;
    for (status, is_denied) in [(403, true), (404, true), (200, false), (503, false)] {
        let body = "<!DOCTYPE html><title>Blocked</title>".to_owned();
        logs.set_faults(Faults::next(1, &Fault::Answer { status, body }));
        let error = reader.page(window(), &forbidden(), None).await.expect_err("no page of entries");
        assert!(error.to_string().contains("a web page came in place of the service's answer"), "{error}");
        assert_eq!(matches!(error, FetchError::Denied { .. }), is_denied, "{error}");
    }
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_is_unavailable() {
    let (logs, _) = start().await;
    let endpoint = Some(endpoint(&logs.endpoint().replacen("http:", "https:", 1)));
    let reader = CloudLogging::new(CloudLoggingConfig { endpoint, ..config(&logs) }, &Network::default());
    let answer = reader.page(window(), &forbidden(), None).await;
    assert!(matches!(answer, Err(FetchError::Unavailable { .. })), "{answer:?}");
}
