//! What a log keeps of its past windows for people: since when it is read, and which windows were read late or were empty.
//! Nothing is decided by it.

use serde::{Deserialize, Serialize};

use crate::time::{Second, Window};

/// How long they are kept, in seconds.
const KEPT_SECONDS: i64 = 8 * 24 * 3_600;
/// Most spans that are kept, the latest ones: each commit of a log writes them.
const SPANS_MAX: usize = 64;

/// What was special about a window that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WindowMark {
    /// A later tick than its own read it.
    Late,
    /// The log held no record of it.
    Silent,
}

/// The past windows of a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastWindows {
    /// Where its first window began.
    pub since: Second,
    /// Windows with a mark, adjacent ones with the same mark as one span, in the order in which they were read.
    pub marked: Vec<(Window, WindowMark)>,
}

impl PastWindows {
    /// Returns those of a log whose first window begins at `since`.
    #[must_use]
    pub fn new(since: Second) -> PastWindows {
        PastWindows { since, marked: Vec::new() }
    }

    /// Marks a window that was read. A silent window stays silent.
    pub fn mark(&mut self, window: Window, mark: WindowMark) {
        match self.marked.last_mut() {
            Some((last, _)) if last.latest() >= window.latest() => return,
            Some((last, same)) if *same == mark && last.latest() == window.earliest() => *last = last.and(window),
            _ => self.marked.push((window, mark)),
        }
        let surplus = self.marked.len().saturating_sub(SPANS_MAX);
        self.marked.drain(..surplus);
        self.marked.retain(|(span, _)| span.latest().plus(KEPT_SECONDS) > window.latest());
    }

    /// Forgets what comes after `until`, because it will be read again.
    pub fn go_back(&mut self, until: Second) {
        self.since = self.since.min(until);
        self.marked.retain_mut(|(span, _)| match Window::new(span.earliest(), span.latest().min(until)) {
            Some(before) => {
                *span = before;
                true
            }
            None => false,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600;

    fn window(first: i64, hours: i64) -> Window {
        Window::new(Second(first * HOUR), Second((first + hours) * HOUR)).expect("not empty")
    }

    #[test]
    fn adjacent_windows_with_one_mark_are_one_span() {
        let mut past = PastWindows::new(Second(0));
        for (hour, mark) in [(1, WindowMark::Late), (2, WindowMark::Late), (3, WindowMark::Silent)] {
            past.mark(window(hour, 1), mark);
        }
        past.mark(window(3, 1), WindowMark::Late);
        past.mark(window(5, 1), WindowMark::Silent);
        let expected =
            [(window(1, 2), WindowMark::Late), (window(3, 1), WindowMark::Silent), (window(5, 1), WindowMark::Silent)];
        assert_eq!(past.marked, expected);
        past.go_back(Second(2 * HOUR));
        assert_eq!(past.marked, [(window(1, 1), WindowMark::Late)]);
        past.go_back(Second(-HOUR));
        assert_eq!(past, PastWindows::new(Second(-HOUR)));
    }

    #[test]
    fn they_are_kept_for_eight_days_and_are_never_many() {
        let mut past = PastWindows::new(Second(0));
        for hour in 0..1_000 {
            past.mark(window(2 * hour, 1), WindowMark::Silent);
        }
        assert_eq!((past.marked.len(), past.marked[63].0), (SPANS_MAX, window(1_998, 1)));
        past.mark(window(1_998 + 8 * 24 - 9, 1), WindowMark::Late);
        assert_eq!(past.marked.len(), 6);
    }
}
