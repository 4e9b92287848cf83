//! How far a log has been read: its cursor, pending rereads, gaps, follow-ups and context queries.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::context_query::{CONTEXT_QUERIES_MAX, ContextQuery};
use crate::follow_up::FollowUp;
use crate::known_clusters::KnownClusters;
use crate::notice::NoticeKind;
use crate::past_windows::{PastWindows, WindowMark};
use crate::retirement::Retirement;
use crate::source::LogId;
use crate::text::bounded;
use crate::time::{Second, Window};

/// How long a window may fail before it becomes a gap, in seconds.
const GAP_AFTER_SECONDS: i64 = 6 * 3600;
/// How long after it was recorded a gap is read again where no reread is left, in seconds.
const RETRY_GAP_SECONDS: i64 = 3600;
/// Windows in a row without records after which a log counts as silent.
const SILENT_WINDOWS: u32 = 3;
/// Gaps that are kept, the latest ones.
const GAPS_MAX: usize = 100;
/// Most pending follow-ups: as many as four days have windows.
const FOLLOW_UPS_MAX: usize = 100;
/// Ticks in a row after which a failing follow-up is given up.
const FOLLOW_UP_FAILURES_MAX: u32 = 6;
/// Longest reason of a failure that is kept, in characters.
const REASON_CHARS_MAX: usize = 300;
/// Lost files or seconds that a gap names. The others are a number.
const LOST_NAMED_MAX: usize = 3;
/// How the reason of a partial gap begins.
const READ_WITHOUT: &str = "read without ";

/// All that the ledger stores of one log beside its minutes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The log.
    pub log: LogId,
    /// Everything before it has been read or is a recorded gap.
    pub cursor: Second,
    /// Pending rereads, oldest first.
    pub rereads: Vec<Reread>,
    /// Windows that could not be read, or not all of them, oldest first.
    pub gaps: Vec<Gap>,
    /// Pending follow-ups, oldest first.
    pub follow_ups: Vec<FollowUp>,
    /// Pending context queries, at most [`CONTEXT_QUERIES_MAX`].
    pub context_queries: Vec<ContextQuery>,
    /// The failure of the window at the cursor.
    pub failing: Option<Failing>,
    /// Windows in a row without records.
    pub silent_windows: u32,
    /// Whether the silence was reported; a record ends it.
    pub silence_reported: bool,
    /// The hidden proxies that were reported last.
    pub hidden_proxies: Vec<IpAddr>,
    /// What people are shown of the past windows.
    pub past: PastWindows,
    /// Why it is not read any more, if it is a log that discovery found and nothing writes to.
    #[serde(default)]
    pub retired: Option<Retirement>,
    /// The tick at which it was found to be written again, if it ever was.
    #[serde(default)]
    pub returned_at: Option<Second>,
    /// The clusters that were seen in it, if it holds events of several.
    #[serde(default, skip_serializing_if = "KnownClusters::is_empty")]
    pub clusters: KnownClusters,
}

impl Progress {
    /// Returns the progress of a log that has never been read and begins at `cursor`.
    #[must_use]
    pub fn new(log: LogId, cursor: Second) -> Progress {
        Progress {
            log,
            cursor,
            rereads: Vec::new(),
            gaps: Vec::new(),
            follow_ups: Vec::new(),
            context_queries: Vec::new(),
            failing: None,
            silent_windows: 0,
            silence_reported: false,
            hidden_proxies: Vec::new(),
            past: PastWindows::new(cursor),
            retired: None,
            returned_at: None,
            clusters: KnownClusters::default(),
        }
    }

