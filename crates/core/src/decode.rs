//! Native audit JSON into an [`AuditEvent`], whole or cut off.
//!
//! One reading serves both: it fills the event as it goes, so where a line ends early the event holds what
//! stood before. Most events are looked at only to be left aside, so they lend from their line until one is wanted. The API server writes everything that rules need before the request and response bodies.
//! Envelopes of the clouds are read in their own crates.

mod borrowed_event;
mod event_filter;
mod stage_time;

use std::borrow::Cow;

use serde::de::IgnoredAny;
use thiserror::Error;

use crate::event::AuditEvent;
use crate::json::Reader;
use crate::text::bounded;

pub use borrowed_event::BorrowedEvent;
pub use event_filter::EventFilter;
pub use stage_time::{stage_time_ms, stage_time_unread_ms};

/// Longest line that is read whole, in bytes. Of a longer one the first part is read, and it counts as truncated.
pub const LINE_BYTES_MAX: usize = 1 << 20;
/// How many bytes at the end of a longer line are searched for its timestamps.
pub const TAIL_BYTES: usize = 4096;

/// An event, and whether all of its record could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// The event.
    pub event: AuditEvent,
    /// Whether the record was cut off or damaged behind what the event holds.
    pub is_truncated: bool,
}

/// An event that came in a cloud's envelope, with what the envelope says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enveloped {
    /// The event.
    pub decoded: Decoded,
    /// The provider's time of the record, in milliseconds since 1970.
    pub time_ms: i64,
    /// The provider's own id of the record.
    pub record_id: String,
    /// The cluster that audited the request, where the envelope names it.
    pub cluster: Option<String>,
}

/// Why a record is no audit event. The record is counted and told; it never stops a page.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The text is not JSON, or breaks off before anything could be read.
    #[error("not audit JSON: {0}")]
    NotJson(String),
    /// It is JSON of another kind.
    #[error("not an audit event: kind is {0}")]
    NotAnEvent(String),
    /// It is a record of another service, which an exported log may hold beside the audit log.
    #[error("not of the Kubernetes API: {0}")]
    OtherService(String),
}

/// Returns the event that `line` holds.
///
/// Text fields hold strings only; a value of another type and an empty string are read as missing. Of a key that
/// stands twice the last counts. `responseStatus.code` may be a number, a number with a fraction of zero, or text
/// of digits; with an exponent it is no number.
pub fn decode(line: &[u8]) -> Result<Decoded, DecodeError> {
    borrowed_event(line).map(BorrowedEvent::into_decoded)
}

/// Returns the event that `line` holds, as it lies there.
pub fn borrowed_event(line: &[u8]) -> Result<BorrowedEvent<'_>, DecodeError> {
    if line.len() <= LINE_BYTES_MAX {
        return skim_prefix(line, false);
    }
    skim_long(&line[..LINE_BYTES_MAX], &line[line.len() - TAIL_BYTES..])
}

/// Returns the event of a line longer than [`LINE_BYTES_MAX`], of which `prefix` is the first part and `tail` the
/// last [`TAIL_BYTES`]: the timestamps stand behind the bodies.
pub fn skim_long<'a>(prefix: &'a [u8], tail: &[u8]) -> Result<BorrowedEvent<'a>, DecodeError> {
    let mut event = skim_prefix(prefix, true)?;
    if event.stage_timestamp.is_none() {
        let last = |key| last_text_of(tail, key).map(Cow::Owned);
        event.stage_timestamp = last("stageTimestamp");
        let received = &mut event.request_received_timestamp;
        *received = received.take().or_else(|| last("requestReceivedTimestamp"));
    }
    Ok(event)
}

fn skim_prefix(line: &[u8], is_prefix: bool) -> Result<BorrowedEvent<'_>, DecodeError> {
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line).trim_ascii();
    if line.first() != Some(&b'{') {
        let shown = bounded(&String::from_utf8_lossy(&line[..line.len().min(64)]), 16);
        return Err(DecodeError::NotJson(format!("it begins with {shown:?}")));
    }
    let mut event = BorrowedEvent::default();
    let mut json = Reader::new(line);
    let read = event.read(&mut json).and_then(|()| json.end());
    event.is_truncated = is_prefix || read.is_err();
    match &event.kind {
        Some(kind) if kind != "Event" => Err(DecodeError::NotAnEvent(bounded(kind, 64))),
        _ if is_begun(&event) => Ok(event),
        _ if read.is_ok() => Err(DecodeError::NotJson("no auditID, stage or verb in it".to_owned())),
        _ => Err(DecodeError::NotJson(fault_in(line))),
    }
}

/// Says why `line` is no JSON.
fn fault_in(line: &[u8]) -> String {
    match serde_json::from_slice::<IgnoredAny>(line) {
        Err(fault) => fault.to_string(),
        Ok(_) => "a text in it is no Unicode".to_owned(),
    }
}

/// Tells whether enough was read to know that this is a record of some request, however little is left of it: a URI of
/// hundreds of kilobytes stands before the verb and the addresses.
fn is_begun(event: &BorrowedEvent<'_>) -> bool {
    event.audit_id.is_some() || event.stage.is_some() || event.verb.is_some()
}

/// Returns the last text behind `"key":` in `bytes`. Inside a JSON text the quotes would be escaped, so this finds
/// a real key; what stands in a body comes before the event's own.
fn last_text_of(bytes: &[u8], key: &str) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let (_, after) = text.rsplit_once(&format!("\"{key}\":\""))?;
    let (value, _) = after.split_once('"')?;
    Some(bounded(value, 64))
}

#[cfg(test)]
mod tests;
