//! The fields of `LogEntry`, and their kinds.
//! <https://cloud.google.com/logging/docs/reference/v2/rest/v2/LogEntry>

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// The type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FieldKind {
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
    /// Any JSON: `jsonPayload`, `protoPayload`, and everything in them.
    Payload,
    /// A message with these fields.
    Message(Fields),
}

/// The fields of a message.
pub(crate) type Fields = &'static [(&'static str, FieldKind)];

/// The fields of `LogEntry`.
pub(crate) const LOG_ENTRY: Fields = &[
    ("logName", FieldKind::Text),
    ("resource", FieldKind::Message(RESOURCE)),
    ("timestamp", FieldKind::Time),
    ("receiveTimestamp", FieldKind::Time),
    ("severity", FieldKind::Severity),
    ("insertId", FieldKind::Text),
    ("httpRequest", FieldKind::Message(HTTP_REQUEST)),
    ("labels", FieldKind::Labels),
    ("operation", FieldKind::Message(OPERATION)),
    ("trace", FieldKind::Text),
    ("spanId", FieldKind::Text),
    ("traceSampled", FieldKind::Flag),
    ("sourceLocation", FieldKind::Message(SOURCE_LOCATION)),
    ("split", FieldKind::Message(SPLIT)),
    ("textPayload", FieldKind::Text),
    ("jsonPayload", FieldKind::Payload),
    ("protoPayload", FieldKind::Payload),
];
const RESOURCE: Fields = &[("type", FieldKind::Text), ("labels", FieldKind::Labels)];
const OPERATION: Fields =
    &[("id", FieldKind::Text), ("producer", FieldKind::Text), ("first", FieldKind::Flag), ("last", FieldKind::Flag)];
const SOURCE_LOCATION: Fields =
    &[("file", FieldKind::Text), ("line", FieldKind::Number), ("function", FieldKind::Text)];
const SPLIT: Fields = &[("uid", FieldKind::Text), ("index", FieldKind::Number), ("totalSplits", FieldKind::Number)];
const HTTP_REQUEST: Fields = &[
    ("requestMethod", FieldKind::Text),
    ("requestUrl", FieldKind::Text),
    ("requestSize", FieldKind::Number),
    ("status", FieldKind::Number),
    ("responseSize", FieldKind::Number),
    ("userAgent", FieldKind::Text),
    ("remoteIp", FieldKind::Text),
    ("serverIp", FieldKind::Text),
    ("referer", FieldKind::Text),
    ("latency", FieldKind::Span),
    ("cacheLookup", FieldKind::Flag),
    ("cacheHit", FieldKind::Flag),
    ("cacheValidatedWithOriginServer", FieldKind::Flag),
    ("cacheFillBytes", FieldKind::Number),
    ("protocol", FieldKind::Text),
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

impl FieldKind {
    /// Returns the kind of a path below `LogEntry`, if it is defined.
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
}

/// Returns the rank of a severity, which is a name in any case or a number.
pub(crate) fn severity(text: &str) -> Option<i64> {
    let named = SEVERITIES.iter().find(|(name, rank)| name.eq_ignore_ascii_case(text) || rank.to_string() == text);
    named.map(|(_, rank)| *rank)
}

/// Reads a timestamp of RFC 3339. As in ISO 8601, the offset may lack the colon (the official Python client writes it
/// so), and the time may be missing, which means midnight in UTC.
pub(crate) fn timestamp(text: &str) -> Option<Timestamp> {
    let is_plain =
        text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b':' | b'+' | b'.' | b'T' | b'Z'));
    match text.len() {
        _ if !is_plain => None,
        10 => text.parse::<Date>().ok()?.to_zoned(TimeZone::UTC).ok().map(|midnight| midnight.timestamp()),
        _ => text.parse().ok(),
    }
}
