//! The time at which a line was written, by its own `stageTimestamp`, also if the line is damaged or was not read.

use std::sync::LazyLock;

use memchr::memmem::FinderRev;
use serde::de::IgnoredAny;

use super::{BorrowedEvent, DecodeError, TAIL_BYTES, borrowed_event};
use crate::event::millis;

const KEY: &[u8] = b"\"stageTimestamp\":\"";
const ANNOTATIONS: &[u8] = b",\"annotations\":";

/// Returns the `stageTimestamp` of `line` in milliseconds since 1970; `event` is the result of reading the line. For a
/// damaged line, the timestamp at its end counts.
#[must_use]
pub fn stage_time_ms(line: &[u8], event: &Result<BorrowedEvent<'_>, DecodeError>) -> Option<i64> {
    let read = event.as_ref().ok();
    let is_whole = read.is_some_and(|event| !event.is_truncated());
    let at_end = if is_whole { None } else { at_end_of(line) };
    at_end.or_else(|| read?.stage_time_ms())
}

/// Returns the `stageTimestamp` of a line that was not read. In most cases the end of the line is enough.
#[must_use]
pub fn stage_time_unread_ms(line: &[u8]) -> Option<i64> {
    at_end_of(line).or_else(|| stage_time_ms(line, &borrowed_event(line)))
}

/// Returns the `stageTimestamp` at the end of a line in milliseconds since 1970, where the API server writes it: as the last
/// member, or before the annotations. It is the one that reading the line would give, and costs a tenth of that. `None` where
/// the line must be read.
#[must_use]
pub fn stage_time_at_end_ms(line: &[u8]) -> Option<i64> {
    at_end_of(line)
}

/// Returns the `stageTimestamp` at the end of a line.
///
/// The text after the key is read to the last byte of the line, which closes one object. In a complete line that object is
/// the event, so the key is the event's own and the last of its name. Inside a text its quotes would be escaped.
fn at_end_of(line: &[u8]) -> Option<i64> {
    static FINDER: LazyLock<FinderRev<'static>> = LazyLock::new(|| FinderRev::new(KEY));
    let line = line.trim_ascii_end();
    let tail = &line[line.len().saturating_sub(TAIL_BYTES)..];
    let at = FINDER.rfind(tail)?;
    if !tail[..at].ends_with(b",") {
        return None;
    }
    let value = &tail[at + KEY.len()..];
    let end = value.iter().position(|byte| *byte == b'"')?;
    let at = millis(std::str::from_utf8(&value[..end]).ok()?)?;
    is_end_of_event(&value[end + 1..]).then_some(at)
}

fn is_end_of_event(rest: &[u8]) -> bool {
    let Some(annotations) = rest.strip_prefix(ANNOTATIONS) else {
        return rest == b"}";
    };
    let mut values = serde_json::Deserializer::from_slice(annotations).into_iter::<IgnoredAny>();
    let is_read = annotations.starts_with(b"{") && matches!(values.next(), Some(Ok(_)));
    is_read && &annotations[values.byte_offset()..] == b"}"
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: i64 = 1_795_255_200_001;

    fn line(rest: &str) -> String {
        format!(r#"{{"auditID":"a","verb":"get","stageTimestamp":"2026-11-21T10:00:00.001Z"{rest}"#)
    }

    #[test]
    fn the_end_of_a_line_holds_its_time() {
        for rest in ["}", "}\r\n", r#","annotations":{"a":"b"}}"#, r#","annotations":{}}  "#] {
            assert_eq!(at_end_of(line(rest).as_bytes()), Some(AT), "{rest}");
        }
    }

    #[test]
    fn a_time_that_may_belong_to_another_object_is_ignored() {
        for rest in ["}}", "", ",", r#","annotations":{"a":"b"}}}"#, r#","annotations":1}"#, r#","verb":"x"}"#, "}x"] {
            assert_eq!(at_end_of(line(rest).as_bytes()), None, "{rest}");
        }
        assert_eq!(at_end_of(br#"{"verb":"get","requestObject":{"stageTimestamp":"2026-11-21T10:00:00.001Z"}}"#), None);
        assert_eq!(
            at_end_of(br#"{"verb":"get","userAgent":"x,\"stageTimestamp\":\"2026-11-21T10:00:00.001Z\"}"#),
            None
        );
    }

    #[test]
    fn a_read_and_an_unread_line_have_the_same_time() {
        let decoy = r#"{"stageTimestamp":"2001-01-01T00:00:00Z"}"#;
        for (text, expected) in [
            (line("}"), Some(AT)),
            (line(&format!(r#","requestObject":{decoy}}}"#)), Some(AT)),
            (line(r#","stageTimest\u0061mp":"2001-01-01T00:00:00Z"}"#), Some(978_307_200_000)),
            (format!(r#"{{"verb":"get","requestObject":{decoy}}}"#), None),
            (r#"{"verb":"get",x,"stageTimestamp":"2001-01-01T00:00:00Z"}"#.to_owned(), Some(978_307_200_000)),
            (r#"{"kind":"Status","stageTimestamp":"2001-01-01T00:00:00Z"}"#.to_owned(), Some(978_307_200_000)),
            (r#"{"verb":"get","stageTimestamp":"yesterday"}"#.to_owned(), None),
            ("no JSON".to_owned(), None),
        ] {
            assert_eq!(stage_time_unread_ms(text.as_bytes()), expected, "{text}");
            assert_eq!(stage_time_ms(text.as_bytes(), &borrowed_event(text.as_bytes())), expected, "{text}");
        }
    }
}
