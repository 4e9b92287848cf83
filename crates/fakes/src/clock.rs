//! The clock of a fake: the wall clock until a test sets or advances it.

use std::time::Duration;

use jiff::Timestamp;

use crate::guarded::Guarded;

/// The clock of a fake.
#[derive(Debug, Default)]
pub struct Clock(Guarded<ClockState>);

#[derive(Debug, Default)]
struct ClockState {
    stopped_at: Option<Timestamp>,
    ahead: Duration,
}

impl Clock {
    /// Returns the time.
    #[expect(clippy::disallowed_methods, reason = "a fake starts with the wall clock")]
    pub fn now(&self) -> Timestamp {
        let state = self.0.lock();
        let base = state.stopped_at.unwrap_or_else(Timestamp::now);
        base.checked_add(state.ahead).unwrap_or(Timestamp::MAX)
    }

    /// Stops the clock at a time; only [`Clock::advance`] moves it from there.
    pub fn set(&self, now: Timestamp) {
        *self.0.lock() = ClockState { stopped_at: Some(now), ahead: Duration::ZERO };
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        let mut state = self.0.lock();
        state.ahead = state.ahead.saturating_add(by);
    }
}
