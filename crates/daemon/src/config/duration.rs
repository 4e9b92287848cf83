//! Durations as people write them: `-70m`, `24h`, `7d`. Windows are snapped to the minute, so each duration is a whole
//! number of minutes.

use jiff::SpanRelativeTo;
use jiff::fmt::friendly::SpanParser;
use stakeout_core::diagnostic::Diagnostic;
use stakeout_core::yaml::At;

const DAY_SECONDS: i64 = 86_400;
/// No duration in the config is longer than a year.
const YEAR_SECONDS: i64 = 365 * DAY_SECONDS;

/// Returns the duration at `at` in seconds. A minus sign means before the tick.
pub(super) fn seconds(at: &At<'_>) -> Result<i64, Diagnostic> {
    let text = at.text()?;
    let seconds = parse(text).ok_or_else(|| {
        at.error(
            format!("`{text}` is not a duration"),
            "write a whole number and one of m, h, d, such as -70m, 24h or 7d",
        )
    })?;
    if seconds % 60 != 0 {
        return Err(at.error(
            format!("`{text}` is not a whole number of minutes"),
            "round it to minutes, such as -2m: windows are snapped to the minute",
        ));
    }
    if seconds.abs() > YEAR_SECONDS {
        return Err(at.error(format!("`{text}` is longer than a year"), "write at most 365d"));
    }
    Ok(seconds)
}

/// Returns a duration in seconds, or `None` if the text is none. It is jiff's friendly format; a day has 24 hours, and months and years are no durations.
pub(crate) fn parse(text: &str) -> Option<i64> {
    if matches!(text, "0" | "-0") {
        return Some(0);
    }
    let span = SpanParser::new().parse_span(text).ok()?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
    (duration.subsec_nanos() == 0).then_some(duration.as_secs())
}

/// Formats `seconds` as people write it: in days from two days on, otherwise in hours or minutes.
pub(super) fn formatted(seconds: i64) -> String {
    let is_days = seconds.abs() >= 2 * DAY_SECONDS && seconds % DAY_SECONDS == 0;
    if is_days {
        format!("{}d", seconds / DAY_SECONDS)
    } else if seconds % 3_600 == 0 && seconds != 0 {
        format!("{}h", seconds / 3_600)
    } else {
        format!("{}m", seconds / 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_numbers_and_units() {
        for (text, seconds) in [
            ("-70m", -4_200),
            ("24h", 86_400),
            ("7d", 604_800),
            ("-90s", -90),
            ("1h30m", 5_400),
            ("0", 0),
            ("-0", 0),
            ("0m", 0),
        ] {
            assert_eq!(parse(text), Some(seconds), "{text}");
        }
        for text in [
            "",
            "-",
            "m",
            "-m",
            "7",
            "--1m",
            "1.5s",
            "1mo",
            "1y",
            "١m",
            "1µ",
            "99999999999999999999d",
            "9223372036854775807d",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_duration_is_formatted_as_people_write_it() {
        assert_eq!(
            [-4_200, 3_600, 86_400, 90_000, 604_800, 0].map(formatted),
            ["-70m", "1h", "24h", "25h", "7d", "0m"]
        );
    }
}
