//! What is known of the last days of a log: which spans were read, late, empty or not at all, as a strip and in words.

use maud::{Markup, html};
use stakeout_core::past_windows::WindowMark;
use stakeout_core::progress::Progress;
use stakeout_core::time::{Second, Window};
use stakeout_notify::text::{period, span};

use crate::config::Schedule;

/// How many days a strip has.
pub(super) const DAYS: i64 = 7;
/// Seconds of a unit of the picture.
const UNIT_SECONDS: i64 = 15 * 60;
const WIDTH: i64 = DAYS * 24 * 3_600 / UNIT_SECONDS;
/// Narrower spans are drawn as wide as this, so that a gap of a second is seen.
const WIDTH_MIN: i64 = 3;

/// What is known of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SpanState {
    Read,
    Late,
    Silent,
    PartialGap,
    Gap,
    Due,
    NotYet,
}

impl SpanState {
    pub(super) const ALL: [SpanState; 7] = [
        SpanState::Read,
        SpanState::Late,
        SpanState::Silent,
        SpanState::PartialGap,
        SpanState::Gap,
        SpanState::Due,
        SpanState::NotYet,
    ];

    /// Returns its name in the legend.
    pub(super) fn words(self) -> &'static str {
        match self {
            SpanState::Read => "read",
            SpanState::Late => "late",
            SpanState::Silent => "silent",
            SpanState::PartialGap => "partial gap",
            SpanState::Gap => "gap",
            SpanState::Due => "due",
            SpanState::NotYet => "not due yet",
        }
    }

    fn class(self) -> &'static str {
        match self {
            SpanState::Read => "read",
            SpanState::Late => "late",
            SpanState::Silent => "silent",
            SpanState::PartialGap => "partial",
            SpanState::Gap => "gap",
            SpanState::Due => "due",
            SpanState::NotYet => "not-yet",
        }
    }

    /// Returns its upper edge and its height of 24: shapes differ where colours look alike.
    fn shape(self) -> (i64, i64) {
        match self {
            SpanState::Read => (8, 8),
            SpanState::Late => (4, 16),
            SpanState::Silent => (11, 2),
            SpanState::PartialGap => (0, 12),
            SpanState::Gap => (0, 24),
            SpanState::Due => (12, 12),
            SpanState::NotYet => (22, 2),
        }
    }
}

/// The last days of a log.
pub(super) struct Strip {
    span: Window,
    /// In their order, without overlaps. What is in none of them was before the log's first window.
    parts: Vec<(Window, SpanState)>,
}

impl Strip {
    /// Returns the strip of the days until `now` of a log with this progress.
    pub(super) fn of(progress: &Progress, schedule: &Schedule, now: Second) -> Strip {
        let begin = now.plus(-DAYS * 24 * 3_600);
        let span = Window::new(begin, now.plus(1)).unwrap_or(Window::ALL);
        let mut strip = Strip { span, parts: Vec::new() };
        let due_until = schedule.tick_before(now).map_or(progress.cursor, |tick| tick.plus(schedule.latest_seconds));
        strip.paint(progress.past.since, progress.cursor, SpanState::Read);
        for (marked, mark) in &progress.past.marked {
            let state = match mark {
                WindowMark::Late => SpanState::Late,
                WindowMark::Silent => SpanState::Silent,
            };
            strip.paint(marked.earliest(), marked.latest(), state);
        }
        for gap in &progress.gaps {
            let state = if gap.is_partial() { SpanState::PartialGap } else { SpanState::Gap };
            strip.paint(gap.window.earliest(), gap.window.latest(), state);
        }
        strip.paint(progress.cursor, due_until, SpanState::Due);
        strip.paint(progress.cursor.max(due_until), now, SpanState::NotYet);
        strip
    }

    /// Gives `[from, until)` a state, whatever it had before.
    fn paint(&mut self, from: Second, until: Second, state: SpanState) {
        let (from, until) = (from.max(self.span.earliest()), until.min(self.span.latest()));
        let Some(painted) = Window::new(from, until) else { return };
        let around = self.parts.iter().flat_map(|(part, state)| {
            let before = Window::new(part.earliest(), part.latest().min(painted.earliest()));
            let after = Window::new(part.earliest().max(painted.latest()), part.latest());
            before.into_iter().chain(after).map(|part| (part, *state))
        });
        let mut parts: Vec<(Window, SpanState)> = around.chain([(painted, state)]).collect();
        parts.sort_unstable();
        self.parts = parts;
    }