    /// Notes that the window at the cursor was read at `at`, and returns a notice if the log became silent or spoke again.
    ///
    /// The window will be read again each of `reread_seconds` after its end, but for those that are over at `at`.
    /// `has_records` says whether the log held any record, where that is known.
    pub fn note_read(
        &mut self,
        window: Window,
        at: Second,
        reread_seconds: &[i64],
        has_records: Option<bool>,
    ) -> Option<NoticeKind> {
        self.cursor = window.latest();
        self.failing = None;
        self.plan_rereads(window, at, reread_seconds);
        // What nothing wrote before the log returned is no silence.
        let is_before_return = self.returned_at.is_some_and(|returned_at| window.latest() <= returned_at);
        if has_records.filter(|has_records| *has_records || !is_before_return)? {
            self.silent_windows = 0;
            return std::mem::take(&mut self.silence_reported).then_some(NoticeKind::SilenceOver);
        }
        self.past.mark(window, WindowMark::Silent);
        self.silent_windows = self.silent_windows.saturating_add(1);
        if self.silent_windows < SILENT_WINDOWS || std::mem::replace(&mut self.silence_reported, true) {
            return None;
        }
        Some(NoticeKind::Silent { windows: self.silent_windows })
    }

    /// Notes that a window was read at a later tick than its own.
    pub fn note_late(&mut self, window: Window) {
        self.past.mark(window, WindowMark::Late);
    }

