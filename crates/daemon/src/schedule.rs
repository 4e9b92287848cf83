//! Which windows are due at a tick. The time is an argument.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use stakeout_core::progress::Progress;
use stakeout_core::time::{Second, Window};

use crate::config::Schedule;

/// The time of a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TickTime {
    /// The tick.
    pub(crate) at: Second,
    /// Until when the system clock was right, if a log was read beyond the tick. `None` where the tick is not by the clock:
    /// then such a log is left as it is.
    pub(crate) clock_right_until: Option<Second>,
}

/// What is read again where the clock was wrong and nobody knows since when, in seconds.
const CLOCK_DOUBTED_SECONDS: i64 = 24 * 3600;

impl TickTime {
    /// Returns the time of a tick that somebody chose.
    pub(crate) fn chosen(at: Second) -> TickTime {
        TickTime { at, clock_right_until: None }
    }

    /// Returns the time of a tick by the clock, which was right until `right_until` if it was ever wrong.
    pub(crate) fn by_the_clock(at: Second, right_until: Option<Second>) -> TickTime {
        TickTime { at, clock_right_until: Some(right_until.unwrap_or(at.plus(-CLOCK_DOUBTED_SECONDS))) }
    }
}

/// The due windows of one log at a tick, in the order in which they are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DueWindows {
    /// Until when the log counts as read, where it was read beyond the present.
    pub(crate) go_back_to: Option<Second>,
    /// The span that is too old to be read.
    pub(crate) gap: Option<Window>,
    /// Windows that are read for the first time, oldest first.
    pub(crate) windows: Vec<Window>,
    /// Those of them that end at or before this were due at an earlier tick.
    pub(crate) late_until: Second,
    /// Windows that are read again, oldest first.
    pub(crate) rereads: Vec<Window>,
}

impl Schedule {
    /// Returns the windows of a log that are due at `at`; of one that nothing writes to any more, only what is read again. A log without progress begins at `start_seconds`, relative to the
    /// tick. A log that was read beyond the tick, by a clock that was ahead, goes back to the window of the time that the
    /// clock was right until.
    pub(crate) fn due(&self, progress: Option<&Progress>, start_seconds: i64, tick: TickTime) -> DueWindows {
        let at = tick.at;
        if let Some(retired) = progress.filter(|progress| progress.retired.is_some()) {
            let (windows, rereads) = (Vec::new(), retired.due_rereads(at));
            return DueWindows { go_back_to: None, gap: None, windows, late_until: Second(i64::MIN), rereads };
        }
        let latest = at.minute().start().plus(self.latest_seconds);
        let first = at.minute().start().plus(start_seconds);
        let floor = at.minute().start().plus(-self.max_backfill_seconds);
        let is_ahead = progress.is_some_and(|progress| progress.cursor > at);
        let go_back_to = tick.clock_right_until.filter(|_| is_ahead).map(|until| {
            let tick = self.tick_before(until.min(at)).unwrap_or(at);
            tick.minute().start().plus(self.earliest_seconds).max(floor)
        });
        let cursor = go_back_to.unwrap_or(progress.map_or(first, |progress| progress.cursor));
        let gap = Window::new(cursor, floor.min(latest)).filter(|_| progress.is_some());
        // What a log held before its first tick was due at no other.
        let late_until =
            progress.map_or(Second(i64::MIN), |_| latest.plus(self.earliest_seconds - self.latest_seconds));
        DueWindows {
            go_back_to,
            late_until,
            windows: self.tiles(cursor.max(floor), latest),
            rereads: progress.map(|progress| progress.due_rereads(at)).unwrap_or_default(),
            gap,
        }
    }

    /// Returns the last tick at or before `at`, or `None` if there is none.
    pub(crate) fn tick_before(&self, at: Second) -> Option<Second> {
        second(self.cron.find_previous_occurrence(&civil(at)?, true).ok()?)
    }

    /// Returns the first tick after `at`, or `None` if there is none.
    pub(crate) fn tick_after(&self, at: Second) -> Option<Second> {
        second(self.cron.find_next_occurrence(&civil(at)?, false).ok()?)
    }

    /// Returns where the ticks end their windows, after the begin of `span` and up to its end.
    pub(crate) fn window_ends(&self, span: Window) -> Vec<Second> {
        let mut tick = span.earliest().plus(-self.latest_seconds);
        let next = || {
            tick = self.tick_after(tick)?;
            Some(tick.plus(self.latest_seconds)).filter(|end| *end <= span.latest())
        };
        std::iter::from_fn(next).collect()
    }

    /// Returns `[earliest, latest)`, cut where ticks end their windows. So windows tile whenever they are read.
    fn tiles(&self, earliest: Second, latest: Second) -> Vec<Window> {
        let mut windows = Vec::new();
        let mut begin = earliest;
        let mut tick = begin.plus(-self.latest_seconds);
        while begin < latest {
            let end = loop {
                let Some(next) = self.tick_after(tick) else { break latest };
                tick = next;
                let end = tick.plus(self.latest_seconds);
                if end > begin {
                    break end.min(latest);
                }
            };
            windows.extend(Window::new(begin, end));
            begin = end;
        }
        windows
    }
}

fn civil(at: Second) -> Option<DateTime> {
    let at = Timestamp::from_second(at.0).ok()?;
    Some(at.to_zoned(TimeZone::UTC).datetime())
}

fn second(at: DateTime) -> Option<Second> {
    Some(Second::from(at.to_zoned(TimeZone::UTC).ok()?.timestamp()))
}

