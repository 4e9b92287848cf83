//! `Retry-After`: how long an answer asks to wait before the next request.

use std::time::Duration;

use jiff::fmt::rfc2822;

/// Returns the wait that the header `Retry-After` asks for, in seconds or until a date
/// (<https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3>). `header` looks a header up by its name in lower case.
///
/// A date counts from the answer's own `Date`, so that no clock is needed and neither clock has to be right. A date in
/// the past asks for no wait. The caller sets the upper limit.
pub fn retry_after<'a>(header: impl Fn(&str) -> Option<&'a str>) -> Option<Duration> {
    let asked = header("retry-after")?.trim();
    if !asked.is_empty() && asked.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(asked.parse().unwrap_or(u64::MAX)));
    }
    let second_of = |date: &str| rfc2822::parse(date.trim()).ok().map(|date| date.timestamp().as_second());
    let seconds = second_of(asked)?.saturating_sub(second_of(header("date")?)?);
    Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(asked: &str, date: Option<&'static str>) -> Option<u64> {
        let header = |name: &str| match name {
            "retry-after" => Some(asked),
            "date" => date,
            _ => None,
        };
        retry_after(header).map(|wait| wait.as_secs())
    }

    #[test]
    fn a_wait_is_given_in_seconds() {
        assert_eq!(["0", "7", " 120 "].map(|asked| wait(asked, None)), [0, 7, 120].map(Some));
        assert_eq!(wait(&"9".repeat(30), None), Some(u64::MAX));
        for odd in ["", "-1", "1.5", "soon", "7 s"] {
            assert_eq!(wait(odd, None), None, "{odd}");
        }
        assert_eq!(retry_after(|_| None), None);
    }

    #[test]
    fn a_date_counts_from_the_date_of_the_answer() {
        let date = Some("Sun, 22 Nov 2026 01:00:00 GMT");
        assert_eq!(wait("Sun, 22 Nov 2026 01:01:30 GMT", date), Some(90));
        assert_eq!(wait("Sun, 22 Nov 2026 00:59:00 GMT", date), Some(0));
        assert_eq!(wait("Sun, 22 Nov 2026 01:01:30 GMT", None), None);
        assert_eq!(wait("tomorrow", date), None);
        assert_eq!(wait("Sun, 22 Nov 2026 01:01:30 GMT", Some("today")), None);
    }
}
