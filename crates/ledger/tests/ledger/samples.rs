//! Values to store, each derived from a number, so that a test knows what must be stored.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::json;
use stakeout_core::address::SourceIp;
use stakeout_core::commit::{Commit, LogCommit, WaitingGroup};
use stakeout_core::context_query::ContextQuery;
use stakeout_core::delivery::{Activity, Delivery, DeliveryId, Entry};
use stakeout_core::distinct::{DistinctKind, ValueSeconds};
use stakeout_core::evidence::{Evidence, SAMPLES_MAX, Sample};
use stakeout_core::finding::{Finding, FindingKey};
use stakeout_core::follow_up::FollowUp;
use stakeout_core::group::{CountKey, GroupKey, GroupValue, ReferencedRuleSet, RuleKey};
use stakeout_core::hash::TextHash;
use stakeout_core::incident::IncidentKey;
use stakeout_core::known_clusters::KnownClusters;
use stakeout_core::notice::{Notice, NoticeKind};
use stakeout_core::novelty::{SeenChange, SeenDays, SeenKey};
use stakeout_core::past_windows::{PastWindows, WindowMark};
use stakeout_core::progress::{Failing, Gap, Progress, Reread};
use stakeout_core::response_code::ResponseCode;
use stakeout_core::retirement::{Retirement, RetirementReason};
use stakeout_core::rule::{Level, RuleHead};
use stakeout_core::shown::{Shown, ShownChange, ShownIncident, ShownMessage};
use stakeout_core::source::{LogId, SourceId};
use stakeout_core::tally::{Rows, SecondCount, StoredMinute, Tally};
use stakeout_core::time::{Minute, Second, Window};
use stakeout_ledger::{Ledger, LedgerError, NeededRows};

/// The destination of all deliveries.
pub(crate) const DESTINATION: &str = "secops";

/// Returns log number `n`.
pub(crate) fn log(n: u32) -> LogId {
    LogId(format!("file/var/log/kubernetes/audit-{n}.log"))
}

/// Returns group number `n`, with all kinds of values.
pub(crate) fn group(n: u64) -> GroupKey {
    let low = u32::try_from(n % (1 << 32)).expect("32 bits");
    GroupKey(vec![
        GroupValue::Address(match n % 2 {
            0 => SourceIp::V4(low.into()),
            _ => SourceIp::V6Net(n),
        }),
        GroupValue::Text(format!("kube\u{202e}-{n}\"\n")),
        GroupValue::Missing,
    ])
}

/// Returns key number `n`.
pub(crate) fn count_key(n: u64) -> CountKey {
    CountKey { rule: RuleKey(n % 3), group: group(n) }
}

/// Returns `samples` samples.
pub(crate) fn evidence(n: u64, samples: u64) -> Evidence {
    let mut evidence = Evidence::default();
    for rank in 0..samples {
        let sample: Result<Sample, _> = serde_json::from_value(json!({
            "rank": (rank.wrapping_mul(0x9e37_79b9) ^ n) & 0xffff_ffff,
            "at": -5 + i64::try_from(rank).expect("few"),
            "audit_id": format!("{n}-{rank}"),
            "verb": "get",
            "request_uri": format!("/api/v1/{}?{n}", "x".repeat(240)),
            "user_agent": "kube-probe/1.31 \u{0007}",
            "username": null,
            "code": 403,
            "resource": "pods/log",
            "namespace": "kube-system",
            "cluster": "prod",
            "source_ips": ["10.0.0.1", "198.51.100.7"],
        }));
        evidence.add(sample.expect("a sample"), SAMPLES_MAX);
    }
    evidence
}

/// Returns the marks of `values`, each in another second.
fn marks<T: DistinctKind>(values: impl IntoIterator<Item = T>) -> ValueSeconds<T> {
    let mut marks = ValueSeconds::default();
    for (second, value) in (0..60).rev().zip(values) {
        marks.add(value, second);
    }
    marks
}

/// Returns a tally of `n + 1` requests with `samples` samples.
pub(crate) fn tally(n: u32, samples: u64) -> Tally {
    Tally {
        seconds: vec![
            SecondCount { second: 0, referenced: ReferencedRuleSet(0), code: ResponseCode::of(Some(403)), n },
            SecondCount { second: 59, referenced: ReferencedRuleSet(0).with(15), code: ResponseCode::of(None), n: 1 },
        ],
        sources: marks([SourceIp::V4(n.into()), SourceIp::V6Net(u64::MAX - samples)]),
        texts: marks((0..samples).map(|text| TextHash(u64::from(n) ^ (text << 50)))),
        clusters: ["prod".to_owned(), format!("c{n}")].into_iter().collect(),
        evidence: evidence(n.into(), samples),
        late: n.is_multiple_of(2),
    }
}

