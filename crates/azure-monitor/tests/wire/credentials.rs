//! Tokens of every kind of identity, from the fake's Entra and metadata service: asked for, kept, refused, renewed.

use std::io::Write;
use std::time::Duration;

use secrecy::SecretString;
use stakeout_azure_monitor::{AuditTable, AzureMonitor, AzureMonitorConfig, Credential, Plan};
use stakeout_core::record::FetchError;
use stakeout_fakes::log_analytics::Proof;
use stakeout_fakes::{Fault, Faults, LogAnalytics};

use crate::{client, config, forbidden, ingest, row, start, window};

const TENANT: &str = "11112222-3333-4444-5555-666677778888";
const CLIENT: &str = "99990000-3333-4444-5555-666677778888";
const SECRET: &str = "s3cret&+ %";
const ASSERTION: &str = "eyJhbGciOiJSUzI1NiJ9.of-the-service-account.x";

/// A fake that requires a token, with one row to read.
async fn closed() -> LogAnalytics {
    let (logs, _) = start(AuditTable::AksAudit, Plan::Analytics).await;
    ingest(&logs, AuditTable::AksAudit, row(AuditTable::AksAudit, "1", 0, 403));
    logs.allow_anonymous(false);
    logs
}

fn secret_of(text: &str) -> Credential {
    Credential::ClientSecret {
        tenant_id: TENANT.to_owned(),
        client_id: CLIENT.to_owned(),
        secret: SecretString::from(text),
    }
}

fn token_file() -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(ASSERTION.as_bytes()).expect("written");
    file
}

fn workload(file: &tempfile::NamedTempFile) -> Credential {
    Credential::WorkloadIdentity {
        tenant_id: Some(TENANT.to_owned()),
        client_id: Some(CLIENT.to_owned()),
        token_file: Some(file.path().to_owned()),
    }
}

async fn with(logs: &LogAnalytics, credential: Credential) -> AzureMonitor {
    client(AzureMonitorConfig { credential, ..config(logs, AuditTable::AksAudit) }).await
}

async fn rows(azure_monitor: &AzureMonitor) -> Result<usize, FetchError> {
    azure_monitor.page(window(), &forbidden(), None).await.map(|page| page.records.len())
}

