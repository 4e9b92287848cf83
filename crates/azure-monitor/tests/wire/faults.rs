//! Failures on the way: the error that the caller gets, and that following it loses nothing.

use std::time::Duration;

use stakeout_azure_monitor::{AuditTable, AzureMonitor, AzureMonitorConfig, Plan};
use stakeout_core::prefilter::Prefilter;
use stakeout_core::record::{FetchError, Page};
use stakeout_fakes::{Fault, Faults, LogAnalytics};

use crate::{client, config, forbidden, ingest, row, start, window};

async fn started() -> (LogAnalytics, AzureMonitor, Page) {
    let (logs, azure_monitor) = start(AuditTable::AksAudit, Plan::Analytics).await;
    for n in 0..8 {
        ingest(&logs, AuditTable::AksAudit, row(AuditTable::AksAudit, &format!("{n}"), n * 1_000, 403));
    }
    let whole = azure_monitor.page(window(), &forbidden(), None).await.expect("is answered");
    assert_eq!(whole.records.len(), 8);
    (logs, azure_monitor, whole)
}

fn answer(status: u16, body: &str) -> Fault {
    Fault::Answer { status, body: body.to_owned() }
}

/// An error as the service nests it.
fn error(codes: [&str; 3]) -> String {
    let [outer, middle, inner] = codes;
    format!(
        r#"{{"error":{{"code":"{outer}","message":"bad","innererror":{{"code":"{middle}","message":"worse","innererror":{{"code":"{inner}","message":"the innermost words"}}}}}}}}"#
    )
}

#[tokio::test]
async fn a_retry_after_a_temporary_error_loses_nothing() {
    let (logs, azure_monitor, whole) = started().await;
    let lost = [
        Fault::InternalError,
        Fault::Unavailable,
        Fault::ResetMidBody,
        Fault::TruncatedBody,
        Fault::AnswerLost,
        answer(502, "<html>bad gateway</html>"),
        answer(408, ""),
        answer(200, ""),
        answer(200, "<html>a proxy's page</html>"),
        answer(200, r#"{"tables":[{"name":"PrimaryResult"}]}"#),
    ];
    for fault in lost {
        let asked = logs.requests().len();
        logs.set_faults(Faults::next(1, &fault));
        let failed = azure_monitor.page(window(), &forbidden(), None).await;
        assert!(matches!(failed, Err(FetchError::Unavailable { .. })), "{fault:?}: {failed:?}");
        assert_eq!(logs.requests().len(), asked + 1, "{fault:?} was asked again");
        let again = azure_monitor.page(window(), &forbidden(), None).await.expect("is answered");
        assert_eq!(again, whole, "{fault:?}");
    }
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_truncated() {
    let (logs, azure_monitor, _) = started().await;
    for fault in [
        answer(504, "<html>gateway timeout</html>"),
        answer(504, &error(["GatewayTimeout", "", ""])),
        answer(413, ""),
        answer(400, &error(["BadArgumentError", "ResponseSizeError", "x"])),
        answer(200, r#"{"tables":[],"error":{"code":"PartialError","message":"some errors"}}"#),
    ] {
        logs.set_faults(Faults::next(1, &fault));
        let failed = azure_monitor.page(window(), &forbidden(), None).await;
        assert!(matches!(failed, Err(FetchError::Truncated { .. })), "{fault:?}: {failed:?}");
    }
}

#[tokio::test]
async fn too_many_requests_are_throttled() {
    let (logs, azure_monitor, _) = started().await;
    for (retry_after_s, asked_for) in [(None, None), (Some(7), Some(Duration::from_secs(7)))] {
        logs.set_faults(Faults::next(1, &Fault::Throttled { retry_after_s }));
        match azure_monitor.page(window(), &forbidden(), None).await {
            Err(FetchError::Throttled { retry_after, .. }) => assert_eq!(retry_after, asked_for),
            other => panic!("{other:?}"),
        }
    }
    logs.set_faults(Faults::next(1, &Fault::Busy { retry_after_s: 9 }));
    let busy = azure_monitor.page(window(), &forbidden(), None).await;
    let wait = Some(Duration::from_secs(9));
    assert!(matches!(busy, Err(FetchError::Throttled { retry_after, .. }) if retry_after == wait), "{busy:?}");
}

#[tokio::test]
async fn a_filter_that_is_not_understood_is_left_out() {
    let (logs, azure_monitor, whole) = started().await;
    for inner in ["SYN0002", "SEM0025"] {
        logs.set_faults(Faults::next(1, &answer(400, &error(["BadArgumentError", "SemanticError", inner]))));
        let page = azure_monitor.page(window(), &forbidden(), None).await.expect("leads on");
        assert!(page.records.is_empty());
        let token = page.next.expect("a read without a filter");
        let page = azure_monitor.page(window(), &forbidden(), Some(&token)).await.expect("is answered");
        assert_eq!((page.records.len(), page.next), (whole.records.len(), None));

        logs.set_faults(Faults::next(1, &answer(400, &error(["BadArgumentError", "SemanticError", inner]))));
        let failed = azure_monitor.page(window(), &Prefilter::Any, None).await;
        assert!(matches!(failed, Err(FetchError::Denied { .. })), "{failed:?}");
    }
}

#[tokio::test]
async fn a_permanent_error_is_denied() {
    let (logs, azure_monitor, _) = started().await;
    for (fault, fix) in [
        (Fault::Denied, "Log Analytics Reader"),
        (answer(302, ""), "redirects are not followed"),
        (answer(400, &error(["BadArgumentError", "ValidationError", "x"])), "the innermost words"),
    ] {
        logs.set_faults(Faults::next(1, &fault));
        assert_denied(&azure_monitor, fix).await;
    }
    for table in [AuditTable::AksAuditAdmin, AuditTable::AzureDiagnostics] {
        let other = client(config(&logs, table)).await;
        assert_denied(&other, "az monitor diagnostic-settings create").await;
    }
    let nowhere = AzureMonitorConfig {
        workspace_id: "ffffffff-0000-4000-8000-aabbccddeeff".to_owned(),
        ..config(&logs, AuditTable::AksAudit)
    };
    assert_denied(&client(nowhere).await, "--query customerId").await;
    let basic = AzureMonitorConfig { plan: Plan::Basic, ..config(&logs, AuditTable::AksAudit) };
    assert_denied(&client(basic).await, "plan").await;
}

async fn assert_denied(azure_monitor: &AzureMonitor, fix: &str) {
    match azure_monitor.page(window(), &forbidden(), None).await {
        Err(FetchError::Denied { reason }) => assert!(reason.contains(fix), "{reason}"),
        other => panic!("{other:?}"),
    }
}
