//! A `LogEntry` in its JSON form, checked against what the API defines.
//! <https://cloud.google.com/logging/docs/reference/v2/rest/v2/LogEntry>

use std::fmt;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::logging_filter::{FieldKind, LOG_ENTRY, severity, timestamp};

const LOG_ID_CHARS_MAX: usize = 512;
const PRIVATE_LOGS: [&str; 2] =
    ["/logs/cloudaudit.googleapis.com%2Fdata_access", "/logs/cloudaudit.googleapis.com%2Faccess_transparency"];
const PAYLOADS: [&str; 3] = ["textPayload", "jsonPayload", "protoPayload"];

/// A valid entry.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) project: String,
    pub(super) timestamp: Timestamp,
    pub(super) insert_id: String,
    log_name: String,
    pub(super) json: Value,
    pub(super) bytes: usize,
}

/// Why an entry is invalid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EntryError(pub(super) String);

impl fmt::Display for EntryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Entry {
    /// Checks an entry, and fills in missing times.
    pub(super) fn new(mut json: Value, received: Timestamp) -> Result<Self, EntryError> {
        check(&json, FieldKind::Message(LOG_ENTRY), "LogEntry")?;
        let log_name = text(&json, "logName").ok_or_else(|| wrong("logName", "is missing"))?;
        let project = project_of(&log_name)?;
        if json["resource"]["type"].as_str().is_none_or(str::is_empty) {
            return Err(wrong("resource.type", "is missing"));
        }
        let payloads = PAYLOADS.iter().filter(|payload| json.get(payload).is_some()).count();
        if payloads > 1 {
            return Err(wrong("payload", "is given twice"));
        }
        for member in ["timestamp", "receiveTimestamp"] {
            if json.get(member).is_none() {
                json[member] = json!(received.to_string());
            }
        }
        let timestamp = json["timestamp"].as_str().and_then(timestamp).unwrap_or(received);
        let insert_id = text(&json, "insertId").unwrap_or_default();
        let bytes = json.to_string().len();
        Ok(Self { project, timestamp, insert_id, log_name, json, bytes })
    }

    pub(super) fn set_insert_id(&mut self, id: &str) {
        id.clone_into(&mut self.insert_id);
        self.json["insertId"] = json!(id);
        self.bytes = self.json.to_string().len();
    }

    /// Returns the identity of an entry. As documented, an answer omits one of two entries with the same identity.
    pub(super) fn identity(&self) -> (String, Timestamp, String) {
        (self.project.clone(), self.timestamp, self.insert_id.clone())
    }

    /// Returns the sort key of the documented order.
    pub(super) fn order(&self) -> (Timestamp, &str, &str) {
        (self.timestamp, &self.insert_id, &self.log_name)
    }

    /// Returns whether reading the log needs the permission `logging.privateLogEntries.list`.
    /// <https://cloud.google.com/logging/docs/access-control#considerations>
    pub(super) fn is_private(&self) -> bool {
        PRIVATE_LOGS.iter().any(|id| self.log_name.ends_with(id))
    }

    /// Returns whether a text can be the id or number of a project.
    pub(super) fn is_project(text: &str) -> bool {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | ':' | '.');
        !text.is_empty() && text.chars().all(fits)
    }
}

fn text(json: &Value, member: &str) -> Option<String> {
    json.get(member)?.as_str().map(str::to_owned)
}

fn wrong(member: &str, why: &str) -> EntryError {
    EntryError(format!("{member} {why}"))
}

/// Reads the project from the name of a log. The id of the log must be URL-encoded.
fn project_of(log_name: &str) -> Result<String, EntryError> {
    let Some((project, id)) = log_name.strip_prefix("projects/").and_then(|rest| rest.split_once("/logs/")) else {
        return Err(wrong("logName", "must be projects/PROJECT/logs/LOG"));
    };
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let is_id = id.replace("%2F", "").chars().all(fits) && !id.is_empty() && id.len() < LOG_ID_CHARS_MAX;
    if !Entry::is_project(project) || !is_id {
        return Err(wrong("logName", "has a project or an URL-encoded id that cannot be"));
    }
    Ok(project.to_owned())
}

/// Checks a value and all values in it against its kind.
fn check(value: &Value, kind: FieldKind, name: &str) -> Result<(), EntryError> {
    let is_whole = |value: &Value| value.is_i64() || value.as_str().is_some_and(|digits| digits.parse::<i64>().is_ok());
    let is_of_kind = match kind {
        FieldKind::Text | FieldKind::Label | FieldKind::Span => value.is_string(),
        FieldKind::Number => is_whole(value),
        FieldKind::Flag => value.is_boolean(),
        FieldKind::Time => value.as_str().and_then(timestamp).is_some(),
        FieldKind::Severity => value.as_str().map_or_else(|| value.is_i64(), |name| severity(name).is_some()),
        FieldKind::Payload => value.is_object(),
        FieldKind::Labels | FieldKind::Message(_) => return check_members(value, kind, name),
    };
    if is_of_kind { Ok(()) } else { Err(wrong(name, "is not of its type")) }
}

fn check_members(value: &Value, kind: FieldKind, name: &str) -> Result<(), EntryError> {
    let members = value.as_object().ok_or_else(|| wrong(name, "is no object"))?;
    members.iter().try_for_each(|(member, value)| {
        let kind = kind.member(member).ok_or_else(|| wrong(name, &format!("has no member {member:?}")))?;
        check(value, kind, member)
    })
}
