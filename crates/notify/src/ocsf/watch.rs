//! Messages about Stakeout itself, in the class of a finding: notices, digests, what was forgotten, tests.

use jiff::Timestamp;
use serde_json::{Value, json};
use stakeout_core::delivery::{Activity, Subject};
use stakeout_core::notice::{Notice, NoticeKind};
use stakeout_core::rule::Level;
use stakeout_core::text::visible;

use super::Class;
use crate::notice as texts;
use crate::notification::{DIGEST_TOP_MAX, Digest, uid_of};
use crate::text;

/// Most uids of forgotten findings and incidents in one message.
const UIDS_MAX: usize = 1_000;

/// Returns the object for a notice; `now` is the time of the message.
#[must_use]
pub fn notice(notice: &Notice, delivery_id: Option<&str>, now: Timestamp) -> Value {
    let mut unmapped = json!({
        "kind": texts::kind(notice),
        "window": {"earliest": notice.window.earliest().millis(), "latest": notice.window.latest().millis()},
    });
    // One about the whole watch names none.
    if !notice.source.is_empty() {
        unmapped["source"] = json!(notice.source);
    }
    match &notice.kind {
        NoticeKind::Gap { reason } | NoticeKind::PartialGap { reason } => unmapped["reason"] = json!(reason),
        NoticeKind::Silent { windows } => unmapped["windows"] = json!(windows),
        NoticeKind::Overflow { rows, requests, top } => {
            unmapped["rows"] = json!(rows);
            unmapped["requests"] = json!(requests);
            unmapped["top"] = largest(top);
        }
        NoticeKind::TooManyPending { destination, pending } => {
            unmapped["destination"] = json!(destination);
            unmapped["pending"] = json!(pending);
        }
        NoticeKind::TooManyFindings { findings, requests, rules, top } => {
            let of_rule = |(rule, findings): &(String, u64)| json!({"rule": rule, "findings": findings});
            unmapped["findings"] = json!(findings);
            unmapped["requests"] = json!(requests);
            unmapped["rules"] = rules.iter().map(of_rule).collect();
            unmapped["top"] = largest(top);
        }
        NoticeKind::NotFollowedUp { sources, reason } => {
            unmapped["sources"] = json!(sources);
            unmapped["reason"] = json!(reason);
        }
        NoticeKind::HiddenProxy { addresses } => unmapped["addresses"] = json!(addresses),
        NoticeKind::Day(report) => unmapped["day"] = json!(report),
        NoticeKind::StateRestored { from } => unmapped["copied_at"] = json!(from.to_string()),
        NoticeKind::AuditOff { command } => unmapped["command"] = json!(command),
        NoticeKind::DiscoveryFailed { reason } => unmapped["reason"] = json!(reason),
        NoticeKind::GapFilled
        | NoticeKind::SilenceOver
        | NoticeKind::ClockWasAhead
        | NoticeKind::StateGone
        | NoticeKind::Vanished
        | NoticeKind::Returned
        | NoticeKind::DiscoveryRecovered => {}
    }
    let report = StatusReport {
        uid: &texts::uid(notice),
        kind: "Watch",
        title: texts::title(notice),
        text: &texts::explanation(notice),
        level: texts::level(notice),
        activity: texts::activity(notice),
    };
    let mut object = report.object(delivery_id, now);
    if !notice.cluster.is_empty() {
        object["resources"] = json!([super::cluster_resource(&notice.cluster)]);
    }
    object["unmapped"] = unmapped;
    object
}

/// Returns the largest sources behind a sum.
fn largest(top: &[(String, u64)]) -> Value {
    top.iter().map(|(source, requests)| json!({"source": source, "requests": requests})).collect()
}

/// Returns the object for a digest.
pub(super) fn digest(digest: &Digest<'_>, id: &str, now: Timestamp) -> Value {
    let report = StatusReport {
        uid: id,
        kind: "Digest",
        title: "Digest",
        text: &digest.headline(),
        level: digest.level(),
        activity: Activity::Create,
    };
    let mut object = report.object(Some(id), now);
    object["unmapped"] = json!({
        "incidents": digest.incidents.len() + digest.grown.len(),
        "findings": digest.findings.len(),
        "notices": digest.notices.len(),
        "forgotten": digest.forgotten.len(),
        "details": text::LIST_COMMAND,
        "top": digest.findings.iter().take(DIGEST_TOP_MAX).map(|(finding, _)| finding.key.to_string()).collect::<Vec<_>>(),
    });
    object
}

/// Returns the object that lists findings and incidents which are no longer stored.
pub(super) fn forgotten(subjects: &[Subject], id: &str, now: Timestamp) -> Value {
    let report = StatusReport {
        uid: id,
        kind: "Watch",
        title: "No longer stored",
        text: FORGOTTEN,
        level: Level::Medium,
        activity: Activity::Create,
    };
    let mut object = report.object(Some(id), now);
    object["count"] = json!(subjects.len());
    object["unmapped"] = json!({
        "kind": "forgotten",
        "uids": subjects.iter().take(UIDS_MAX).copied().map(uid_of).collect::<Vec<_>>(),
    });
    object
}

/// The meaning of a pending finding or incident that is no longer stored.
pub(crate) const FORGOTTEN: &str = "Stakeout could not deliver these before they ended and expired. Other destinations may have received them. Run `stakeout findings list` and `stakeout incidents list`.";

/// Returns the object of a test message.
pub(super) fn test(destination: &str, id: &str, now: Timestamp) -> Value {
    let report = StatusReport {
        uid: id,
        kind: "Test",
        title: "Test",
        text: &format!("Destination {destination} works. This is not a finding."),
        level: Level::Informational,
        activity: Activity::Create,
    };
    report.object(Some(id), now)
}

/// The contents of such an object.
struct StatusReport<'a> {
    uid: &'a str,
    kind: &'a str,
    title: &'a str,
    text: &'a str,
    level: Level,
    activity: Activity,
}

impl StatusReport<'_> {
    fn object(&self, delivery_id: Option<&str>, now: Timestamp) -> Value {
        let now_ms = now.as_millisecond();
        let mut object = super::common_attributes(Class::Finding, self.activity, self.level, now_ms, delivery_id, now);
        object["message"] = json!(visible(&format!("{}: {}", self.title, self.text)));
        object["finding_info"] = json!({
            "uid": self.uid,
            "title": self.title,
            "desc": self.text,
            "analytic": {"name": "stakeout-watch", "type_id": 99, "type": "Watch"},
            "types": [self.kind],
            "modified_time": now_ms,
        });
        object
    }
}
