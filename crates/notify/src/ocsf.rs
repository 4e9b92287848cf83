//! The machine form: OCSF 1.3.0 Detection Finding (class 2004) and Incident Finding (class 2005), one JSON object a line.
//!
//! Notices, digests and tests have the same class, so that a consumer needs one schema; `finding_info.types`
//! distinguishes them. Attribute names and enumerations are those of
//! <https://schema.ocsf.io/1.3.0/classes/detection_finding>.

mod addresses;
mod finding;
mod incident;
mod line;
mod shrink;
mod watch;

use jiff::Timestamp;
use serde_json::{Value, json};
use stakeout_core::delivery::Activity;
use stakeout_core::finding::Finding;
use stakeout_core::rule::Level;

use crate::notification::{IncidentReport, Message, MessageBody};
use crate::text;

pub use addresses::add_addresses;
pub use finding::finding;
pub use incident::incident;
pub use line::{to_line, to_lines};
pub use shrink::shrink_to;
pub(crate) use watch::FORGOTTEN;
pub use watch::notice;

/// The version of OCSF that messages follow.
pub const VERSION: &str = "1.3.0";

/// Most sources, and most findings of an incident, in a message; `replay` prints all that are kept.
pub const SOURCES_MAX: usize = 1_000;

/// Returns the object for a message of any kind, which carries the message's id in `metadata.uid` and lists at most
/// [`SOURCES_MAX`] sources.
#[must_use]
pub fn message(message: &Message<'_>, now: Timestamp) -> Value {
    let id = Some(message.id.as_str());
    match &message.body {
        MessageBody::Finding { finding, activity } => finding_message(finding, *activity, id, now),
        MessageBody::Incident(report) => incident_message(report, id, now),
        MessageBody::Notice(notice) => self::notice(notice, id, now),
        MessageBody::Digest(digest) => watch::digest(digest, &message.id, now),
        MessageBody::Forgotten(uids) => watch::forgotten(uids, &message.id, now),
        MessageBody::Test { destination } => watch::test(destination, &message.id, now),
    }
}

/// Returns the object for a message about a finding: it lists at most [`SOURCES_MAX`] sources and names the command that
/// shows the finding.
#[must_use]
pub fn finding_message(finding: &Finding, activity: Activity, delivery_id: Option<&str>, now: Timestamp) -> Value {
    let mut object = self::finding(finding, activity, delivery_id, now);
    finding::limit_sources(&mut object);
    object["unmapped"]["details"] = json!(text::details_command(finding));
    object
}

/// Returns the object for a message about an incident: it lists at most [`SOURCES_MAX`] sources and findings and names the
/// command that shows the incident. One that became a part of another has no sources any more.
#[must_use]
pub fn incident_message(report: &IncidentReport<'_>, delivery_id: Option<&str>, now: Timestamp) -> Value {
    let mut object = self::incident(report.incident, report.activity, delivery_id, now);
    incident::limit_lists(&mut object);
    let details = &mut object["unmapped"]["incident"];
    details["uid"] = json!(report.uid.to_string());
    if let Some(other) = report.merged_into() {
        details["merged_into"] = json!(other.to_string());
        details["sources"] = json!([]);
        details["sources_total"] = json!(0);
    }
    if report.is_last {
        details["is_last_message"] = json!(true);
    }
    object["unmapped"]["details"] = json!(text::incident_command(report.incident));
    object
}

/// A class of OCSF.
#[derive(Clone, Copy)]
enum Class {
    /// Detection Finding.
    Finding,
    /// Incident Finding.
    Incident,
}

/// Returns the attributes of every object.
fn common_attributes(
    class: Class,
    activity: Activity,
    level: Level,
    time_ms: i64,
    delivery_id: Option<&str>,
    now: Timestamp,
) -> Value {
    let activity_id = activity as u8;
    let (class_uid, class_name) = match class {
        Class::Finding => (2004_u32, "Detection Finding"),
        Class::Incident => (2005, "Incident Finding"),
    };
    let (activity_name, status_id, status) = match (activity, class) {
        (Activity::Create, _) => ("Create", 1, "New"),
        (Activity::Update, _) => ("Update", 2, "In Progress"),
        (Activity::Close, Class::Finding) => ("Close", 4, "Resolved"),
        (Activity::Close, Class::Incident) => ("Close", 5, "Closed"),
    };
    let mut metadata = json!({
        "version": VERSION,
        "product": {"name": "Stakeout", "vendor_name": "Stakeout", "version": env!("CARGO_PKG_VERSION")},
        "logged_time": now.as_millisecond(),
    });
    if let Some(id) = delivery_id {
        metadata["uid"] = json!(id);
    }
    json!({
        "metadata": metadata,
        "category_uid": 2,
        "category_name": "Findings",
        "class_uid": class_uid,
        "class_name": class_name,
        "activity_id": activity_id,
        "activity_name": activity_name,
        "type_uid": class_uid * 100 + u32::from(activity_id),
        "type_name": format!("{class_name}: {activity_name}"),
        "severity_id": level.severity_id(),
        "severity": severity(level),
        "status_id": status_id,
        "status": status,
        "time": time_ms,
    })
}

/// Returns OCSF's caption for `severity_id`.
pub(crate) fn severity(level: Level) -> &'static str {
    match level {
        Level::Informational => "Informational",
        Level::Low => "Low",
        Level::Medium => "Medium",
        Level::High => "High",
        Level::Critical => "Critical",
    }
}

/// Returns a cluster as a resource.
fn cluster_resource(name: &str) -> Value {
    json!({"name": name, "type": "Kubernetes cluster"})
}
