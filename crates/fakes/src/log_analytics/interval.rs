//! The `timespan` of a query: `FROM/TO`, `FROM/DURATION`, `DURATION/TO` or `DURATION`, in ISO 8601.
//! <https://learn.microsoft.com/en-us/azure/azure-monitor/logs/api/request-format>

use std::time::Duration;

use crate::kql::DateTime;

/// A span of time with both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Interval {
    pub(super) from: DateTime,
    pub(super) to: DateTime,
}

impl Interval {
    /// All of time.
    pub(super) const ALWAYS: Self = Self { from: DateTime::MIN, to: DateTime::MAX };

    /// Reads a `timespan`; a duration alone ends now.
    pub(super) fn parse(text: &str, now: DateTime) -> Option<Self> {
        let interval = match text.split_once('/') {
            None => Self { from: now.before(duration(text)?), to: now },
            Some((from, to)) if from.starts_with('P') => {
                let to = DateTime::parse(to)?;
                Self { from: to.before(duration(from)?), to }
            }
            Some((from, to)) => {
                let from = DateTime::parse(from)?;
                let to = if to.starts_with('P') { from.after(duration(to)?) } else { DateTime::parse(to)? };
                Self { from, to }
            }
        };
        (interval.from <= interval.to).then_some(interval)
    }

    /// Returns the part between two bounds, each of which may be open.
    pub(super) fn within(self, from: Option<DateTime>, to: Option<DateTime>) -> Self {
        Self { from: from.map_or(self.from, |from| from.max(self.from)), to: to.map_or(self.to, |to| to.min(self.to)) }
    }

    pub(super) fn length(self) -> Duration {
        self.from.until(self.to)
    }
}

/// Reads `PnDTnHnMnS`; accepts weeks and fractions of a second, but not months and years.
fn duration(text: &str) -> Option<Duration> {
    let (days, times) = text.strip_prefix('P')?.split_once('T').unwrap_or((text.strip_prefix('P')?, ""));
    let is_cut = text.ends_with('T') || text == "P";
    let total =
        parts(days, &[('W', 604_800.0), ('D', 86_400.0)])? + parts(times, &[('H', 3_600.0), ('M', 60.0), ('S', 1.0)])?;
    if is_cut { None } else { Duration::try_from_secs_f64(total).ok() }
}

/// Sums numbers with units, which must be in this order.
fn parts(mut text: &str, units: &[(char, f64)]) -> Option<f64> {
    let mut total = 0.0;
    for (unit, seconds) in units {
        if let Some((number, rest)) = text.split_once(*unit) {
            if !number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
                return None;
            }
            total += number.parse::<f64>().ok()? * seconds;
            text = rest;
        }
    }
    text.is_empty().then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime {
        DateTime::parse(text).expect("is a time")
    }

    #[test]
    fn all_forms_are_read_and_others_are_not() {
        let now = at("2026-11-22T03:00:00Z");
        let hour = Some(Interval { from: at("2026-11-22T01:00:00Z"), to: at("2026-11-22T02:00:00Z") });
        for text in [
            "2026-11-22T01:00:00Z/2026-11-22T02:00:00Z",
            "2026-11-22T01:00:00Z/PT1H",
            "PT1H/2026-11-22T02:00:00.000Z",
            "PT3600.0S/2026-11-22T02:00:00+00:00",
            "2026-11-22T01:00:00Z/P0DT0H60M0S",
        ] {
            assert_eq!(Interval::parse(text, now), hour, "{text}");
        }
        assert_eq!(Interval::parse("P1D", now), Some(Interval { from: at("2026-11-21T03:00:00Z"), to: now }));
        for text in ["", "P", "PT", "P1DT", "1H", "PT1", "PT1X", "P1M", "PT-1H", "PT1M1H", "/", "now/PT1H", "PT1H/"] {
            assert_eq!(Interval::parse(text, now), None, "{text}");
        }
        assert_eq!(Interval::parse("2026-11-22T02:00:00Z/2026-11-22T01:00:00Z", now), None);
    }
}