    /// Returns whether so many windows in a row held no record that nobody knows whether the log is on.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.silent_windows >= SILENT_WINDOWS
    }

    /// Notes the hidden proxies of a window, and returns a notice if one of them was not reported before. Without any, a
    /// later window reports them again.
    pub fn note_hidden_proxies(&mut self, addresses: Vec<IpAddr>) -> Option<NoticeKind> {
        let is_new = addresses.iter().any(|address| !self.hidden_proxies.contains(address));
        if is_new || addresses.is_empty() {
            self.hidden_proxies.clone_from(&addresses);
        }
        is_new.then_some(NoticeKind::HiddenProxy { addresses })
    }

    /// Notes that the window that ends at the cursor was read at `at` without `lost`: files or seconds, each with the
    /// reason. It is a gap, with another try at each reread. A window whose rereads are over gets one of its own. Returns a
    /// notice unless gaps name all of them already.
    pub fn note_lost(
        &mut self,
        window: Window,
        at: Second,
        reread_seconds: &[i64],
        lost: &[String],
    ) -> Option<NoticeKind> {
        let reason = reason_of_lost(lost)?;
        let is_known = self.unreported(lost).is_none();
        self.rereads.retain(|reread| reread.window != window);
        self.plan_reread_of_gap(window, at, reread_seconds);
        self.push_gap(window, reason.clone());
        (!is_known).then_some(NoticeKind::PartialGap { reason })
    }

    /// Returns what a notice may say of those of `lost` that no gap names.
    #[must_use]
    pub fn unreported(&self, lost: &[String]) -> Option<String> {
        let is_named =
            |file: &&String| self.gaps.iter().any(|gap| gap.reason.contains(&bounded(file, REASON_CHARS_MAX)));
        let new: Vec<String> = lost.iter().take(LOST_NAMED_MAX).filter(|file| !is_named(file)).cloned().collect();
        reason_of_lost(&new)
    }

    /// Notes that a window was read again at `at`, without `lost`. Returns a notice if that filled a gap. A window
    /// that was whole when it was first read has no gap without them.
    pub fn note_reread(&mut self, window: Window, at: Second, lost: &[String]) -> Option<NoticeKind> {
        self.drop_due(window, at);
        if let Some(reason) = reason_of_lost(lost) {
            self.gaps.iter_mut().filter(|gap| gap.window == window).for_each(|gap| gap.reason.clone_from(&reason));
            return None;
        }
        let gaps = self.gaps.len();
        self.gaps.retain(|gap| gap.window != window);
        (self.gaps.len() < gaps).then_some(NoticeKind::GapFilled)
    }

    /// Notes that the window at the cursor could not be read at `at`. When the log has been failing for six hours, and the
    /// window has been over for as long, it becomes a gap, with one notice and another try at each reread. A window whose
    /// rereads are over gets one of its own.
    pub fn note_failure(
        &mut self,
        window: Window,
        at: Second,
        reread_seconds: &[i64],
        reason: &str,
    ) -> Option<NoticeKind> {
        let reason = bounded(reason, REASON_CHARS_MAX);
        let since = self.failing.as_ref().map_or(at, |failing| failing.since);
        self.failing = Some(Failing { since, reason: reason.clone() });
        if at < since.max(window.latest()).plus(GAP_AFTER_SECONDS) {
            return None;
        }
        self.plan_reread_of_gap(window, at, reread_seconds);
        Some(self.note_gap(window, reason))
    }

    /// Records a window as a gap, and returns the notice of it.
    pub fn note_gap(&mut self, window: Window, reason: String) -> NoticeKind {
        self.cursor = window.latest();
        self.push_gap(window, reason.clone());
        NoticeKind::Gap { reason }
    }

    fn push_gap(&mut self, window: Window, reason: String) {
        self.gaps.push(Gap { window, reason });
        let surplus = self.gaps.len().saturating_sub(GAPS_MAX);
        self.gaps.drain(..surplus);
    }

    /// Gives up the rereads of `window` that are due at `at`.
    pub fn give_up_reread(&mut self, window: Window, at: Second) {
        self.drop_due(window, at);
    }

    /// Goes back to `until`, because the system clock was ahead when the rest was read. Returns the window that is read again,
    /// with its notice.
    pub fn go_back(&mut self, until: Second) -> Option<(Window, NoticeKind)> {
        let ahead = Window::new(until, self.cursor)?;
        self.cursor = until;
        self.failing = None;
        self.silent_windows = 0;
        self.rereads.retain(|reread| reread.window.latest() <= until);
        self.gaps.retain(|gap| gap.window.latest() <= until);
        self.past.go_back(until);
        Some((ahead, NoticeKind::ClockWasAhead))
    }

    /// Returns the windows whose reread is due at `at`, oldest first.
    #[must_use]
    pub fn due_rereads(&self, at: Second) -> Vec<Window> {
        let is_due =
            |reread: &&Reread| reread.after_seconds.iter().any(|after| reread.window.latest().plus(*after) <= at);
        self.rereads.iter().filter(is_due).map(|reread| reread.window).collect()
    }

    /// Returns whether a reread of `window` has been due for so long at `at` that it should be given up.
    #[must_use]
    pub fn is_reread_overdue(&self, window: Window, at: Second) -> bool {
        let reread = self.rereads.iter().find(|reread| reread.window == window);
        reread
            .and_then(|reread| reread.after_seconds.first())
            .is_some_and(|after| window.latest().plus(*after + GAP_AFTER_SECONDS) <= at)
    }

    /// Adds a follow-up, and returns how many sources it displaces: where too many are pending, the oldest are dropped.
    pub fn add_follow_up(&mut self, follow_up: FollowUp) -> usize {
        self.follow_ups.push(follow_up);
        let surplus = self.follow_ups.len().saturating_sub(FOLLOW_UPS_MAX);
        self.follow_ups.drain(..surplus).map(|given_up| given_up.sources.len()).sum()
    }

    /// Returns the parts of the follow-ups before the cursor, each with the window that holds it.
    #[must_use]
    pub fn due_follow_ups(&self) -> Vec<(FollowUp, Window)> {
        let parts = self.follow_ups.iter().filter_map(|follow_up| {
            let part = follow_up.before(self.cursor);
            let window = part.window()?;
            Some((part, window))
        });
        parts.collect()
    }

    /// Notes that `part`, which was before `until`, was read.
    pub fn note_followed(&mut self, part: &FollowUp, until: Second) {
        for pending in self.follow_ups.iter_mut().filter(|pending| pending.before(until) == *part) {
            *pending = FollowUp { failures: 0, ..pending.from(until) };
        }
        self.follow_ups.retain(|pending| !pending.sources.is_empty());
    }

    /// Notes that `parts`, which were before `until`, could not be read. After six times a part is given up, and a notice
    /// says so.
    pub fn note_follow_up_failure(&mut self, parts: &[FollowUp], until: Second, reason: &str) -> Option<NoticeKind> {
        let is_last = |part: &&FollowUp| part.failures + 1 >= FOLLOW_UP_FAILURES_MAX;
        let (given_up, failed): (Vec<&FollowUp>, Vec<&FollowUp>) = parts.iter().partition(is_last);
        for part in failed {
            for pending in self.follow_ups.iter_mut().filter(|pending| pending.before(until) == *part) {
                pending.failures += 1;
            }
        }
        given_up.iter().for_each(|part| self.note_followed(part, until));
        let sources = given_up.iter().map(|part| part.sources.len()).sum();
        let reason = bounded(reason, REASON_CHARS_MAX);
        (!given_up.is_empty()).then_some(NoticeKind::NotFollowedUp { sources, reason })
    }

    /// Adds context queries in their order, up to the limit.
    pub fn add_context_queries(&mut self, context_queries: impl IntoIterator<Item = ContextQuery>) {
        let left = CONTEXT_QUERIES_MAX.saturating_sub(self.context_queries.len());
        self.context_queries.extend(context_queries.into_iter().take(left));
    }

    /// Returns the earliest second that any read may still need; [`Second`]'s last where none does.
    #[must_use]
    pub fn earliest_due(&self) -> Second {
        let rereads = self.rereads.iter().map(|reread| reread.window.earliest());
        let follow_ups = self.follow_ups.iter().filter_map(|follow_up| Some(follow_up.window()?.earliest()));
        let cursor = self.retired.is_none().then_some(self.cursor);
        rereads.chain(follow_ups).chain(cursor).min().unwrap_or(Second(i64::MAX))
    }

    /// Plans the rereads of a window that is a gap: those that are left, or one of its own.
    fn plan_reread_of_gap(&mut self, window: Window, at: Second, reread_seconds: &[i64]) {
        let since_end = at.0.saturating_sub(window.latest().0);
        let own = since_end + reread_seconds.first().copied().unwrap_or(RETRY_GAP_SECONDS);
        let is_planned = reread_seconds.iter().any(|after| *after > since_end);
        self.plan_rereads(window, at, if is_planned { reread_seconds } else { std::slice::from_ref(&own) });
    }

    fn plan_rereads(&mut self, window: Window, at: Second, reread_seconds: &[i64]) {
        let after_seconds: Vec<i64> =
            reread_seconds.iter().copied().filter(|after| window.latest().plus(*after) > at).collect();
        if !after_seconds.is_empty() {
            self.rereads.push(Reread { window, after_seconds });
        }
    }

    fn drop_due(&mut self, window: Window, at: Second) {
        for reread in self.rereads.iter_mut().filter(|reread| reread.window == window) {
            reread.after_seconds.retain(|after| window.latest().plus(*after) > at);
        }
        self.rereads.retain(|reread| !reread.after_seconds.is_empty());
    }
}

