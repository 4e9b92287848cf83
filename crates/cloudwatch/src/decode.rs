//! Makes records of the events that the service sends. What is written in a record is core's to read.

use aws_sdk_cloudwatchlogs::types::FilteredLogEvent;
use stakeout_core::record::{Page, PageToken, RawRecord};
use stakeout_core::time::Window;

/// Returns the page that holds those of `events` that lie in the window.
///
/// The service takes both bounds as inclusive milliseconds, so the half-open ones are kept here; and nothing outside of
/// the window is believed, whatever was asked for.
pub(crate) fn page_of(group: &str, window: Window, events: Vec<FilteredLogEvent>, next: Option<PageToken>) -> Page {
    let mut page = Page { next, ..Page::default() };
    for event in events {
        match record_of(group, event) {
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

/// Returns an event as a record, or `None` where it has no time, no text, or no id to tell it from others.
fn record_of(group: &str, event: FilteredLogEvent) -> Option<RawRecord> {
    let stream = event.log_stream_name?;
    let event_id = event.event_id.filter(|id| !id.is_empty())?;
    Some(RawRecord {
        record_id: format!("{group}/{stream}/{event_id}"),
        time_ms: event.timestamp?,
        body: event.message?,
    })
}

#[cfg(test)]
mod tests {
    use aws_sdk_cloudwatchlogs::types::builders::FilteredLogEventBuilder;
    use stakeout_core::time::Second;

    use super::*;

    fn event(id: &str, at: i64) -> FilteredLogEventBuilder {
        FilteredLogEvent::builder().log_stream_name("kube-apiserver-audit-1").timestamp(at).message("{}").event_id(id)
    }

    #[test]
    fn a_page_holds_what_lies_in_the_window_and_counts_what_is_no_record() {
        let window = Window::new(Second(60), Second(120)).expect("not empty");
        let next = Some(PageToken("whole:t".to_owned()));
        let events = vec![
            event("early", 59_999).build(),
            event("first", 60_000).build(),
            event("last", 119_999).build(),
            event("late", 120_000).build(),
            event("untimed", 0).set_timestamp(None).build(),
            event("mute", 60_000).set_message(None).build(),
            event("", 60_000).build(),
            event("homeless", 60_000).set_log_stream_name(None).build(),
        ];
        let record = |id: &str, time_ms| RawRecord {
            record_id: format!("audit/kube-apiserver-audit-1/{id}"),
            time_ms,
            body: "{}".to_owned(),
        };
        let page = Page {
            records: vec![record("first", 60_000), record("last", 119_999)],
            next: next.clone(),
            bytes: 4,
            unusable: 4,
        };
        assert_eq!(page_of("audit", window, events, next), page);
    }
}
