//! What the wrappers around a record say about it: when it came, its id, and who kept it.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::value::RawValue;

use super::object::Object;
use crate::decode::json_text;
use crate::source::Provider;

/// Names of members that hold the time of a record, the most specific first.
///
/// CloudWatch Logs, Logs Insights, Azure, Splunk, Fluent Bit, OpenTelemetry, Pub/Sub and Kinesis, in this order.
const TIMES: [&str; 13] = [
    "timestamp",
    "@timestamp",
    "time",
    "TimeGenerated",
    "TimeGenerated [UTC]",
    "_time",
    "date",
    "timeUnixNano",
    "Timestamp",
    "publishTime",
    "ts",
    "receiveTimestamp",
    "datetime",
];
/// Names of members that hold an id which no other record of the log has.
const IDS: [&str; 4] = ["eventId", "insertId", "@ptr", "_id"];
/// Names of the member that holds the stream of a record in CloudWatch Logs.
const STREAMS: [&str; 3] = ["logStreamName", "logStream", "@logStream"];
/// Longest text that is a time, in bytes.
const TIME_BYTES_MAX: usize = 40;
/// How many words of a prefix may be its time.
const PREFIX_WORDS_MAX: usize = 4;
/// Name of an audit stream of EKS, without its random end.
const AUDIT_STREAM: &str = "kube-apiserver-audit";

/// The nearest statements around a record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outer {
    /// The time, in milliseconds since 1970.
    pub time_ms: Option<i64>,
    /// The record's id.
    pub record_id: Option<String>,
    /// The service that kept the record.
    pub provider: Option<Provider>,
}

impl Outer {
    /// Returns the statements inside of the object `json`: its own, else the outer ones.
    #[must_use]
    pub fn within(&self, json: &str) -> Outer {
        Object::parse(json).map_or_else(|| self.clone(), |object| self.within_object(&object))
    }

    pub(super) fn within_object(&self, object: &Object<'_>) -> Outer {
        let time_ms = TIMES.iter().find_map(|name| time_of(object.raw(name)?));
        let stream = STREAMS.iter().find_map(|name| object.text(name));
        let is_event_of_stream = object.has("timestamp") && object.has("message");
        let id = IDS.iter().find_map(|name| object.text(name));
        let id = id.or_else(|| object.text("id").filter(|_| is_event_of_stream));
        let record_id = id.map(|id| format!("{}/{id}", stream.as_deref().unwrap_or_default()));
        let is_cloudwatch = is_event_of_stream || stream.is_some() || object.has("@message");
        Outer {
            time_ms: time_ms.or(self.time_ms),
            record_id: record_id.or_else(|| self.record_id.clone()),
            provider: is_cloudwatch.then_some(Provider::Cloudwatch).or(self.provider),
        }
    }

    /// Returns the statements behind the prefix of a line.
    pub(super) fn after_prefix(&self, prefix: &str) -> Outer {
        let mut words = prefix.split_ascii_whitespace();
        let time_ms = words.clone().take(PREFIX_WORDS_MAX).find_map(text_time);
        // An S3 export has only the time before the event, `aws logs tail` also the stream.
        // <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/S3Export.html>
        let is_timed = words.next().and_then(text_time).is_some();
        let is_cloudwatch = is_timed && words.next().is_none_or(|word| word.starts_with(AUDIT_STREAM));
        Outer {
            time_ms: time_ms.or(self.time_ms),
            record_id: self.record_id.clone(),
            provider: is_cloudwatch.then_some(Provider::Cloudwatch).or(self.provider),
        }
    }

    /// Returns the statements in a list: Loki writes a pair of a time and a line.
    /// <https://grafana.com/docs/loki/latest/reference/loki-http-api/#query-logs-within-a-range-of-time>
    pub(super) fn of_pair(&self, elements: &[&RawValue]) -> Outer {
        let time_ms = match elements {
            [time, line, ..] if line.get().starts_with('"') => time_of(time.get()),
            _ => None,
        };
        Outer { time_ms: time_ms.or(self.time_ms), ..self.clone() }
    }
}

/// Returns the time in a JSON value: a text, or a number since 1970 in any unit.
fn time_of(json: &str) -> Option<i64> {
    match json_text(json) {
        Some(text) => text_time(&text).or_else(|| number_time(&text)),
        None => number_time(json),
    }
}

fn text_time(text: &str) -> Option<i64> {
    if text.len() > TIME_BYTES_MAX || !text.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at.as_millisecond());
    }
    // No service that leaves the zone out knows another than UTC.
    let at: DateTime = text.parse().ok().filter(|_| text.contains(':'))?;
    Some(at.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond())
}

/// Returns the time of a number. A second of this century has ten digits, a millisecond thirteen, and so on.
fn number_time(text: &str) -> Option<i64> {
    if text.len() > TIME_BYTES_MAX {
        return None;
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let number: i64 = whole.parse().ok()?;
    match whole.len() {
        10 => {
            let millis: String = fraction.chars().chain("000".chars()).take(3).collect();
            Some(number * 1_000 + millis.parse::<i64>().ok()?)
        }
        13 => Some(number),
        16 => Some(number / 1_000),
        19 => Some(number / 1_000_000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_text_or_a_number_in_any_unit() {
        let at = Some(1_795_309_252_748);
        for json in [
            r#""2026-11-22T01:00:52.748Z""#,
            r#""2026-11-22T01:00:52.748919+00:00""#,
            r#""2026-11-22 01:00:52.748""#,
            r#""2026-11-22T01:00:52.748""#,
            "1795309252.748",
            "1795309252748",
            r#""1795309252748919123""#,
            "1795309252748919",
        ] {
            assert_eq!(time_of(json), at, "{json}");
        }
        for json in ["7", "-1795309252", "1e9", r#""now""#, r#""2026-11-22""#, "{}", "99999999999999999999"] {
            assert_eq!(time_of(json), None, "{json}");
        }
    }
}
