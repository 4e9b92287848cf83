//! What discovery changes of progress: a log ends and begins again, and the list of logs itself can be read or cannot.
//!
//! The list of a place has a progress as a log has: its cursor is when it was last read, and it may be failing.

use crate::notice::NoticeKind;
use crate::progress::{Failing, Progress};
use crate::retirement::{Retirement, RetirementReason};
use crate::text;
use crate::time::Second;

impl Progress {
    /// Notes at `at` that nothing writes to the log. Its rereads stay due, because events may be delivered late.
    pub fn retire(&mut self, at: Second, reason: RetirementReason) {
        self.retired = Some(Retirement { since: at, reason });
        self.failing = None;
        self.silent_windows = 0;
        self.silence_reported = false;
        self.follow_ups.clear();
        self.context_queries.clear();
    }

    /// Notes at `at` that the log is written again. It is read from where it was left, but no further back than `from`: what is
    /// before it is no gap, because nothing was written.
    pub fn revive(&mut self, at: Second, from: Second) {
        self.retired = None;
        self.returned_at = Some(at);
        self.cursor = self.cursor.max(from);
    }

    /// Notes that the list of logs was read at `at`, and returns a notice if it could not be read before.
    pub fn note_listed(&mut self, at: Second) -> Option<NoticeKind> {
        self.cursor = self.cursor.max(at);
        self.failing.take().map(|_| NoticeKind::DiscoveryRecovered)
    }

    /// Notes that the list of logs could not be read at `at`, or not all of it, and returns a notice the first time.
    pub fn note_not_listed(&mut self, at: Second, reason: &str) -> Option<NoticeKind> {
        let reason = text::reason(reason);
        let since = self.failing.as_ref().map(|failing| failing.since);
        self.failing = Some(Failing { since: since.unwrap_or(at), reason: reason.clone() });
        since.is_none().then_some(NoticeKind::DiscoveryFailed { reason })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::LogId;
    use crate::time::Window;

    const HOUR: i64 = 3600;

    fn progress() -> Progress {
        Progress::new(LogId("cloudwatch/own/eu-west-1//aws/eks/x/cluster".to_owned()), Second(0))
    }

    #[test]
    fn a_log_that_ends_keeps_its_rereads_and_holds_up_nothing_else() {
        let mut read = progress();
        let window = Window::new(Second(0), Second(HOUR)).expect("an hour");
        read.note_read(window, Second(HOUR + 600), &[HOUR], Some(false));
        read.retire(Second(2 * HOUR), RetirementReason::Gone);
        assert_eq!((read.earliest_due(), read.silent_windows), (Second(0), 0));
        assert_eq!(read.due_rereads(Second(2 * HOUR)), [window]);
        read.note_reread(window, Second(2 * HOUR), &[]);
        assert_eq!(read.earliest_due(), Second(i64::MAX));
    }

    #[test]
    fn a_log_that_begins_again_is_read_from_where_it_was_left_within_reach() {
        for (from, cursor) in [(-HOUR, 0), (HOUR, HOUR)] {
            let mut read = progress();
            read.retire(Second(2 * HOUR), RetirementReason::AuditOff);
            read.revive(Second(4 * HOUR), Second(from));
            assert_eq!((read.retired, read.cursor, read.gaps.len()), (None, Second(cursor), 0));
        }
    }

    #[test]
    fn what_nothing_wrote_before_a_log_returned_is_no_silence() {
        let mut read = progress();
        let hour = |n: i64| Window::new(Second(n * HOUR), Second((n + 1) * HOUR)).expect("an hour");
        read.retire(Second(0), RetirementReason::Gone);
        read.revive(Second(5 * HOUR), Second(0));
        let noted: Vec<_> = (0..8).map(|n| read.note_read(hour(n), Second(9 * HOUR), &[], Some(false))).collect();
        assert_eq!((&noted[..7], read.silent_windows), (&[const { None }; 7][..], 3));
        assert_eq!(noted[7], Some(NoticeKind::Silent { windows: 3 }));
    }

    #[test]
    fn a_list_that_cannot_be_read_is_reported_once_and_so_is_its_end() {
        let mut list = progress();
        let failed = NoticeKind::DiscoveryFailed { reason: "denied".to_owned() };
        assert_eq!(list.note_listed(Second(HOUR)), None);
        assert_eq!(list.note_not_listed(Second(2 * HOUR), "denied"), Some(failed));
        assert_eq!(list.note_not_listed(Second(3 * HOUR), "still denied"), None);
        let failing = Failing { since: Second(2 * HOUR), reason: "still denied".to_owned() };
        assert_eq!((list.cursor, list.failing.as_ref()), (Second(HOUR), Some(&failing)));
        assert_eq!(list.note_listed(Second(4 * HOUR)), Some(NoticeKind::DiscoveryRecovered));
        assert_eq!(list.note_listed(Second(5 * HOUR)), None);
    }
}
