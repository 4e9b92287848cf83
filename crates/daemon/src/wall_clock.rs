//! The wall clock, as far as the daemon believes it. Steps are noticed by the monotonic clock. The times are arguments.

use std::time::Duration;

use stakeout_core::time::Second;

/// Smaller steps are corrections that change no window.
const STEP_SECONDS: i64 = 60;
/// How long a step forward must last before windows are read by the new time. A machine that was asleep waits as long.
const BELIEVED_AFTER: Duration = Duration::from_secs(5 * 60);

/// The wall clock of a running daemon.
#[derive(Debug, Default)]
pub(crate) struct WallClock {
    /// The last time that was believed, and what the monotonic clock showed then.
    last: Option<(Duration, Second)>,
    /// Since when the clock has been ahead.
    ahead_since: Option<Duration>,
    /// What the time was when a step forward was believed, and how far it went, in seconds.
    believed_step: Option<(Second, i64)>,
}

/// What the wall clock shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// The time.
    Time(Second),
    /// A time that is not believed yet: so many seconds ahead, and whether it is seen for the first time.
    Ahead { seconds: i64, is_new: bool },
    /// The time, which is believed again after a step: so many seconds forward, or back where they are negative.
    Stepped { at: Second, seconds: i64 },
}

impl WallClock {
    /// Returns what the clock shows, when the monotonic clock shows `monotonic`.
    pub(crate) fn look(&mut self, monotonic: Duration, wall: Second) -> Shown {
        let seconds = self.step(monotonic, wall);
        if seconds > STEP_SECONDS {
            let is_new = self.ahead_since.is_none();
            let since = *self.ahead_since.get_or_insert(monotonic);
            if monotonic.saturating_sub(since) < BELIEVED_AFTER {
                return Shown::Ahead { seconds, is_new };
            }
            self.believed_step = Some((wall.plus(-seconds), seconds));
        }
        self.ahead_since = None;
        self.last = Some((monotonic, wall));
        if seconds.abs() > STEP_SECONDS { Shown::Stepped { at: wall, seconds } } else { Shown::Time(wall) }
    }

    /// Returns whether the clock shows another time than it should.
    pub(crate) fn is_off(&self, monotonic: Duration, wall: Second) -> bool {
        self.step(monotonic, wall).abs() > STEP_SECONDS
    }

    /// Returns the time from which on it was wrong, where it went back after a step forward that was believed.
    pub(crate) fn wrong_since(&self) -> Option<Second> {
        self.believed_step.map(|(since, _)| since)
    }

    fn step(&self, monotonic: Duration, wall: Second) -> i64 {
        let Some((before, at)) = self.last else { return 0 };
        let passed = i64::try_from(monotonic.saturating_sub(before).as_secs()).unwrap_or(i64::MAX);
        wall.0.saturating_sub(at.0).saturating_sub(passed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAYS_3: i64 = 3 * 86_400;

    fn after(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_step_forward_is_believed_when_it_lasts() {
        let mut clock = WallClock::default();
        assert_eq!(clock.look(after(0), Second(1000)), Shown::Time(Second(1000)));
        assert_eq!(clock.look(after(3600), Second(4630)), Shown::Time(Second(4630)), "half a minute is a correction");
        assert!(clock.is_off(after(3620), Second(4650 + DAYS_3)));
        assert_eq!(clock.look(after(3620), Second(4650 + DAYS_3)), Shown::Ahead { seconds: DAYS_3, is_new: true });
        assert_eq!(clock.look(after(3640), Second(4670 + DAYS_3)), Shown::Ahead { seconds: DAYS_3, is_new: false });
        let back = Second(4705);
        assert_eq!(clock.look(after(3675), back), Shown::Time(back), "it went back before it was believed");
        assert_eq!(clock.wrong_since(), None);

        assert_eq!(clock.look(after(3700), Second(4730 + DAYS_3)), Shown::Ahead { seconds: DAYS_3, is_new: true });
        let believed = Second(5030 + DAYS_3);
        assert_eq!(clock.look(after(4000), believed), Shown::Stepped { at: believed, seconds: DAYS_3 });
        assert_eq!(clock.look(after(4010), Second(5040)), Shown::Stepped { at: Second(5040), seconds: -DAYS_3 });
        assert_eq!(clock.wrong_since(), Some(Second(5030)), "until then, what it showed was not believed");
    }

    #[test]
    fn a_step_back_is_believed_at_once() {
        let mut clock = WallClock::default();
        clock.look(after(0), Second(DAYS_3));
        assert_eq!(clock.look(after(10), Second(10)), Shown::Stepped { at: Second(10), seconds: -DAYS_3 });
        assert_eq!(clock.look(after(20), Second(20)), Shown::Time(Second(20)));
    }
}
