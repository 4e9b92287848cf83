//! Times in ticks of 100 ns, as in Kusto.
//! <https://learn.microsoft.com/en-us/kusto/query/scalar-data-types/datetime>

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil;
use jiff::tz::TimeZone;

const TICKS_PER_S: i64 = 10_000_000;
const NANOS_PER_TICK: i128 = 100;

/// A time, in ticks of 100 ns since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DateTime(i64);

impl DateTime {
    /// The earliest time.
    pub const MIN: Self = Self(i64::MIN);
    /// The latest time.
    pub const MAX: Self = Self(i64::MAX);

    /// Reads a date, or a date and a time, with at most seven digits of a second; without a zone it is UTC.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let is_plain = |c: char| c.is_ascii_digit() || matches!(c, '-' | ':' | 'T' | ' ' | '.' | 'Z' | '+');
        if !text.chars().all(is_plain) || fraction_digits(text) > 7 {
            return None;
        }
        let zoned = || text.parse::<Timestamp>().ok();
        let civil = || text.parse::<civil::DateTime>().ok();
        let date = || Some(text.parse::<civil::Date>().ok()?.to_datetime(civil::Time::midnight()));
        let in_utc = |moment: civil::DateTime| Some(moment.to_zoned(TimeZone::UTC).ok()?.timestamp());
        zoned().or_else(|| civil().or_else(date).and_then(in_utc)).map(Self::from)
    }

    /// Returns the time this much earlier, or the earliest.
    pub fn before(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(ticks(span)))
    }

    /// Returns the time this much later, or the latest.
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(ticks(span)))
    }

    /// Returns the duration until a later time; zero if it is earlier.
    pub fn until(self, later: Self) -> Duration {
        let ticks = u64::try_from(i128::from(later.0) - i128::from(self.0)).unwrap_or_default();
        let per_s = TICKS_PER_S.unsigned_abs();
        Duration::from_secs(ticks / per_s) + Duration::from_nanos(ticks % per_s * 100)
    }

    /// Returns its text with all seven digits, like `tostring`.
    pub fn in_full(self) -> String {
        let (seconds, ticks) = (self.0.div_euclid(TICKS_PER_S), self.0.rem_euclid(TICKS_PER_S));
        let second = Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX);
        format!("{}.{ticks:07}Z", second.strftime("%Y-%m-%dT%H:%M:%S"))
    }
}

fn ticks(span: Duration) -> i64 {
    i64::try_from(span.as_nanos() / 100).unwrap_or(i64::MAX)
}

fn fraction_digits(text: &str) -> usize {
    let fraction = text.split_once('.').map_or("", |(_, fraction)| fraction);
    fraction.chars().take_while(char::is_ascii_digit).count()
}

impl From<Timestamp> for DateTime {
    fn from(moment: Timestamp) -> Self {
        let ticks = moment.as_nanosecond().div_euclid(NANOS_PER_TICK);
        Self(i64::try_from(ticks).unwrap_or(i64::MAX))
    }
}

/// Omits trailing zeros, like the query API.
impl fmt::Display for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.in_full();
        let text = text.trim_end_matches('Z').trim_end_matches('0').trim_end_matches('.');
        write!(f, "{text}Z")
    }
}
