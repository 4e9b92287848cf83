//! `entries.write`, to load data over the wire.
//! <https://cloud.google.com/logging/docs/reference/v2/rest/v2/entries/write>

use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::entry::{Entry, EntryError};
use super::store::Store;
use super::wire::LoggingError;

/// "Log entries that are more than 24 hours in the future [...] might be discarded": the fake discards them.
const AHEAD_MAX: Duration = Duration::from_hours(24);
/// The retention of the bucket `_Default`; older entries are discarded.
const AGE_MAX: Duration = Duration::from_hours(30 * 24);

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct WriteLogEntries {
    entries: Vec<Map<String, Value>>,
    log_name: Option<Value>,
    resource: Option<Value>,
    labels: Option<Map<String, Value>>,
    #[serde(default)]
    partial_success: bool,
    /// The official Python client writes it with an underscore; the API accepts both.
    #[serde(default, alias = "dry_run")]
    dry_run: bool,
}

impl Store {
    pub(super) fn write_log_entries(&mut self, input: &WriteLogEntries, now: Timestamp) -> Result<Value, LoggingError> {
        let made: Vec<_> = input.made(now).collect();
        let refused = made.iter().enumerate().find_map(|(index, made)| {
            let error = made.as_ref().err()?;
            Some(LoggingError::invalid(format!("entries[{index}]: {error}")))
        });
        if !input.dry_run && (refused.is_none() || input.partial_success) {
            made.into_iter().flatten().filter(|entry| is_kept(entry, now)).for_each(|entry| {
                self.ingest(entry, Timestamp::MIN);
            });
        }
        refused.map_or(Ok(json!({})), Err)
    }
}

impl WriteLogEntries {
    /// Returns the entries, each with the defaults of the request.
    fn made(&self, now: Timestamp) -> impl Iterator<Item = Result<Entry, EntryError>> {
        self.entries.iter().map(move |entry| {
            let mut entry = entry.clone();
            for (member, value) in [("logName", &self.log_name), ("resource", &self.resource)] {
                if let (Some(value), false) = (value, entry.contains_key(member)) {
                    entry.insert(member.to_owned(), value.clone());
                }
            }
            if let Some(common) = &self.labels {
                let mut labels = common.clone();
                labels.extend(entry.get("labels").and_then(Value::as_object).cloned().unwrap_or_default());
                entry.insert("labels".to_owned(), Value::Object(labels));
            }
            Entry::new(Value::Object(entry), now)
        })
    }
}

/// Returns whether the cloud keeps an entry; it discards others silently.
fn is_kept(entry: &Entry, now: Timestamp) -> bool {
    let age = now.duration_since(entry.timestamp);
    age.unsigned_abs() <= if age.is_negative() { AHEAD_MAX } else { AGE_MAX }
}
