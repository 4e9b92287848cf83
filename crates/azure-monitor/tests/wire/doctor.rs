//! What `doctor` finds out about logs that are whole, blind, empty, late or closed.

use serde_json::json;
use stakeout_azure_monitor::{AuditTable, AzureMonitor, Plan};
use stakeout_core::check::{Check, Status};
use stakeout_fakes::log_analytics::Answering;
use stakeout_fakes::{Fault, Faults};

use crate::{client, config, forbidden, ingest, row, start, window};

const HOUR_MS: i64 = 3_600_000;

async fn checks(azure_monitor: &AzureMonitor, after_ms: i64) -> Vec<Check> {
    azure_monitor.checks(window(), &forbidden(), window().latest().millis() + after_ms).await.checks
}

fn verdicts(checks: &[Check]) -> Vec<(&'static str, Status)> {
    checks.iter().map(|check| (check.subject, check.status)).collect()
}

fn of<'a>(checks: &'a [Check], subject: &str) -> &'a Check {
    checks.iter().find(|check| check.subject == subject).unwrap_or_else(|| panic!("{checks:?}"))
}

#[tokio::test]
async fn a_complete_log_passes_every_check() {
    use Status::{Doubtful, Good};
    for table in [AuditTable::AksAudit, AuditTable::AzureDiagnostics] {
        for plan in [Plan::Analytics, Plan::Basic] {
            let (logs, azure_monitor) = start(table, plan).await;
            ingest(&logs, table, row(table, "1", HOUR_MS - 60_000, 403));
            let mut expected = vec![
                ("credentials", Good),
                ("permission", Good),
                ("log", Good),
                ("scans", Good),
                ("newest event", Good),
            ];
            expected.extend((plan == Plan::Basic).then_some(("cost", Doubtful)));
            expected.push(("quota", Good));
            let found = checks(&azure_monitor, 0).await;
            assert_eq!(verdicts(&found), expected, "{found:#?}");
            assert_eq!(of(&found, "newest event").finding, "the newest event is 60 seconds old");
            assert!(found.iter().all(|check| (check.status == Good) == check.fix.is_none()));
        }
    }
}

#[tokio::test]
async fn a_log_that_shows_no_scans_is_bad() {
    for (table, cell, value) in [
        (AuditTable::AksAuditAdmin, "Verb", "create"),
        (AuditTable::AksAudit, "Verb", "create"),
        (AuditTable::AzureDiagnostics, "Category", "kube-audit-admin"),
    ] {
        let (logs, azure_monitor) = start(table, Plan::Analytics).await;
        let mut write = row(table, "1", 0, 403);
        write[cell] = json!(value);
        ingest(&logs, table, write);
        let found = checks(&azure_monitor, 0).await;
        let scans = of(&found, "scans");
        assert_eq!(scans.status, Status::Bad, "{table:?}: {found:?}");
        assert!(scans.fix.as_deref().is_some_and(|fix| fix.contains("kube-audit")));
    }
}

#[tokio::test]
async fn an_empty_late_or_large_log_is_reported() {
    let (logs, azure_monitor) = start(AuditTable::AksAudit, Plan::Analytics).await;
    let found = checks(&azure_monitor, 0).await;
    let log = of(&found, "log");
    assert_eq!(log.status, Status::Bad);
    assert!(log.fix.as_deref().is_some_and(|fix| fix.contains("az monitor diagnostic-settings create")));

    for n in 0..4 {
        ingest(&logs, AuditTable::AksAudit, row(AuditTable::AksAudit, &n.to_string(), n, 403));
    }
    let found = checks(&azure_monitor, HOUR_MS).await;
    assert_eq!(of(&found, "newest event").status, Status::Doubtful, "{found:?}");
    logs.set_answering(Answering { rows_max: 3, ..Answering::default() });
    let found = checks(&azure_monitor, 0).await;
    assert_eq!(of(&found, "quota").status, Status::Doubtful, "{found:?}");
}

#[tokio::test]
async fn an_unreadable_log_says_why_and_gets_no_more_queries() {
    let (logs, azure_monitor) = start(AuditTable::AksAudit, Plan::Analytics).await;
    logs.set_faults(Faults::next(1, &Fault::Denied));
    let found = checks(&azure_monitor, 0).await;
    assert_eq!(verdicts(&found), [("permission", Status::Bad)]);
    assert!(found[0].fix.as_deref().is_some_and(|fix| fix.contains("Log Analytics Reader")), "{found:?}");

    logs.set_faults(Faults::next(1, &Fault::Unavailable));
    assert_eq!(verdicts(&checks(&azure_monitor, 0).await), [("log", Status::Unknown)]);

    let missing = client(config(&logs, AuditTable::AzureDiagnostics)).await;
    assert_eq!(verdicts(&checks(&missing, 0).await), [("log", Status::Bad)]);

    logs.allow_anonymous(false);
    assert_eq!(verdicts(&checks(&azure_monitor, 0).await), [("credentials", Status::Bad)]);
}
