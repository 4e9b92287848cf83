//! Turns the events that the service sends into records. Core decodes what a record contains.

use aws_sdk_cloudwatchlogs::types::FilteredLogEvent;
use jiff::Timestamp;
use serde::Deserialize;
use stakeout_core::decode::{DecodeError, Enveloped, decode};
use stakeout_core::record::{Page, PageToken, RawRecord};
use stakeout_core::text::bounded;
use stakeout_core::time::Window;

use crate::config::AUDIT_STREAM_PREFIX;

/// Returns the page that holds those of `events` that lie in the window.
///
/// The service takes both bounds as inclusive milliseconds, so the half-open ones are kept here; and events outside of
/// the window are dropped, whatever the service sends.
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

/// Returns the audit event in a record of an exported log: an event of a `FilterLogEvents` or `GetLogEvents` answer or
/// of subscription data as a JSON object, or a line of an S3 export, which is a time and the message.
///
/// The record id is empty where the export brings none; the log group, and with it the cluster, is in none of them.
/// <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilteredLogEvent.html>
///
/// # Errors
///
/// Where it is neither, or where its message is not an audit event. A message of another control plane log is
/// `OtherService` if its stream's name shows that.
pub fn exported(record: &str) -> Result<Enveloped, DecodeError> {
    if record.starts_with(|c: char| c.is_ascii_digit()) {
        return exported_line(record);
    }
    let event: ExportedEvent = serde_json::from_str(record)
        .map_err(|error| DecodeError::NotJson(format!("not an exported event: {error}")))?;
    let stream = event.log_stream_name.unwrap_or_default();
    if !stream.is_empty() && !stream.starts_with(AUDIT_STREAM_PREFIX) {
        return Err(DecodeError::OtherService(format!("stream {}", bounded(&stream, 64))));
    }
    let decoded = decode(event.message.as_bytes())?;
    let record_id = event.event_id.or(event.id).map(|id| format!("{stream}/{id}")).unwrap_or_default();
    Ok(Enveloped { decoded, time_ms: event.timestamp, record_id, cluster: None, cluster_id: None })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExportedEvent {
    log_stream_name: Option<String>,
    timestamp: i64,
    message: String,
    event_id: Option<String>,
    id: Option<String>,
}

/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/S3Export.html>
fn exported_line(line: &str) -> Result<Enveloped, DecodeError> {
    let (time, message) = line.split_once(' ').unwrap_or((line, ""));
    let decoded = decode(message.as_bytes())?;
    let time_ms = time
        .parse::<Timestamp>()
        .map_err(|_| DecodeError::NotJson(format!("it begins with {:?}, which is not a time", bounded(time, 40))))?
        .as_millisecond();
    Ok(Enveloped { decoded, time_ms, record_id: String::new(), cluster: None, cluster_id: None })
}

/// Returns an event as a record, or `None` where it has no time, no text, or no id of its own.
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
    use stakeout_core::record::CutRequests;
    use stakeout_core::time::Second;

    use super::*;

    #[test]
    fn exports_are_read_as_users_get_them() {
        let audit = r#"{"kind":"Event","verb":"list","responseStatus":{"code":403}}"#;
        let event =
            |rest: &str| format!(r#"{{"timestamp":1795309797604,"message":{},{rest}"x":1}}"#, serde_json::json!(audit));
        let read = |record: &str| {
            exported(record).map(|event| (event.decoded.event.response_code, event.time_ms, event.record_id))
        };
        let expected = |id: &str| Ok((Some(403), 1_795_309_797_604, id.to_owned()));
        let filtered = event(r#""logStreamName":"kube-apiserver-audit-1","eventId":"7","ingestionTime":1,"#);
        assert_eq!(read(&filtered), expected("kube-apiserver-audit-1/7"));
        assert_eq!(read(&event(r#""id":"8","#)), expected("/8"));
        assert_eq!(read(&event("")), expected(""));
        assert_eq!(read(&format!("2026-11-22T01:09:57.604Z {audit}")), expected(""));
        let other = event(r#""logStreamName":"authenticator-1","#);
        assert!(matches!(read(&other), Err(DecodeError::OtherService(_))));
        for damaged in ["{}", "2026-11-22T01:09:57.604Z", "2026 {}", &format!("2026-13-22 {audit}"), "[]", ""] {
            assert!(matches!(read(damaged), Err(DecodeError::NotJson(_))), "{damaged}");
        }
    }

    fn event(id: &str, at: i64) -> FilteredLogEventBuilder {
        FilteredLogEvent::builder().log_stream_name("kube-apiserver-audit-1").timestamp(at).message("{}").event_id(id)
    }

    #[test]
    fn a_page_holds_the_records_of_its_window_and_counts_unusable_events() {
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
            cut: CutRequests::default(),
        };
        assert_eq!(page_of("audit", window, events, next), page);
    }
}
