//! The only module that reads a clock or waits. All other code takes the time as an argument.
//!
//! Timeouts are not here: an operation has its own limit, wherever it runs.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::time::{Interval, Sleep};

/// Returns the time of the wall clock.
#[expect(clippy::disallowed_methods, reason = "all other code gets the time from here")]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

/// Parses a time of the command line.
pub(crate) fn parse_argument(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|_| "not a time in RFC 3339 (write a time such as 2026-11-22T02:00:00Z)".to_owned())
}

/// Returns the time of the monotonic clock, to measure how long something takes.
#[expect(clippy::disallowed_methods, reason = "all other code gets the time from here")]
pub(crate) fn monotonic() -> Instant {
    Instant::now()
}

/// Waits by the monotonic clock, so a step of the wall clock does not make the wait longer.
#[expect(clippy::disallowed_methods, reason = "all other code waits here")]
pub(crate) fn sleep(duration: Duration) -> Sleep {
    tokio::time::sleep(duration)
}

/// Blocks this thread for `duration`.
#[expect(clippy::disallowed_methods, reason = "all other code waits here")]
pub(crate) fn block_for(duration: Duration) {
    std::thread::sleep(duration);
}

/// Returns a timer that ticks at once and then every `period`, by the monotonic clock.
#[expect(clippy::disallowed_methods, reason = "all other code waits here")]
pub(crate) fn interval(period: Duration) -> Interval {
    tokio::time::interval(period)
}