/// Returns `count` rows that differ with `n`.
pub(crate) fn rows(n: u32, count: u64, samples: u64) -> Rows {
    (0..count).map(|row| (count_key(row), tally(n, samples))).collect()
}

/// Returns the key of finding `n`, which takes more than 64 bits.
pub(crate) fn finding_key(n: u64) -> FindingKey {
    FindingKey(u128::MAX - u128::from(n))
}

/// Returns finding `n`.
pub(crate) fn finding(n: u64, samples: u64) -> Finding {
    let finding = json!({
        "key": 0,
        "rule": {
            "name": "anonymous-scan", "id": "4a1d", "title": "Scan", "description": "d\u{00e9}couverte",
            "level": "high", "techniques": ["T1613"], "tactics": ["discovery"], "falsepositives": [], "runbook": "", "risk_score": 40, "story": [],
            "group_by": ["source_ip", "user_agent", "username"],
            "needed": "10 requests in 30m",
        },
        "group": group(n),
        "episode": {"first": n, "last": n + 60, "count": u64::MAX},
        "codes": {"0": n, "403": u64::MAX},
        "pruned_codes": {"403": 3},
        "pruned": {"first": -60, "last": 0, "count": 3},
        "quiet_seconds": 3600,
        "status": "Open",
        "clusters": ["prod"],
        "providers": ["cloudwatch", "file"],
        "sources": {"kept": [{"V4": "198.51.100.7"}, {"V6Net": u64::MAX}], "is_cut": true},
        "values": {"field": "requestURI", "texts": {"kept": [n, u64::MAX], "is_cut": false}},
        "related": [n, 77],
        "related_activity": {"rules": ["anonymous-scan"], "clusters": ["dev", "prod"]},
        "context": {"Unread": {"reason": "denied"}},
        "evidence": evidence(n, samples),
        "late": true,
        "created_at": "2026-11-22T01:00:52.123456789Z",
        "updated_at": "2026-11-22T02:00:00Z",
    });
    let finding: Finding<RuleHead> = serde_json::from_value(finding).expect("a finding");
    let rule = Arc::new(finding.rule.clone());
    Finding { key: finding_key(n), ..finding.with_rule(rule) }
}

/// Returns the window of the hour `n`.
pub(crate) fn window(n: i64) -> Window {
    Window::new(Second(n * 3600), Second(n * 3600 + 3600)).expect("an hour")
}

/// Returns the progress of a log that was read up to `cursor`.
pub(crate) fn progress(log: LogId, cursor: i64) -> Progress {
    Progress {
        log,
        cursor: Second(cursor),
        rereads: vec![Reread { window: window(cursor % 100), after_seconds: vec![3600, 86_400] }],
        gaps: vec![Gap { window: Window::ALL, reason: "denied".to_owned() }],
        follow_ups: vec![FollowUp {
            rule: RuleKey(u64::MAX),
            sources: vec![(SourceIp::V6Net(7), vec![window(1)]), (SourceIp::V4(7.into()), vec![window(2), window(4)])],
            failures: 3,
        }],
        context_queries: vec![ContextQuery {
            finding: FindingKey(u128::MAX),
            source: SourceIp::V6Net(7),
            addresses: vec!["2001:db8::7".parse().expect("an address")],
            window: window(5),
        }],
        failing: (cursor % 2 == 0).then(|| Failing { since: Second(i64::MIN), reason: "throttled".to_owned() }),
        silent_windows: 3,
        silence_reported: true,
        hidden_proxies: vec!["172.31.0.5".parse().expect("an address")],
        past: PastWindows { since: Second(-1), marked: vec![(window(3), WindowMark::Late)] },
        retired: Some(Retirement { since: Second(-7), reason: RetirementReason::AuditOff }),
        returned_at: Some(Second(-9)),
        clusters: known_clusters(),
    }
}

/// Returns notice number `n`.
pub(crate) fn notice(n: u64) -> Notice {
    Notice {
        source: format!("source-{n}"),
        cluster: "prod".to_owned(),
        window: window(7),
        kind: NoticeKind::Overflow { rows: n, requests: u64::MAX, top: vec![("198.51.100.7".to_owned(), 9)] },
    }
}