async fn assert_denied(azure_monitor: &AzureMonitor, words: &[&str]) {
    match rows(azure_monitor).await {
        Err(FetchError::Denied { reason }) => {
            assert!(words.iter().all(|word| reason.contains(word)), "{reason}");
            assert!(!reason.contains("s3cret") && !reason.contains(ASSERTION), "{reason}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn every_identity_gets_one_token_and_keeps_it() {
    let file = token_file();
    for (credential, proof) in [
        (secret_of(SECRET), Some(Proof::Secret(SECRET.to_owned()))),
        (workload(&file), Some(Proof::Assertion(ASSERTION.to_owned()))),
        (Credential::ManagedIdentity { client_id: None }, None),
        (Credential::ManagedIdentity { client_id: Some(CLIENT.to_owned()) }, None),
    ] {
        let logs = closed().await;
        if let Some(proof) = proof {
            logs.register(CLIENT, proof);
        }
        let azure_monitor = with(&logs, credential).await;
        for _ in 0..3 {
            assert_eq!(rows(&azure_monitor).await.expect("is answered"), 1, "{azure_monitor:?}");
        }
        assert_eq!(logs.tokens_issued(), 1, "{azure_monitor:?}");
        assert!(!format!("{azure_monitor:?}").contains(SECRET));
    }
}

#[tokio::test]
async fn an_unknown_identity_is_denied_with_the_fix() {
    let logs = closed().await;
    logs.register(CLIENT, Proof::Secret(SECRET.to_owned()));
    assert_denied(&with(&logs, secret_of("s3cret-of-old")).await, &["AADSTS7000215", "az ad app credential reset"])
        .await;
    let file = token_file();
    assert_denied(&with(&logs, workload(&file)).await, &["AADSTS700213", "federated-credential"]).await;
    assert_denied(&with(&logs, Credential::Anonymous).await, &["AuthorizationRequiredError"]).await;
    let missing = Credential::WorkloadIdentity {
        tenant_id: Some(TENANT.to_owned()),
        client_id: Some(CLIENT.to_owned()),
        token_file: Some("does-not-exist/token".into()),
    };
    assert_denied(&with(&logs, missing).await, &["does-not-exist/token", "azure.workload.identity/use"]).await;
    logs.set_faults(Faults::next(1, &Fault::Denied));
    let nobody = with(&logs, Credential::ManagedIdentity { client_id: None }).await;
    assert_denied(&nobody, &["Identity not found", "az vm identity assign"]).await;
}

/// The credential of the metadata service would ask again by itself, and wait for more than a minute in between.
#[tokio::test]
async fn a_missing_token_is_requested_once() {
    let logs = closed().await;
    let credentials = [secret_of(SECRET), Credential::ManagedIdentity { client_id: None }];
    for (n, credential) in credentials.into_iter().enumerate() {
        let azure_monitor = with(&logs, credential).await;
        for fault in [
            Fault::InternalError,
            Fault::Unavailable,
            Fault::ResetMidBody,
            Fault::TruncatedBody,
            Fault::AnswerLost,
            Fault::Answer { status: 502, body: "<html>".to_owned() },
            Fault::Answer { status: 200, body: "<html>".to_owned() },
        ] {
            let asked = logs.requests().len();
            logs.set_faults(Faults::next(1, &fault));
            let failed = rows(&azure_monitor).await;
            assert!(matches!(failed, Err(FetchError::Unavailable { .. })), "{n} {fault:?}: {failed:?}");
            assert_eq!(logs.requests().len(), asked + 1, "{n} {fault:?}");
        }
        logs.set_faults(Faults::next(1, &Fault::Throttled { retry_after_s: Some(9) }));
        match rows(&azure_monitor).await {
            Err(FetchError::Throttled { retry_after, .. }) => assert_eq!(retry_after, Some(Duration::from_secs(9))),
            other => panic!("{n} {other:?}"),
        }
        assert_eq!(rows(&azure_monitor).await.expect("is answered"), 1);
    }
    logs.set_faults(Faults::next(1, &Fault::Answer { status: 410, body: String::new() }));
    let starting = rows(&with(&logs, Credential::ManagedIdentity { client_id: None }).await).await;
    assert!(matches!(starting, Err(FetchError::Unavailable { .. })), "{starting:?}");
}

#[tokio::test]
async fn a_revoked_token_is_renewed_with_the_next_query() {
    let logs = closed().await;
    let azure_monitor = with(&logs, secret_of(SECRET)).await;
    assert_eq!(rows(&azure_monitor).await.expect("is answered"), 1);
    logs.expire_tokens();
    let failed = rows(&azure_monitor).await;
    assert!(matches!(failed, Err(FetchError::Unavailable { .. })), "{failed:?}");
    assert_eq!(rows(&azure_monitor).await.expect("is answered"), 1);
    assert_eq!(logs.tokens_issued(), 2);
}

/// A service that refuses a token says 401, or 403 with a code of its own; other answers of 403 are about permissions.
#[tokio::test]
async fn a_token_is_renewed_once_whatever_status_refuses_it() {
    for code in ["InvalidAuthenticationToken", "InvalidAuthenticationTokenAudience", "ExpiredAuthenticationToken"] {
        let logs = closed().await;
        let azure_monitor = with(&logs, secret_of(SECRET)).await;
        let body = format!(r#"{{"error":{{"code":"{code}","message":"The access token is invalid."}}}}"#);
        let refusal = Some(Fault::Answer { status: 403, body });
        // The first request of each pair is for the token.
        let script = vec![None, refusal.clone(), None, refusal.clone(), None];
        logs.set_faults(Faults { script: script.into(), ..Faults::default() });
        let renewed = rows(&azure_monitor).await;
        assert!(matches!(renewed, Err(FetchError::Unavailable { .. })), "{code}: {renewed:?}");
        assert_denied(&azure_monitor, &[code, "the token was not accepted"]).await;
        assert_eq!(rows(&azure_monitor).await.expect("is answered"), 1, "{code}");
        assert_eq!(logs.tokens_issued(), 3, "{code}");
    }
}

#[tokio::test]
async fn a_token_that_ends_soon_is_not_kept() {
    let logs = closed().await;
    logs.set_token_life(Duration::from_secs(60));
    let azure_monitor = with(&logs, secret_of(SECRET)).await;
    for issued in 1..=3 {
        assert_eq!(rows(&azure_monitor).await.expect("is answered"), 1);
        assert_eq!(logs.tokens_issued(), issued);
    }
}
