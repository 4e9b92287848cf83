//! Turns the entries that the service sends into records. `decode` reads what a record contains.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use stakeout_core::record::{Page, PageToken, RawRecord};
use stakeout_core::time::Window;

use crate::decode;
use crate::json_object::JsonObject;

/// What identifies an entry.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EntryHead<'a> {
    #[serde(borrow, default)]
    log_name: Cow<'a, str>,
    #[serde(borrow, default)]
    insert_id: Cow<'a, str>,
    #[serde(default)]
    timestamp: Option<Timestamp>,
}

/// Returns the page that holds those of `entries` that lie in the window; entries outside of it are dropped, whatever
/// the service sends.
pub(crate) fn page_of(window: Window, entries: Vec<Box<RawValue>>, next: Option<PageToken>) -> Page {
    let mut page = Page { next, ..Page::default() };
    for entry in entries {
        match record_of(entry) {
            None => page.unusable = page.unusable.saturating_add(1),
            Some(record) if (window.earliest().millis()..window.latest().millis()).contains(&record.time_ms) => {
                page.bytes += record.body.len() as u64;
                page.records.push(record);
            }
            Some(_) => {}
        }
    }
    page
}

/// Returns an entry's time, or `None` where it has none.
pub(crate) fn time_of(entry: &RawValue) -> Option<Timestamp> {
    head_of(entry)?.timestamp
}

/// Returns the cluster that an entry is of, and the entry's time.
pub(crate) fn cluster_of(entry: &RawValue) -> Option<(String, Timestamp)> {
    let object = JsonObject::parse(entry.get()).ok()?;
    Some((decode::cluster_id(&object)?, time_of(entry)?))
}

/// Returns an entry as a record, or `None` where it has no time, no log, or no id of its own.
fn record_of(entry: Box<RawValue>) -> Option<RawRecord> {
    let EntryHead { log_name, insert_id, timestamp } = head_of(&entry)?;
    let at = timestamp?;
    if log_name.is_empty() || insert_id.is_empty() {
        return None;
    }
    let long_request = JsonObject::parse(entry.get()).ok().and_then(|entry| decode::long_request(&entry));
    let record_id = match long_request {
        Some(request) => format!("{log_name}/{request}"),
        None => decode::record_id(&log_name, at, &insert_id),
    };
    let time_ms = at.as_millisecond();
    Some(RawRecord { record_id, time_ms, body: String::from(Box::<str>::from(entry)) })
}

fn head_of(entry: &RawValue) -> Option<EntryHead<'_>> {
    serde_json::from_str(entry.get()).ok()
}

#[cfg(test)]
mod tests {
    use stakeout_core::time::Second;

    use super::*;

    fn entry(id: &str, at: &str) -> Box<RawValue> {
        let time = if at.is_empty() { String::new() } else { format!(r#""timestamp":"{at}","#) };
        raw(&format!(r#"{{{time}"logName":"l","insertId":"{id}"}}"#))
    }

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).expect("JSON")
    }

    #[test]
    fn a_page_holds_the_records_of_its_window_and_counts_unusable_entries() {
        let window = Window::new(Second(60), Second(120)).expect("not empty");
        let next = Some(PageToken("whole:t".to_owned()));
        let first = entry("first", "1970-01-01T00:01:00Z");
        let last = entry("last", "1970-01-01T00:01:59.999999999Z");
        let entries = vec![
            entry("early", "1970-01-01T00:00:59.999Z"),
            first.clone(),
            last.clone(),
            entry("late", "1970-01-01T00:02:00Z"),
            entry("untimed", ""),
            entry("", "1970-01-01T00:01:00Z"),
            raw(r#"{"timestamp":"1970-01-01T00:01:00Z","insertId":"without a log"}"#),
            raw(r#"{"timestamp":"soon","logName":"l","insertId":"x"}"#),
            raw("7"),
        ];
        let record = |entry: &RawValue, id: &str, time_ms| RawRecord {
            record_id: id.to_owned(),
            time_ms,
            body: entry.get().to_owned(),
        };
        let records = vec![
            record(&first, "l/1970-01-01T00:01:00Z/first", 60_000),
            record(&last, "l/1970-01-01T00:01:59.999999999Z/last", 119_999),
        ];
        let bytes = records.iter().map(|record| record.body.len() as u64).sum();
        assert_eq!(
            page_of(window, entries, next.clone()),
            Page { records, next, bytes, unusable: 5, ..Page::default() }
        );
    }

    #[test]
    fn an_entry_may_be_nested_as_deep_as_its_sender_likes() {
        let window = Window::new(Second(60), Second(120)).expect("not empty");
        let request = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let entry = format!(
            r#"{{"timestamp":"1970-01-01T00:01:00Z","logName":"l","insertId":"i","protoPayload":{{"request":{request}}}}}"#
        );
        let page = page_of(window, vec![raw(&entry)], None);
        assert_eq!((page.records.len(), page.unusable), (1, 0));
    }
}