impl Gap {
    /// Returns whether only some files or seconds of the window could not be read.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.reason.starts_with(READ_WITHOUT)
    }
}

/// Returns the reason of a gap for which files or seconds were lost.
fn reason_of_lost(lost: &[String]) -> Option<String> {
    let named: Vec<String> = lost.iter().take(LOST_NAMED_MAX).map(|file| bounded(file, REASON_CHARS_MAX)).collect();
    let more = lost.len().saturating_sub(LOST_NAMED_MAX);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    (!named.is_empty()).then(|| format!("{READ_WITHOUT}{}{more}", named.join("; ")))
}

/// A window to read again, because every provider delivers late.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reread {
    /// The window.
    pub window: Window,
    /// When to read it again, in seconds after its end; ascending, never empty.
    pub after_seconds: Vec<i64>,
}

/// A window that could not be read, or not all of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The window.
    pub window: Window,
    /// Why.
    pub reason: String,
}

/// A window at the cursor that fails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failing {
    /// The first failed attempt.
    pub since: Second,
    /// The last attempt's error, bounded.
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::SourceIp;
    use crate::group::RuleKey;

    const HOUR: i64 = 3600;

    fn window(hour: i64) -> Window {
        Window::new(Second(hour * HOUR), Second((hour + 1) * HOUR)).expect("not empty")
    }

    fn progress() -> Progress {
        Progress::new(LogId("file/x".to_owned()), Second(0))
    }

    #[test]
    fn a_reread_is_due_once_and_left_out_when_its_time_is_over_at_the_first_read() {
        let mut read = progress();
        read.note_read(window(0), Second(HOUR + 600), &[HOUR, 24 * HOUR], Some(true));
        assert_eq!(read.due_rereads(Second(2 * HOUR - 1)), []);
        assert_eq!(read.due_rereads(Second(2 * HOUR)), [window(0)]);
        read.note_reread(window(0), Second(2 * HOUR), &[]);
        assert_eq!(read.due_rereads(Second(24 * HOUR)), []);
        assert_eq!(read.due_rereads(Second(25 * HOUR)), [window(0)]);
        assert_eq!(read.earliest_due(), Second(0));
        read.note_reread(window(0), Second(25 * HOUR), &[]);
        assert_eq!((read.rereads.len(), read.earliest_due()), (0, Second(HOUR)));

        let mut late = progress();
        late.note_read(window(0), Second(5 * HOUR), &[HOUR, 24 * HOUR], Some(true));
        assert_eq!(late.rereads, [Reread { window: window(0), after_seconds: vec![24 * HOUR] }]);
    }

    #[test]
    fn a_window_that_fails_for_six_hours_is_a_gap_that_a_reread_can_fill() {
        let mut failed = progress();
        let gap = NoticeKind::Gap { reason: "down".to_owned() };
        let mut fail = |hour: i64, at: i64| failed.note_failure(window(hour), Second(at), &[24 * HOUR], "down");
        assert_eq!(fail(0, HOUR + 600), None);
        assert_eq!(fail(0, 7 * HOUR), None);
        assert_eq!(fail(0, 7 * HOUR + 600), Some(gap.clone()));
        // The log has been failing for long enough, but the next window is over only since 5 h 10 min.
        assert_eq!(fail(1, 7 * HOUR + 600), None);
        assert_eq!(fail(1, 8 * HOUR), Some(gap));
        assert_eq!((failed.cursor, failed.gaps.len()), (Second(2 * HOUR), 2));
        assert_eq!(failed.failing.as_ref().map(|failing| failing.since), Some(Second(HOUR + 600)));
        assert_eq!(failed.note_read(window(2), Second(8 * HOUR), &[], Some(true)), None);
        assert_eq!(failed.failing, None);
        assert_eq!(failed.due_rereads(Second(25 * HOUR)), [window(0)]);
        assert_eq!(failed.note_reread(window(0), Second(25 * HOUR), &[]), Some(NoticeKind::GapFilled));
        assert_eq!(failed.gaps.len(), 1);
    }

    #[test]
    fn a_gap_whose_rereads_are_over_gets_another_reread() {
        for (reread_seconds, due) in [(vec![HOUR], 51 * HOUR), (Vec::new(), 51 * HOUR)] {
            let mut failed = progress();
            failed.note_failure(window(0), Second(40 * HOUR), &reread_seconds, "down");
            assert!(failed.note_failure(window(0), Second(50 * HOUR), &reread_seconds, "down").is_some());
            assert_eq!(failed.due_rereads(Second(due - 1)), []);
            assert_eq!(failed.due_rereads(Second(due)), [window(0)]);
        }
    }

    #[test]
    fn a_window_without_some_files_is_a_gap_until_a_reread_has_them_and_each_file_is_reported_once() {
        let mut read = progress();
        let lost = |n: usize| (0..n).map(|n| format!("audit.log.{n}: denied")).collect::<Vec<_>>();
        let partial = |reason: &str| Some(NoticeKind::PartialGap { reason: reason.to_owned() });
        read.note_read(window(0), Second(HOUR + 600), &[HOUR, 24 * HOUR], Some(true));
        let rereads = read.rereads.clone();
        let noted = read.note_lost(window(0), Second(HOUR + 600), &[HOUR, 24 * HOUR], &lost(2));
        assert_eq!(noted, partial("read without audit.log.0: denied; audit.log.1: denied"));
        assert_eq!((&read.rereads, read.cursor), (&rereads, Second(HOUR)));
        read.note_read(window(1), Second(2 * HOUR + 600), &[], Some(true));
        assert_eq!(read.note_lost(window(1), Second(2 * HOUR + 600), &[], &lost(1)), None);
        assert_eq!(read.note_lost(window(1), Second(2 * HOUR + 600), &[], &[]), None);
        assert_eq!(read.due_rereads(Second(3 * HOUR + 599)), [window(0)]);
        assert_eq!(read.due_rereads(Second(3 * HOUR + 600)), [window(0), window(1)]);

        assert_eq!(read.note_reread(window(0), Second(2 * HOUR), &lost(1)), None);
        assert_eq!(read.gaps[0].reason, "read without audit.log.0: denied");
        assert_eq!(read.note_reread(window(2), Second(4 * HOUR), &lost(5)), None);
        assert_eq!(read.gaps.len(), 2);
        assert_eq!(read.note_reread(window(1), Second(4 * HOUR), &[]), Some(NoticeKind::GapFilled));
        assert_eq!(read.unreported(&lost(1)), None);
        let five = "read without audit.log.0: denied; audit.log.1: denied; audit.log.2: denied; and 2 more";
        read.note_read(window(3), Second(4 * HOUR + 600), &[], Some(true));
        assert_eq!(read.note_lost(window(3), Second(4 * HOUR + 600), &[], &lost(5)), partial(five));
    }

    #[test]
    fn a_follow_up_is_read_as_far_as_its_log_and_given_up_with_a_notice() {
        let mut read = progress();
        let source = SourceIp::V4([198, 51, 100, 7].into());
        let span = |from, to| Window::new(Second(from), Second(to)).expect("not empty");
        let pending = |spans: &[Window], failures| FollowUp {
            rule: RuleKey(1),
            sources: vec![(source, spans.to_vec())],
            failures,
        };
        assert_eq!(read.add_follow_up(pending(&[span(100, 200), span(3000, 5000)], 0)), 0);
        assert_eq!((read.due_follow_ups(), read.earliest_due()), (Vec::new(), Second(0)));
        read.note_read(window(0), Second(HOUR + 600), &[], Some(true));
        assert_eq!(read.earliest_due(), Second(100));
        let part = pending(&[span(100, 200), span(3000, 3600)], 0);
        assert_eq!(read.due_follow_ups(), [(part.clone(), span(100, 3600))]);
        assert_eq!(read.note_follow_up_failure(std::slice::from_ref(&part), read.cursor, "down"), None);
        let part = FollowUp { failures: 1, ..part };
        read.note_followed(&part, read.cursor);
        assert_eq!((&read.follow_ups, read.earliest_due()), (&vec![pending(&[span(3600, 5000)], 0)], Second(HOUR)));

        read.note_read(window(1), Second(2 * HOUR + 600), &[], Some(true));
        let mut reported = Vec::new();
        for _ in 0..6 {
            let parts: Vec<FollowUp> = read.due_follow_ups().into_iter().map(|(part, _)| part).collect();
            reported.extend(read.note_follow_up_failure(&parts, read.cursor, "down"));
        }
        assert_eq!(reported, [NoticeKind::NotFollowedUp { sources: 1, reason: "down".to_owned() }]);
        assert_eq!(read.follow_ups, []);
    }

    #[test]
    fn follow_ups_that_fail_together_are_given_up_each_at_its_time_and_reported_as_a_sum() {
        let mut read = progress();
        let pending = |n: u8, failures| FollowUp {
            rule: RuleKey(1),
            sources: vec![(SourceIp::V4([198, 51, 100, n].into()), vec![window(0)])],
            failures,
        };
        for follow_up in [pending(1, 5), pending(2, 4), pending(3, 5)] {
            read.add_follow_up(follow_up);
        }
        read.note_read(window(0), Second(HOUR + 600), &[], Some(true));
        let mut fail = || {
            let parts: Vec<FollowUp> = read.due_follow_ups().into_iter().map(|(part, _)| part).collect();
            let reported = read.note_follow_up_failure(&parts, read.cursor, "down");
            (reported, read.follow_ups.clone())
        };
        let reported = |sources| Some(NoticeKind::NotFollowedUp { sources, reason: "down".to_owned() });
        assert_eq!(fail(), (reported(2), vec![pending(2, 5)]));
        assert_eq!(fail(), (reported(1), Vec::new()));
    }

    #[test]
    fn too_many_follow_ups_displace_the_oldest() {
        let mut read = progress();
        let source = |n: u8| (SourceIp::V4([198, 51, 100, n].into()), vec![window(0)]);
        let given_up: Vec<usize> = (0..102)
            .map(|n| read.add_follow_up(FollowUp { rule: RuleKey(1), sources: vec![source(n)], failures: 0 }))
            .collect();
        assert_eq!((given_up.iter().sum::<usize>(), &given_up[99..]), (2, &[0, 1, 1][..]));
        assert_eq!(read.follow_ups[0].sources, [source(2)]);
    }

    #[test]
    fn hidden_proxies_are_reported_once_until_a_window_has_none() {
        let mut read = progress();
        let addresses = |last: &[u8]| last.iter().map(|last| IpAddr::from([172, 31, 0, *last])).collect::<Vec<_>>();
        let reported = |last: &[u8]| Some(NoticeKind::HiddenProxy { addresses: addresses(last) });
        for (seen, expected) in [
            (&[1, 2][..], reported(&[1, 2])),
            (&[2], None),
            (&[2, 1], None),
            (&[1, 3], reported(&[1, 3])),
            (&[], None),
            (&[1], reported(&[1])),
        ] {
            assert_eq!(read.note_hidden_proxies(addresses(seen)), expected, "{seen:?}");
        }
    }

    #[test]
    fn what_a_clock_that_was_ahead_left_behind_is_forgotten() {
        let mut read = progress();
        read.note_read(window(0), Second(HOUR + 600), &[HOUR], Some(true));
        for hour in 1..=72 {
            read.note_read(window(hour), Second(73 * HOUR + 600), &[HOUR], Some(false));
        }
        read.note_gap(window(73), "down".to_owned());
        let ahead = Window::new(Second(HOUR), Second(74 * HOUR));
        assert_eq!(read.go_back(Second(HOUR)), ahead.map(|window| (window, NoticeKind::ClockWasAhead)));
        assert_eq!((read.cursor, read.gaps.len(), read.silent_windows), (Second(HOUR), 0, 0));
        assert_eq!(read.rereads, [Reread { window: window(0), after_seconds: vec![HOUR] }]);
        assert_eq!(read.go_back(Second(HOUR)), None);
    }

    #[test]
    fn silence_is_reported_once_and_so_is_its_end() {
        let mut read = progress();
        let mut reported = Vec::new();
        for (hour, has_records) in [false, false, false, false, true, true].into_iter().enumerate() {
            let hour = i64::try_from(hour).expect("small");
            reported.push(read.note_read(window(hour), Second((hour + 1) * HOUR), &[], Some(has_records)));
        }
        let expected = [None, None, Some(NoticeKind::Silent { windows: 3 }), None, Some(NoticeKind::SilenceOver), None];
        assert_eq!(reported, expected);
    }
}
