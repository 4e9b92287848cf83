//! The one place that looks at the clock and that waits. Everything below is told the time.

use std::time::Duration;

use jiff::Timestamp;

/// Returns the time of the wall clock.
#[expect(clippy::disallowed_methods, reason = "this is where the time of everything else comes from")]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

/// Waits by the monotonic clock, so that a step of the wall clock makes no wait longer.
#[expect(clippy::disallowed_methods, reason = "this is where everything else waits")]
pub(crate) fn sleep(duration: Duration) -> tokio::time::Sleep {
    tokio::time::sleep(duration)
}
