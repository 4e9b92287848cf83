//! Turns the entries that the service sends into records. `decode` reads what a record contains.

use google_cloud_logging_v2::model::LogEntry;
use jiff::Timestamp;
use stakeout_core::record::{Page, PageToken, RawRecord};
use stakeout_core::time::Window;

use crate::decode;

/// Returns the page that holds those of `entries` that lie in the window; entries outside of it are dropped, whatever
/// the service sends.
pub(crate) fn page_of(window: Window, entries: Vec<LogEntry>, next: Option<PageToken>) -> Page {
    let mut page = Page { next, ..Page::default() };
    for entry in entries {
        match record_of(&entry) {
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
pub(crate) fn time_of(entry: &LogEntry) -> Option<Timestamp> {
    let at = entry.timestamp.as_ref()?;
    Timestamp::new(at.seconds(), at.nanos()).ok()
}

/// Returns an entry as a record, or `None` where it has no time, no log, or no id of its own.
fn record_of(entry: &LogEntry) -> Option<RawRecord> {
    let at = time_of(entry)?;
    if entry.log_name.is_empty() || entry.insert_id.is_empty() {
        return None;
    }
    Some(RawRecord {
        record_id: decode::record_id(&entry.log_name, at, &entry.insert_id),
        time_ms: at.as_millisecond(),
        body: serde_json::to_string(entry).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use google_cloud_logging_v2::model::LogEntry;
    use stakeout_core::time::Second;

    use super::*;

    fn entry(id: &str, at: &str) -> LogEntry {
        let time = if at.is_empty() { String::new() } else { format!(r#""timestamp":"{at}","#) };
        serde_json::from_str(&format!(r#"{{{time}"logName":"l","insertId":"{id}"}}"#)).expect("an entry")
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
            first.clone().set_log_name(""),
        ];
        let record = |entry: &LogEntry, id: &str, time_ms| RawRecord {
            record_id: id.to_owned(),
            time_ms,
            body: serde_json::to_string(entry).expect("JSON"),
        };
        let records = vec![
            record(&first, "l/1970-01-01T00:01:00Z/first", 60_000),
            record(&last, "l/1970-01-01T00:01:59.999999999Z/last", 119_999),
        ];
        let bytes = records.iter().map(|record| record.body.len() as u64).sum();
        assert_eq!(page_of(window, entries, next.clone()), Page { records, next, bytes, unusable: 3 });
    }
}
