//! The numbers of one UTC day of the watch, for the line that a destination gets once a day.

use serde::{Deserialize, Serialize};

use crate::rule::Level;
use crate::time::{Second, Window};

/// The length of a day in seconds.
pub const DAY_SECONDS: i64 = 24 * 3_600;

/// A UTC day, counted from 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Day(pub i64);

impl Day {
    /// Returns the day that holds `at`.
    #[must_use]
    pub fn of(at: Second) -> Day {
        Day(at.0.div_euclid(DAY_SECONDS))
    }

    /// Returns the first second of the day; it stays within the range of `i64`.
    #[must_use]
    pub fn begin(self) -> Second {
        Second(self.0.saturating_mul(DAY_SECONDS))
    }

    /// Returns the first second after the day.
    #[must_use]
    pub fn end(self) -> Second {
        self.begin().plus(DAY_SECONDS)
    }

    /// Returns the span of the day.
    #[must_use]
    pub fn window(self) -> Window {
        Window::new(self.begin(), self.end()).unwrap_or(Window::ALL)
    }

    /// Returns the day that is so many days later, or earlier where negative.
    #[must_use]
    pub fn plus(self, days: i64) -> Day {
        Day(self.0.saturating_add(days))
    }
}

/// What was read and found on a day. A window belongs to the day in which it ends, an incident to that in which it began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DayReport {
    /// The clusters whose logs were watched on the day.
    pub clusters: usize,
    /// The logs themselves.
    pub logs: usize,
    /// Windows of the schedule on the day.
    pub windows_scheduled: usize,
    /// Windows of all logs: for each log those since it is watched.
    pub windows_due: usize,
    /// Those of them that were read, also if not in all parts.
    pub windows_read: usize,
    /// Those that a later tick than their own read. One that held no record counts as such only.
    pub windows_late: usize,
    /// Those that held no record.
    pub windows_silent: usize,
    /// The logs of these.
    pub logs_silent: usize,
    /// Gaps that no reread has filled yet.
    pub gaps: usize,
    /// Gaps of some files or seconds that no reread has filled yet.
    pub partial_gaps: usize,
    /// Incidents by level, the highest first, without levels that no incident has.
    pub incidents: Vec<(Level, usize)>,
    /// Incidents that are silenced now.
    pub incidents_silenced: usize,
    /// Notices about the watch since the line before.
    pub notices: u64,
    /// Some sources that are not read to the end of the day, by their names in the config.
    pub unread: Vec<String>,
    /// How many others are not.
    pub unread_more: usize,
}

impl DayReport {
    /// Returns whether each log was read in each window of the schedule.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.windows_read == self.windows_due && self.unread.is_empty()
    }

    /// Returns how many incidents began.
    #[must_use]
    pub fn incidents_begun(&self) -> usize {
        self.incidents.iter().map(|(_, incidents)| incidents).sum()
    }
}
