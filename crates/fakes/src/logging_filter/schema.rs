//! What `LogEntry` defines: which fields there are, and of what kind.
//! <https://cloud.google.com/logging/docs/reference/v2/rest/v2/LogEntry>

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    /// A whole number; proto JSON writes those of 64 bits as text.
    Number,
    Flag,
    Time,
    /// Seconds as text, such as `3.5s`.
    Span,
    Severity,
    /// A map from text to text.
    Labels,
    /// One of the labels.
    Label,
    /// Whatever the writer put there: `jsonPayload`, `protoPayload`, and all that is in them.
    Payload,
    /// A message with these fields.
    Message(Fields),
}

/// The fields of a message.
pub(crate) type Fields = &'static [(&'static str, Kind)];

/// The fields of `LogEntry`.
pub(crate) const LOG_ENTRY: Fields = &[
    ("logName", Kind::Text),
    ("resource", Kind::Message(RESOURCE)),
    ("timestamp", Kind::Time),
    ("receiveTimestamp", Kind::Time),
    ("severity", Kind::Severity),
    ("insertId", Kind::Text),
    ("httpRequest", Kind::Message(HTTP_REQUEST)),
    ("labels", Kind::Labels),
    ("operation", Kind::Message(OPERATION)),
    ("trace", Kind::Text),
    ("spanId", Kind::Text),
    ("traceSampled", Kind::Flag),
    ("sourceLocation", Kind::Message(SOURCE_LOCATION)),
    ("split", Kind::Message(SPLIT)),
    ("textPayload", Kind::Text),
    ("jsonPayload", Kind::Payload),
    ("protoPayload", Kind::Payload),
];
const RESOURCE: Fields = &[("type", Kind::Text), ("labels", Kind::Labels)];
const OPERATION: Fields = &[("id", Kind::Text), ("producer", Kind::Text), ("first", Kind::Flag), ("last", Kind::Flag)];
const SOURCE_LOCATION: Fields = &[("file", Kind::Text), ("line", Kind::Number), ("function", Kind::Text)];
const SPLIT: Fields = &[("uid", Kind::Text), ("index", Kind::Number), ("totalSplits", Kind::Number)];
const HTTP_REQUEST: Fields = &[
    ("requestMethod", Kind::Text),
    ("requestUrl", Kind::Text),
    ("requestSize", Kind::Number),
    ("status", Kind::Number),
    ("responseSize", Kind::Number),
    ("userAgent", Kind::Text),
    ("remoteIp", Kind::Text),
    ("serverIp", Kind::Text),
    ("referer", Kind::Text),
    ("latency", Kind::Span),
    ("cacheLookup", Kind::Flag),
    ("cacheHit", Kind::Flag),
    ("cacheValidatedWithOriginServer", Kind::Flag),
    ("cacheFillBytes", Kind::Number),
    ("protocol", Kind::Text),
];

/// <https://cloud.google.com/logging/docs/reference/v2/rest/v2/LogEntry#LogSeverity>
const SEVERITIES: [(&str, i64); 9] = [
    ("DEFAULT", 0),
    ("DEBUG", 100),
    ("INFO", 200),
    ("NOTICE", 300),
    ("WARNING", 400),
    ("ERROR", 500),
    ("CRITICAL", 600),
    ("ALERT", 700),
    ("EMERGENCY", 800),
];

impl Kind {
    /// The kind of a path below `LogEntry`, if that is defined.
    pub(super) fn of(path: &[String]) -> Option<Self> {
        path.iter().try_fold(Self::Message(LOG_ENTRY), |kind, name| kind.member(name))
    }

    pub(crate) fn member(self, name: &str) -> Option<Self> {
        match self {
            Self::Message(fields) => fields.iter().find(|(field, _)| *field == name).map(|(_, kind)| *kind),
            Self::Labels => Some(Self::Label),
            Self::Payload => Some(Self::Payload),
            _ => None,
        }
    }

    /// What a field compares as when it is not there; payloads, labels and times are then missing.
    pub(super) fn default_value(self) -> Option<Value> {
        match self {
            Self::Text => Some(json!("")),
            Self::Number => Some(json!(0)),
            Self::Flag => Some(json!(false)),
            Self::Severity => Some(json!("DEFAULT")),
            Self::Time | Self::Span | Self::Labels | Self::Label | Self::Payload | Self::Message(_) => None,
        }
    }
}

/// The rank of a severity, given by name in any case or by number.
pub(crate) fn severity(text: &str) -> Option<i64> {
    let named = SEVERITIES.iter().find(|(name, rank)| name.eq_ignore_ascii_case(text) || rank.to_string() == text);
    named.map(|(_, rank)| *rank)
}

/// Reads a timestamp of RFC 3339, or of ISO 8601 in that its offset may lack the colon (as the official Python client
/// writes it) and that the time may be left out; that is midnight in UTC.
pub(crate) fn timestamp(text: &str) -> Option<Timestamp> {
    let is_plain =
        text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b':' | b'+' | b'.' | b'T' | b'Z'));
    match text.len() {
        _ if !is_plain => None,
        10 => text.parse::<Date>().ok()?.to_zoned(TimeZone::UTC).ok().map(|midnight| midnight.timestamp()),
        _ => text.parse().ok(),
    }
}