    /// Returns how long each state lasted in sum, such as `read 6 d 23 h, gap 1 h 0 min`.
    pub(super) fn words(&self) -> String {
        let seconds_of = |wanted: SpanState| -> i64 {
            let parts = self.parts.iter().filter(|(_, state)| *state == wanted);
            parts.map(|(part, _)| part.latest().0 - part.earliest().0).sum()
        };
        let known = SpanState::ALL.iter().map(|state| (state.words(), seconds_of(*state)));
        let words: Vec<String> =
            known.filter(|(_, s)| *s > 0).map(|(words, s)| format!("{words} {}", span(s))).collect();
        if words.is_empty() { "not read yet".to_owned() } else { words.join(", ") }
    }

    /// Returns the picture.
    pub(super) fn picture(&self, log: &str) -> Markup {
        let x_of = |at: Second| (at.0 - self.span.earliest().0) * WIDTH / (DAYS * 24 * 3_600);
        let label = format!("The last {DAYS} days of {log}: {}", self.words());
        html! {
            svg.strip viewBox=(format!("0 0 {WIDTH} 24")) preserveAspectRatio="none" role="img" aria-label=(label) {
                @for (part, state) in &self.parts {
                    @let (x, (y, height)) = (x_of(part.earliest()), state.shape());
                    @let width = (x_of(part.latest()) - x).max(WIDTH_MIN);
                    rect class=(state.class()) x=(x.min(WIDTH - WIDTH_MIN)) y=(y) width=(width) height=(height) {
                        title { (state.words()) " " (period(part.earliest(), part.latest())) }
                    }
                }
            }
        }
    }
}

/// Returns what the shapes of the strips mean.
pub(super) fn legend() -> Markup {
    html! {
        ul.legend aria-hidden="true" {
            @for state in SpanState::ALL {
                @let (y, height) = state.shape();
                li {
                    svg.sample viewBox="0 0 16 24" {
                        rect class=(state.class()) x="0" y=(y) width="16" height=(height) {}
                    }
                    (state.words())
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use stakeout_core::source::LogId;

    use super::*;

    const HOUR: i64 = 3_600;
    const DAY: i64 = 24 * HOUR;

    fn window(from: i64, until: i64) -> Window {
        Window::new(Second(from), Second(until)).expect("not empty")
    }

    #[test]
    fn each_span_has_the_last_state_that_is_known_of_it() {
        let mut progress = Progress::new(LogId("file/x".to_owned()), Second(10 * DAY));
        let mut read = |from: i64, has_records| {
            progress.note_read(window(from, from + HOUR), Second(from + HOUR), &[], Some(has_records));
        };
        read(10 * DAY, true);
        read(10 * DAY + HOUR, false);
        read(10 * DAY + 2 * HOUR, true);
        progress.note_late(window(10 * DAY + 2 * HOUR, 10 * DAY + 3 * HOUR));
        progress.note_gap(window(10 * DAY + 3 * HOUR, 10 * DAY + 4 * HOUR), "down".to_owned());
        // The tick of eight o'clock made the hour until ten to eight due.
        let now = Second(10 * DAY + 8 * HOUR + 60);
        let strip = Strip::of(&progress, &Schedule::default(), now);
        let at = |hour: i64| 10 * DAY + hour * HOUR;
        let expected = [
            (window(at(0), at(1)), SpanState::Read),
            (window(at(1), at(2)), SpanState::Silent),
            (window(at(2), at(3)), SpanState::Late),
            (window(at(3), at(4)), SpanState::Gap),
            (window(at(4), at(8) - 600), SpanState::Due),
            (window(at(8) - 600, now.0), SpanState::NotYet),
        ];
        assert_eq!(strip.parts, expected);
        assert_eq!(
            strip.words(),
            "read 1 h 0 min, late 1 h 0 min, silent 1 h 0 min, gap 1 h 0 min, due 3 h 50 min, not due yet 11 min 0 s"
        );
    }

    #[test]
    fn a_strip_has_the_last_days_only() {
        let mut progress = Progress::new(LogId("file/x".to_owned()), Second(0));
        progress.note_read(window(0, 20 * DAY), Second(20 * DAY), &[], Some(true));
        let strip = Strip::of(&progress, &Schedule::default(), Second(20 * DAY + 60));
        assert_eq!(strip.parts[0], (window(13 * DAY + 60, 20 * DAY), SpanState::Read));
    }
}