#[cfg(test)]
mod tests {
    use stakeout_core::source::LogId;

    use super::*;

    fn at(text: &str) -> Second {
        Second::from(format!("2026-11-22T{text}Z").parse::<Timestamp>().expect("a time"))
    }

    fn window(earliest: &str, latest: &str) -> Window {
        Window::new(at(earliest), at(latest)).expect("not empty")
    }

    fn read_until(cursor: &str) -> Progress {
        Progress::new(LogId("file/x".to_owned()), at(cursor))
    }

    #[test]
    fn a_first_start_reads_the_hour_that_ended_ten_minutes_before() {
        let schedule = Schedule::default();
        let due = schedule.due(None, -70 * 60, TickTime::chosen(at("12:00:00")));
        assert_eq!(
            due,
            DueWindows {
                go_back_to: None,
                gap: None,
                windows: vec![window("10:50:00", "11:50:00")],
                late_until: Second(i64::MIN),
                rereads: Vec::new()
            }
        );
        let between = schedule.due(None, -70 * 60, TickTime::chosen(at("12:34:56")));
        assert_eq!(between.windows, [window("11:24:00", "11:50:00"), window("11:50:00", "12:24:00")]);
    }

    #[test]
    fn a_window_belongs_to_the_day_in_which_it_ends() {
        let day = Window::new(at("00:00:00"), at("23:59:59").plus(1)).expect("not empty");
        let ends = Schedule::default().window_ends(day);
        assert_eq!((ends.len(), ends[0], ends[23]), (24, at("00:50:00"), at("23:50:00")));
        let to_the_hour = Schedule { latest_seconds: 0, ..Schedule::default() };
        let ends = to_the_hour.window_ends(day);
        assert_eq!((ends.len(), ends[0], ends[23]), (24, at("01:00:00"), day.latest()));
    }

    #[test]
    fn downtime_is_caught_up_in_the_windows_that_would_have_been_read() {
        let schedule = Schedule::default();
        let due = schedule.due(Some(&read_until("06:50:00")), -70 * 60, TickTime::chosen(at("12:00:00")));
        let expected = [
            window("06:50:00", "07:50:00"),
            window("07:50:00", "08:50:00"),
            window("08:50:00", "09:50:00"),
            window("09:50:00", "10:50:00"),
            window("10:50:00", "11:50:00"),
        ];
        assert_eq!((due.windows.as_slice(), due.late_until), (&expected[..], at("10:50:00")));
    }

    #[test]
    fn nothing_is_due_at_a_tick_before_the_cursor() {
        let schedule = Schedule::default();
        let due = schedule.due(Some(&read_until("11:50:00")), -70 * 60, TickTime::chosen(at("12:00:00")));
        assert_eq!((due.gap, due.windows), (None, Vec::new()));
        assert_eq!(schedule.due(Some(&read_until("11:50:00")), -70 * 60, TickTime::chosen(at("09:00:00"))).windows, []);
    }

    #[test]
    fn a_log_that_was_read_beyond_the_present_goes_back_to_when_the_clock_was_right() {
        let schedule = Schedule::default();
        let ahead = read_until("23:50:00");
        let of = |tick| schedule.due(Some(&ahead), -70 * 60, tick);
        assert_eq!(of(TickTime::chosen(at("12:00:00"))).go_back_to, None);
        let known = of(TickTime::by_the_clock(at("12:00:00"), Some(at("10:07:30"))));
        assert_eq!(known.go_back_to, Some(at("08:50:00")));
        assert_eq!(known.windows.first(), Some(&window("08:50:00", "09:50:00")));
        assert_eq!(known.windows.last(), Some(&window("10:50:00", "11:50:00")));
        let unknown = of(TickTime::by_the_clock(at("12:00:00"), None));
        assert_eq!((unknown.windows.len(), unknown.gap), (25, None));
        let in_time =
            schedule.due(Some(&read_until("11:50:00")), -70 * 60, TickTime::by_the_clock(at("12:00:00"), None));
        assert_eq!((in_time.go_back_to, in_time.windows), (None, Vec::new()));
    }

    #[test]
    fn a_span_older_than_the_backfill_is_a_gap() {
        let schedule = Schedule { max_backfill_seconds: 7200, ..Schedule::default() };
        let due = schedule.due(Some(&read_until("06:50:00")), -70 * 60, TickTime::chosen(at("12:00:00")));
        assert_eq!(due.gap, Some(window("06:50:00", "10:00:00")));
        assert_eq!(due.windows, [window("10:00:00", "10:50:00"), window("10:50:00", "11:50:00")]);
    }

    #[test]
    fn ten_thousand_windows_with_clock_steps_tile_without_a_hole() {
        let schedule = Schedule::default();
        let mut progress = read_until("00:50:00");
        let mut now = at("01:00:00");
        let mut read = 0;
        let mut step: u64 = 7;
        while read < 10_000 {
            for window in schedule.due(Some(&progress), -70 * 60, TickTime::chosen(now)).windows {
                assert_eq!(window.earliest(), progress.cursor);
                assert_eq!(window.latest().0.rem_euclid(3600), 3000);
                progress.cursor = window.latest();
                read += 1;
            }
            // Mostly an hour on, sometimes a day of downtime, sometimes a step back.
            step = step.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let hours = match (step >> 33) % 10 {
                0 => 24,
                1 => -3,
                _ => 1,
            };
            now = now.plus(hours * 3600);
        }
    }
}
