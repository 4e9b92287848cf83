//! What `doctor` says of logs in every state, and how many requests it takes for that.

use stakeout_cloud_logging::CloudLogging;
use stakeout_core::check::{Check, Status};
use stakeout_fakes::cloud_logging::Paging;
use stakeout_fakes::{CloudLogging as FakeCloudLogging, Fault, Faults};

use crate::{BEGIN, Entry, SECONDS, forbidden, start, window};

const NOW_MS: i64 = (BEGIN + SECONDS) * 1_000;

/// Returns subjects and verdicts.
fn verdicts(checks: &[Check]) -> Vec<(&'static str, Status)> {
    checks.iter().map(|check| (check.subject, check.status)).collect()
}

async fn examine(reader: &CloudLogging) -> Vec<Check> {
    reader.checks(window(), &forbidden(), NOW_MS).await.checks
}

fn ingest(logs: &FakeCloudLogging, log: &'static str, minutes_before: i64) {
    let entry = Entry::denied(format!("{log}-{minutes_before}"), NOW_MS - minutes_before * 60_000);
    Entry { log, ..entry }.ingest(logs);
}

#[tokio::test]
async fn a_good_log_takes_three_requests() {
    let (logs, reader) = start().await;
    ingest(&logs, "activity", 1);
    ingest(&logs, "data_access", 2);
    let checks = examine(&reader).await;
    let all_good =
        ["credentials", "log", "permission", "scans", "newest event", "quota"].map(|subject| (subject, Status::Good));
    assert_eq!(verdicts(&checks), all_good);
    assert!(checks.iter().all(|check| check.fix.is_none()));
    assert_eq!(checks[4].finding, "the newest entry is 1 min old");
    assert_eq!(checks[5].finding, "the window takes 1 of 60 requests per minute");
    assert_eq!(logs.requests().len(), 3);
}

#[tokio::test]
async fn a_log_without_reads_shows_no_scans() {
    let (logs, reader) = start().await;
    ingest(&logs, "activity", 90);
    let checks = examine(&reader).await;
    assert_eq!(
        verdicts(&checks),
        [
            ("credentials", Status::Good),
            ("log", Status::Good),
            ("permission", Status::Unknown),
            ("scans", Status::Bad),
            ("newest event", Status::Doubtful),
            ("quota", Status::Good),
        ]
    );
    let fixes: Vec<&str> = checks.iter().filter_map(|check| check.fix.as_deref()).collect();
    assert!(fixes[0].contains("gcloud projects add-iam-policy-binding acme-prod"), "{fixes:?}");
    assert!(fixes[1].contains("gcloud projects set-iam-policy acme-prod policy.yaml"), "{fixes:?}");
}

#[tokio::test]
async fn a_log_without_the_cluster_is_bad() {
    let (logs, reader) = start().await;
    Entry { cluster: "other", ..Entry::denied("x", NOW_MS - 1) }.ingest(&logs);
    ingest(&logs, "activity", 25 * 60);
    let checks = examine(&reader).await;
    assert_eq!(checks[1].status, Status::Bad);
    assert_eq!(checks[1].finding, "no audit entry of cluster prod, project acme-prod within a day");
}

#[tokio::test]
async fn an_unreadable_log_is_reported_at_once() {
    let (logs, reader) = start().await;
    let unable = [
        (Fault::Denied, ("permission", Status::Bad)),
        (Fault::Throttled { retry_after_s: None }, ("quota", Status::Unknown)),
        (Fault::Unavailable, ("log", Status::Unknown)),
    ];
    for (fault, status) in unable {
        logs.set_faults(Faults::always(fault));
        let checks = examine(&reader).await;
        assert_eq!(verdicts(&checks), [status]);
        assert!(checks[0].fix.is_some());
    }
    logs.set_faults(Faults::default());
    logs.require_token(Some("other"));
    assert_eq!(verdicts(&examine(&reader).await), [("credentials", Status::Bad)]);
    assert_eq!(logs.requests().len(), 4);
}

#[tokio::test]
async fn however_large_the_log_few_pages_are_read() {
    let (logs, reader) = start().await;
    for minutes in 0..9 {
        ingest(&logs, "data_access", minutes + 1);
    }
    logs.set_paging(Paging { page_records: 1, ..Paging::default() });
    let checks = examine(&reader).await;
    assert_eq!(checks.last().map(|check| check.status), Some(Status::Doubtful));
    assert_eq!(logs.requests().len(), 2 + 5);

    logs.set_paging(Paging { empty_pages: 9, ..Paging::default() });
    let checks = examine(&reader).await;
    assert!(checks[1..4].iter().all(|check| check.status == Status::Unknown), "{checks:?}");
    assert_eq!(logs.requests().len(), 7 + 3 + 3 + 5);
}

#[tokio::test]
async fn a_refused_filter_is_reported() {
    let (logs, reader) = start().await;
    ingest(&logs, "data_access", 1);
    let refusal = r#"{"error":{"code":400,"message":"Unparseable filter","status":"INVALID_ARGUMENT"}}"#.to_owned();
    let script = [None, None, Some(Fault::Answer { status: 400, body: refusal })].into();
    logs.set_faults(Faults { script, ..Faults::default() });
    let quota = examine(&reader).await.pop().expect("a check");
    assert_eq!((quota.status, quota.finding.contains("refuses the filter")), (Status::Doubtful, true));
}
