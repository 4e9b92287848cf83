//! The last UTC days of the watch: which of them can be reported, and what of its logs was read.

use std::collections::BTreeSet;

use crate::day_report::{Day, DayReport};
use crate::past_windows::WindowMark;
use crate::progress::{Gap, Progress};
use crate::source::ALL_CLUSTERS;
use crate::time::{Second, Window};

/// How long after its end a day waits for logs that are not read, in seconds: as long as a window that fails until it is a gap.
const WAIT_SECONDS: i64 = 6 * 3_600;
/// Most days that are reported after downtime: past windows are kept for little longer.
const DAYS_MAX: i64 = 7;
/// Most sources that a report names as unread.
const UNREAD_MAX: usize = 5;

/// A log that is watched.
#[derive(Clone, Copy, Debug)]
pub struct WatchedLog<'a> {
    /// The source, by its name in the config.
    pub source: &'a str,
    /// Its cluster.
    pub cluster: &'a str,
    /// How far it is read; `None` before its first commit.
    pub progress: Option<&'a Progress>,
}

/// Returns the next day to report at `at`, after `reported`: one on which a log was watched, and that all of these are read to
/// the end of. Six hours after its end a day is reported in any case.
#[must_use]
pub fn next_day(reported: Option<Day>, logs: &[WatchedLog<'_>], at: Second) -> Option<Day> {
    let since = logs.iter().filter_map(|log| Some(log.progress?.past.since)).min()?;
    let last = Day::of(at).plus(-1);
    let oldest = last.plus(1 - DAYS_MAX).max(Day::of(since));
    let day = reported.map_or(last, |reported| reported.plus(1)).max(oldest);
    let is_read = || watched_on(day, logs).all(|log| !is_unread(day, log));
    (day <= last && (day.end().plus(WAIT_SECONDS) <= at || is_read())).then_some(day)
}

/// Returns what was read of the logs on `day`. `ends` are the ends of the schedule's windows on it.
#[must_use]
pub fn report(day: Day, logs: &[WatchedLog<'_>], ends: &[Second]) -> DayReport {
    let mut report = DayReport { windows_scheduled: ends.len(), ..DayReport::default() };
    let mut clusters = BTreeSet::new();
    for log in watched_on(day, logs) {
        if log.cluster == ALL_CLUSTERS {
            let known = log.progress.into_iter().flat_map(|progress| progress.clusters.iter());
            let watched = known.filter(|(_, cluster)| cluster.retired.is_none_or(|it| day.begin() < it.since));
            clusters.extend(watched.map(|(_, cluster)| cluster.name.as_str()));
        } else {
            clusters.insert(log.cluster);
        }
        report.logs += 1;
        if is_unread(day, log) {
            if report.unread.len() < UNREAD_MAX {
                report.unread.push(log.source.to_owned());
            } else {
                report.unread_more += 1;
            }
        }
        if let Some(progress) = log.progress {
            add(&mut report, day, progress, ends);
        }
    }
    report.clusters = clusters.len();
    report
}

fn add(report: &mut DayReport, day: Day, progress: &Progress, ends: &[Second]) {
    let is_due = |end: &Second| progress.past.since < *end && retired_at(progress).is_none_or(|at| *end <= at);
    let due = || ends.iter().filter(|end| is_due(end));
    let is_lost = |end: &Second| progress.gaps.iter().any(|gap| !gap.is_partial() && ends_in(gap.window, *end));
    let read: Vec<Second> = due().copied().filter(|end| *end <= progress.cursor && !is_lost(end)).collect();
    let marked = |wanted: WindowMark| {
        let spans: Vec<Window> =
            progress.past.marked.iter().filter(|(_, mark)| *mark == wanted).map(|(span, _)| *span).collect();
        read.iter().filter(|end| spans.iter().any(|span| ends_in(*span, **end))).count()
    };
    let silent = marked(WindowMark::Silent);
    report.windows_due += due().count();
    report.windows_read += read.len();
    report.windows_late += marked(WindowMark::Late);
    report.windows_silent += silent;
    report.logs_silent += usize::from(silent > 0);
    let gaps: Vec<&Gap> = progress.gaps.iter().filter(|gap| ends_in(day.window(), gap.window.latest())).collect();
    let partial = gaps.iter().filter(|gap| gap.is_partial()).count();
    report.partial_gaps += partial;
    report.gaps += gaps.len() - partial;
}

/// Returns the logs that were watched on the day, or that nobody has read yet.
fn watched_on<'l, 'a>(day: Day, logs: &'l [WatchedLog<'a>]) -> impl Iterator<Item = &'l WatchedLog<'a>> {
    let is_watched = move |progress: &Progress| {
        progress.past.since < day.end() && retired_at(progress).is_none_or(|at| day.begin() < at)
    };
    logs.iter().filter(move |log| log.progress.is_none_or(is_watched))
}

fn is_unread(day: Day, log: &WatchedLog<'_>) -> bool {
    log.progress.is_none_or(|progress| progress.retired.is_none() && progress.cursor < day.end())
}

/// Returns when a log was found to be written no more, if nothing writes to it.
fn retired_at(progress: &Progress) -> Option<Second> {
    progress.retired.map(|retired| retired.since)
}

/// Returns whether what ends at `end` ends in the span.
fn ends_in(span: Window, end: Second) -> bool {
    span.earliest() < end && end <= span.latest()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retirement::{Retirement, RetirementReason};
    use crate::source::LogId;

    const HOUR: i64 = 3_600;
    const DAY: Day = Day(10);

    fn hour(hour: i64) -> Second {
        DAY.begin().plus(hour * HOUR)
    }

    fn window(earliest: i64, latest: i64) -> Window {
        Window::new(hour(earliest), hour(latest)).expect("not empty")
    }

    /// A log that is watched since one hour and read up to another.
    fn progress(since: i64, cursor: i64) -> Progress {
        let mut progress = Progress::new(LogId("file/x".to_owned()), hour(since));
        progress.cursor = hour(cursor);
        progress
    }

    fn log(progress: &Progress) -> WatchedLog<'_> {
        WatchedLog { source: "onprem", cluster: "prod", progress: Some(progress) }
    }

    #[test]
    fn a_day_is_reported_when_all_is_read_to_its_end_or_six_hours_later() {
        let (ahead, behind) = (progress(-3, 25), progress(-3, 23));
        let next = |reported: Option<i64>, logs: &[WatchedLog<'_>], at| next_day(reported.map(Day), logs, hour(at));
        assert_eq!(next(None, &[log(&ahead)], 25), Some(DAY));
        assert_eq!(next(Some(9), &[log(&ahead)], 25), Some(DAY));
        assert_eq!(next(Some(10), &[log(&ahead)], 25), None);
        assert_eq!(next(None, &[log(&ahead), log(&behind)], 29), None);
        assert_eq!(next(None, &[log(&ahead), log(&behind)], 30), Some(DAY));
        let unread = WatchedLog { progress: None, ..log(&ahead) };
        assert_eq!((next(None, &[log(&ahead), unread], 29), next(None, &[unread], 40)), (None, None));
        // A log of today has nothing to say of yesterday.
        let new = progress(24, 25);
        assert_eq!((next(None, &[log(&ahead), log(&new)], 25), next(None, &[log(&new)], 40)), (Some(DAY), None));
    }

    #[test]
    fn after_downtime_each_of_the_last_seven_days_is_reported() {
        let read = progress(-100 * 24, 25);
        let mut reported = Some(Day(-80));
        let mut days = Vec::new();
        while let Some(day) = next_day(reported, &[log(&read)], hour(25)) {
            days.push(day.0);
            reported = Some(day);
        }
        assert_eq!(days, [4, 5, 6, 7, 8, 9, 10]);
        // A clock that was ahead reported days that have not come yet.
        assert_eq!(next_day(Some(Day(12)), &[log(&read)], hour(25)), None);
    }

    #[test]
    fn windows_count_where_they_end_and_what_is_a_gap_is_not_read() {
        let mut eks = progress(-3, 23);
        eks.past.mark(window(-2, 1), WindowMark::Late);
        eks.past.mark(window(4, 6), WindowMark::Silent);
        eks.past.mark(window(6, 7), WindowMark::Late);
        for gap in [window(-1, 0), window(8, 11)] {
            eks.gaps.push(Gap { window: gap, reason: "denied".to_owned() });
        }
        eks.gaps.push(Gap { window: window(12, 13), reason: "read without a.log: denied".to_owned() });
        let (gke, new) = (progress(20, 25), progress(24, 25));
        let logs = [log(&eks), WatchedLog { source: "gke", cluster: "stage", ..log(&gke) }, log(&new)];
        let ends: Vec<Second> = (1..=24).map(hour).collect();
        let expected = DayReport {
            clusters: 2,
            logs: 2,
            windows_scheduled: 24,
            windows_due: 24 + 4,
            windows_read: 23 - 3 + 4,
            windows_late: 2,
            windows_silent: 2,
            logs_silent: 1,
            gaps: 1,
            partial_gaps: 1,
            unread: vec!["onprem".to_owned()],
            ..DayReport::default()
        };
        assert_eq!(report(DAY, &logs, &ends), expected);
    }

    #[test]
    fn no_day_waits_for_a_log_that_is_written_no_more() {
        let retired = |since: i64| Progress {
            retired: Some(Retirement { since: hour(since), reason: RetirementReason::Gone }),
            ..progress(-30, since)
        };
        let (ahead, gone, long_gone) = (progress(-3, 25), retired(8), retired(-2));
        let logs = [log(&ahead), log(&gone), log(&long_gone)];
        assert_eq!(next_day(None, &logs, hour(25)), Some(DAY));
        let ends: Vec<Second> = (1..=24).map(hour).collect();
        let found = report(DAY, &logs, &ends);
        assert_eq!((found.logs, found.windows_due, found.windows_read, found.unread.len()), (2, 24 + 8, 24 + 8, 0));
    }

    #[test]
    fn a_report_names_few_of_many_unread_sources() {
        let behind = progress(-3, 20);
        let found = report(DAY, &[log(&behind); 8], &[]);
        assert_eq!((found.unread.len(), found.unread_more), (UNREAD_MAX, 3));
        assert!(!found.is_whole());
    }
}
