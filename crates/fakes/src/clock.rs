//! The time that a fake believes in: the wall clock until a test sets or advances it.

use std::time::Duration;

use jiff::Timestamp;

use crate::guarded::Guarded;

/// The time that a fake believes in.
#[derive(Debug, Default)]
pub struct Clock(Guarded<Hands>);

#[derive(Debug, Default)]
struct Hands {
    stopped_at: Option<Timestamp>,
    ahead: Duration,
}

impl Clock {
    /// Tells the time.
    #[expect(clippy::disallowed_methods, reason = "the wall clock is what a fake begins with")]
    pub fn now(&self) -> Timestamp {
        let hands = self.0.lock();
        let base = hands.stopped_at.unwrap_or_else(Timestamp::now);
        base.checked_add(hands.ahead).unwrap_or(Timestamp::MAX)
    }

    /// Stops the clock at a moment; only [`Clock::advance`] moves it from there.
    pub fn set(&self, now: Timestamp) {
        *self.0.lock() = Hands { stopped_at: Some(now), ahead: Duration::ZERO };
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        let mut hands = self.0.lock();
        hands.ahead = hands.ahead.saturating_add(by);
    }
}
