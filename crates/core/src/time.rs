//! Seconds, minutes and windows: the only times that decisions use.
//!
//! Everything is UTC and counted from 1970. Sub-second precision ends where a record becomes an
//! observation, because timespans slide to the second.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A second since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Second(pub i64);

impl Second {
    /// Returns the second that holds a moment given in milliseconds since 1970.
    #[must_use]
    pub fn of_millis(millis: i64) -> Second {
        Second(millis.div_euclid(1000))
    }

    /// Returns the minute of this second.
    #[must_use]
    pub fn minute(self) -> Minute {
        Minute(self.0.div_euclid(60))
    }

    /// Returns the moment `seconds` later (earlier where negative); it stays within the range of `i64`.
    #[must_use]
    pub fn plus(self, seconds: i64) -> Second {
        Second(self.0.saturating_add(seconds))
    }

    /// Returns the milliseconds since 1970 at the start of this second.
    #[must_use]
    pub fn millis(self) -> i64 {
        self.0.saturating_mul(1000)
    }
}

impl From<Timestamp> for Second {
    fn from(at: Timestamp) -> Second {
        Second::of_millis(at.as_millisecond())
    }
}

/// Writes RFC 3339 in UTC, such as `2026-11-22T01:00:52Z`; a second outside the years that a calendar holds is a number.
impl fmt::Display for Second {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Timestamp::from_second(self.0) {
            Ok(at) => write!(f, "{at}"),
            Err(_) => write!(f, "{}", self.0),
        }
    }
}

/// A minute since 1970-01-01T00:00Z: the unit in which counts are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Minute(pub i64);

impl Minute {
    /// Returns the first second of this minute.
    #[must_use]
    pub fn start(self) -> Second {
        Second(self.0.saturating_mul(60))
    }
}

/// A half-open span of time that is searched: `earliest` is in it, `latest` is not (Splunk's words).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Window {
    earliest: Second,
    latest: Second,
}

impl Window {
    /// All of time: the window of a replay, which has no schedule.
    pub const ALL: Window = Window { earliest: Second(i64::MIN), latest: Second(i64::MAX) };

    /// Returns the window `[earliest, latest)`, or `None` where it would hold nothing.
    #[must_use]
    pub fn new(earliest: Second, latest: Second) -> Option<Window> {
        (earliest < latest).then_some(Window { earliest, latest })
    }

    /// Returns the first second of the window.
    #[must_use]
    pub fn earliest(&self) -> Second {
        self.earliest
    }

    /// Returns the first second after the window.
    #[must_use]
    pub fn latest(&self) -> Second {
        self.latest
    }

    /// Returns the shortest window that holds both.
    #[must_use]
    pub fn and(self, other: Window) -> Window {
        Window { earliest: self.earliest.min(other.earliest), latest: self.latest.max(other.latest) }
    }

    /// Returns whether the window holds `at`.
    #[must_use]
    pub fn contains(&self, at: Second) -> bool {
        self.earliest <= at && at < self.latest
    }

    /// Returns the window's early and late half, or `None` where it is one second and cannot be halved.
    #[must_use]
    pub fn halves(&self) -> Option<(Window, Window)> {
        let middle = Second(self.earliest.0 + self.latest.0.checked_sub(self.earliest.0)? / 2);
        Some((Window::new(self.earliest, middle)?, Window::new(middle, self.latest)?))
    }

    /// Returns whether the window holds any second of `minute`.
    #[must_use]
    pub fn touches(&self, minute: Minute) -> bool {
        self.earliest < minute.start().plus(60) && minute.start() < self.latest
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {})", self.earliest, self.latest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_half_open_and_never_empty() {
        let window = Window::new(Second(60), Second(120)).expect("not empty");
        assert!(window.contains(Second(60)) && window.contains(Second(119)));
        assert!(!window.contains(Second(59)) && !window.contains(Second(120)));
        assert_eq!(Window::new(Second(60), Second(60)), None);
    }

    #[test]
    fn halves_are_the_whole_and_a_second_has_none() {
        let window = |earliest, latest| Window::new(Second(earliest), Second(latest)).expect("not empty");
        assert_eq!(window(60, 63).halves(), Some((window(60, 61), window(61, 63))));
        assert_eq!(window(-1, 1).halves(), Some((window(-1, 0), window(0, 1))));
        assert_eq!(window(60, 61).halves(), None);
        assert_eq!(Window::ALL.halves(), None);
    }

    #[test]
    fn times_before_1970_belong_to_the_minute_that_holds_them() {
        assert_eq!(Second::of_millis(-1), Second(-1));
        assert_eq!(Second(-1).minute(), Minute(-1));
        assert_eq!(Second(i64::MAX).to_string(), i64::MAX.to_string());
    }
}