/// Returns what happened to finding `n`.
pub(crate) fn entry(n: u64) -> Entry {
    Entry { finding: finding_key(n), incident: None, activity: Activity::Create }
}

/// Returns a delivery of `entries` entries and `notices` notices.
pub(crate) fn delivery(id: u64, entries: u64, notices: u64) -> Delivery {
    Delivery {
        id: DeliveryId(id),
        destination: DESTINATION.to_owned(),
        held_until: None,
        entries: (0..entries).map(entry).collect(),
        notices: (0..notices).map(notice).collect(),
    }
}

/// Returns that the destination shows a message about incident `n`, written at `at`.
pub(crate) fn shown_change(n: u64, at: i64) -> ShownChange {
    let message = ShownMessage {
        channel: "C024BE91L".to_owned(),
        ts: format!("1355517523.{n:06}"),
        steps: (0..n % 50).map(|step| format!("kubernetes-rule-with-a-long-name-{step}-{}", "x".repeat(90))).collect(),
        level: Level::High,
    };
    let shown = if n.is_multiple_of(5) { Shown::Silenced } else { Shown::Message(message) };
    ShownChange {
        destination: DESTINATION.to_owned(),
        incident: IncidentKey(n.into()),
        shown: Some(ShownIncident { at: Second(at), shown }),
    }
}

/// Returns days that end with `last`.
pub(crate) fn seen_days(last: i64) -> SeenDays {
    serde_json::from_value(json!({"last": last, "bits": u64::MAX})).expect("days")
}

/// Returns a commit of `log` that changes nothing but the cursor.
pub(crate) fn commit(source: SourceId, log: LogId, cursor: i64, next_delivery: DeliveryId) -> Commit {
    Commit {
        logs: vec![LogCommit { source, minutes: Vec::new(), progress: progress(log, cursor) }],
        ..Commit::empty(next_delivery)
    }
}

/// Returns the commit of one log with these rows.
pub(crate) fn with_rows(mut commit: Commit, minutes: impl IntoIterator<Item = (Minute, Rows)>) -> Commit {
    commit.logs[0].minutes.extend(minutes);
    commit
}

/// Returns a first commit with something of everything; its minute 1 has rows with many samples.
pub(crate) fn full_commit() -> Commit {
    let minutes = [(Minute(-1), rows(1, 2, 0)), (Minute(0), rows(2, 3, 1)), (Minute(1), rows(3, 2, 20))];
    Commit {
        findings: vec![finding(1, 20), finding(2, 0)],
        deliveries: vec![delivery(0, 2, 1), delivery(1, 100, 0)],
        waiting: vec![WaitingGroup { until: Second(7), key: count_key(4) }],
        seen: SeenChange { days: vec![(SeenKey(u64::MAX), seen_days(20_000))], ..SeenChange::default() },
        ..with_rows(commit(SourceId(0), log(0), 60, DeliveryId(2)), minutes)
    }
}

/// Returns all rows of a ledger, by minute and source.
pub(crate) fn stored_rows(ledger: &Ledger) -> Result<Vec<StoredMinute>, LedgerError> {
    let none = NeededRows { all_from: Minute(i64::MAX), near_from: Minute(i64::MAX), far_rules: &HashSet::new() };
    ledger.oldest_rows(&none, usize::MAX).map(|oldest| oldest.minutes)
}

/// Returns all findings of a ledger outside of the archive, by key.
pub(crate) fn stored_findings(ledger: &Ledger) -> Result<Vec<Finding>, LedgerError> {
    let (mut findings, mut last) = (Vec::new(), None);
    loop {
        // Steps of few findings are like one of all.
        last = ledger.each_finding_after(last, 3, |finding| findings.push(finding))?;
        if last.is_none() {
            break;
        }
    }
    findings.sort_by_key(|finding| finding.key);
    Ok(findings)
}

/// Returns all findings in the archive of a ledger, newest first.
pub(crate) fn archived_findings(ledger: &Ledger) -> Result<Vec<Finding>, LedgerError> {
    ledger.archive()?.findings(|_, _, _| true).collect()
}

fn known_clusters() -> KnownClusters {
    let mut clusters = KnownClusters::default();
    for id in ["/one/prod", "/two/prod"] {
        clusters.name(id, "prod", Second(3));
    }
    clusters
}
