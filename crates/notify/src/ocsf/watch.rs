//! What Stakeout tells of itself, in the same class as a finding: notices, digests, forgotten findings, tests.

use jiff::Timestamp;
use serde_json::{Value, json};
use stakeout_core::delivery::Activity;
use stakeout_core::finding::FindingKey;
use stakeout_core::notice::{Notice, NoticeKind};
use stakeout_core::rule::Level;
use stakeout_core::text::visible;

use crate::notice as words;
use crate::notification::{DIGEST_TOP_MAX, Digest};

/// Uids of forgotten findings that one message lists.
const UIDS_MAX: usize = 1_000;

/// Returns the object for a notice; `now` is when the message is made.
#[must_use]
pub fn notice(notice: &Notice, delivery_id: Option<&str>, now: Timestamp) -> Value {
    let mut unmapped = json!({
        "kind": words::kind(notice),
        "source": notice.source,
        "window": {"earliest": notice.window.earliest().millis(), "latest": notice.window.latest().millis()},
    });
    match &notice.kind {
        NoticeKind::Gap { reason } => unmapped["reason"] = json!(reason),
        NoticeKind::Silent { windows } => unmapped["windows"] = json!(windows),
        NoticeKind::Overflow { rows, requests, top } => {
            unmapped["rows"] = json!(rows);
            unmapped["requests"] = json!(requests);
            unmapped["top"] = largest(top);
        }
        NoticeKind::TooManyFindings { findings, requests, top } => {
            unmapped["findings"] = json!(findings);
            unmapped["requests"] = json!(requests);
            unmapped["top"] = largest(top);
        }
        NoticeKind::NotFollowedUp { sources, reason } => {
            unmapped["sources"] = json!(sources);
            unmapped["reason"] = json!(reason);
        }
        NoticeKind::GapFilled | NoticeKind::SilenceOver => {}
    }
    let told = Told {
        uid: &words::uid(notice),
        kind: "Watch",
        title: words::title(notice),
        text: &words::explanation(notice),
        level: words::level(notice),
        activity: words::activity(notice),
    };
    let mut object = told.object(delivery_id, now);
    object["resources"] = json!([super::cluster_resource(&notice.cluster)]);
    object["unmapped"] = unmapped;
    object
}

/// Returns the largest sources of what is told as a sum.
fn largest(top: &[(String, u64)]) -> Value {
    top.iter().map(|(source, requests)| json!({"source": source, "requests": requests})).collect()
}

/// Returns the object for a digest.
pub(super) fn digest(digest: &Digest<'_>, id: &str, now: Timestamp) -> Value {
    let told = Told {
        uid: id,
        kind: "Digest",
        title: "Digest",
        text: &digest.headline(),
        level: digest.level(),
        activity: Activity::Create,
    };
    let mut object = told.object(Some(id), now);
    object["unmapped"] = json!({
        "findings": digest.findings.len(),
        "notices": digest.notices.len(),
        "forgotten": digest.forgotten.len(),
        "top": digest.findings.iter().take(DIGEST_TOP_MAX).map(|(finding, _)| finding.key.to_string()).collect::<Vec<_>>(),
    });
    object
}

/// Returns the object that names findings which are not stored any more.
pub(super) fn forgotten(uids: &[FindingKey], id: &str, now: Timestamp) -> Value {
    let told = Told {
        uid: id,
        kind: "Watch",
        title: "Findings no longer stored",
        text: FORGOTTEN,
        level: Level::Medium,
        activity: Activity::Create,
    };
    let mut object = told.object(Some(id), now);
    object["count"] = json!(uids.len());
    object["unmapped"] = json!({
        "kind": "forgotten",
        "uids": uids.iter().take(UIDS_MAX).map(FindingKey::to_string).collect::<Vec<_>>(),
    });
    object
}

/// What it means that a finding which is owed is not stored.
pub(crate) const FORGOTTEN: &str = "These findings were owed to this destination, but they are over and were removed before it took them. Other destinations may have them.";

/// Returns the object that tests a destination.
pub(super) fn test(destination: &str, id: &str, now: Timestamp) -> Value {
    let told = Told {
        uid: id,
        kind: "Test",
        title: "Test",
        text: &format!("Test of the destination {destination}: nothing was found."),
        level: Level::Informational,
        activity: Activity::Create,
    };
    told.object(Some(id), now)
}

/// What such an object says.
struct Told<'a> {
    uid: &'a str,
    kind: &'a str,
    title: &'a str,
    text: &'a str,
    level: Level,
    activity: Activity,
}

impl Told<'_> {
    fn object(&self, delivery_id: Option<&str>, now: Timestamp) -> Value {
        let now_ms = now.as_millisecond();
        let mut object = super::head(self.activity, self.level, now_ms, delivery_id, now);
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
