//! Turns a line of native audit JSON into an [`AuditEvent`], also where the line is cut off.
//!
//! The reader fills the event as it goes. When a line ends early, the event holds the members before that point. The API
//! server writes everything that rules need before the request and response bodies. The crates of the clouds read their
//! own envelopes.

mod borrowed_event;
mod event_filter;
mod json_text;
mod lenient;
mod members;
mod openshift;
mod stage_time;

use std::borrow::Cow;

use thiserror::Error;

use crate::event::AuditEvent;
use crate::text::bounded;

pub use borrowed_event::BorrowedEvent;
pub use event_filter::EventFilter;
pub use json_text::json_text;
pub use openshift::OAUTH_SERVER;
pub use stage_time::{stage_time_at_end_ms, stage_time_ms, stage_time_unread_ms};

/// Longest line that is read whole, in bytes. Of a longer line only the first part is read, and it counts as truncated.
///
/// No client can push a member that rules need beyond it. The API server reads at most 1 MiB of headers, the URI included.
/// JSON takes at most six bytes for one of them, and the URI may occur a second time, in the message of the status. Only
/// bodies make a longer line, and the API server writes them after these members.
/// <https://github.com/kubernetes/kubernetes/blob/master/staging/src/k8s.io/apiserver/pkg/server/secure_serving.go>
pub const LINE_BYTES_MAX: usize = 16 << 20;
/// Number of bytes at the end of a longer line in which its timestamps are searched.
pub const TAIL_BYTES: usize = 4096;

/// An event, and whether its record was complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// The event.
    pub event: AuditEvent,
    /// Whether the record is cut off or damaged after the members that the event holds.
    pub is_truncated: bool,
}

/// An event from a cloud's envelope, with the members of the envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enveloped {
    /// The event.
    pub decoded: Decoded,
    /// The provider's time of the record, in milliseconds since 1970.
    pub time_ms: i64,
    /// The provider's own id of the record.
    pub record_id: String,
    /// The cluster that audited the request, if the envelope names it.
    pub cluster: Option<String>,
    /// The provider's own id of this cluster, which no other cluster has, if the envelope names it whole.
    pub cluster_id: Option<String>,
}

/// Why a record is not an audit event. Such a record is counted and reported; it never stops a page.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The text is not JSON, or it breaks off before a member that identifies a request.
    #[error("not audit JSON: {0}")]
    NotJson(String),
    /// The text is JSON of another kind.
    #[error("not an audit event: kind is {0}")]
    NotAnEvent(String),
    /// The record belongs to another service. An exported log may hold such records beside the audit log.
    #[error("not of the Kubernetes API: {0}")]
    OtherService(String),
}

/// Returns the event that `line` holds.
///
/// Text fields hold strings only; a value of another type and an empty string count as missing. If a key occurs twice,
/// the last value counts. `responseStatus.code` may be a number, a number with a fraction of zero, or a text of digits.
/// A number with an exponent is not a code. A number beyond `f64` in place of a text damages the line.
pub fn decode(line: &[u8]) -> Result<Decoded, DecodeError> {
    borrowed_event(line).map(BorrowedEvent::into_decoded)
}

/// Returns the event that `line` holds, borrowed from the line.
pub fn borrowed_event(line: &[u8]) -> Result<BorrowedEvent<'_>, DecodeError> {
    if line.len() <= LINE_BYTES_MAX {
        return event_of_prefix(line, false);
    }
    borrowed_event_of_long_line(&line[..LINE_BYTES_MAX], &line[line.len() - TAIL_BYTES..])
}

/// Returns the event of a line longer than [`LINE_BYTES_MAX`]: `prefix` is its first part, and `tail` its last
/// [`TAIL_BYTES`]. The timestamps follow the bodies, so they are taken from `tail`.
pub fn borrowed_event_of_long_line<'a>(prefix: &'a [u8], tail: &[u8]) -> Result<BorrowedEvent<'a>, DecodeError> {
    let mut event = event_of_prefix(prefix, true)?;
    if event.stage_timestamp.is_none() {
        let last = |key| last_text_of(tail, key).map(Cow::Owned);
        event.stage_timestamp = last("stageTimestamp");
        let received = &mut event.request_received_timestamp;
        *received = received.take().or_else(|| last("requestReceivedTimestamp"));
    }
    Ok(event)
}

fn event_of_prefix(line: &[u8], is_prefix: bool) -> Result<BorrowedEvent<'_>, DecodeError> {
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line).trim_ascii();
    if line.first() != Some(&b'{') {
        let shown = bounded(&String::from_utf8_lossy(&line[..line.len().min(64)]), 16);
        return Err(DecodeError::NotJson(format!("it begins with {shown:?}")));
    }
    let mut event = BorrowedEvent::default();
    let read = members::read(line, &mut event);
    event.is_truncated = is_prefix || read.is_err();
    match (&event.kind, read) {
        (Some(kind), _) if kind != "Event" => Err(DecodeError::NotAnEvent(bounded(kind, 64))),
        _ if openshift::is_login(&event) => Err(DecodeError::OtherService(openshift::OAUTH_SERVER.to_owned())),
        _ if identifies_request(&event) => Ok(event),
        (_, Ok(())) => Err(DecodeError::NotJson("no auditID, stage or verb in it".to_owned())),
        (_, Err(error)) => Err(DecodeError::NotJson(error.to_string())),
    }
}

/// Returns whether the event holds enough to be the record of a request. Little is enough: a URI of hundreds of kilobytes
/// may precede the verb and the addresses.
fn identifies_request(event: &BorrowedEvent<'_>) -> bool {
    event.audit_id.is_some() || event.stage.is_some() || event.verb.is_some()
}

/// Returns the last text after `"key":` in `bytes`. Inside a JSON text the quotes would be escaped, so the match is a real
/// key. Keys of the bodies come before the event's own.
fn last_text_of(bytes: &[u8], key: &str) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let (_, after) = text.rsplit_once(&format!("\"{key}\":\""))?;
    let (value, _) = after.split_once('"')?;
    Some(bounded(value, 64))
}

#[cfg(test)]
mod tests;
