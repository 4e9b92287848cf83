//! Episodes: runs of matches that crossed a rule's threshold. A pure function of the minutes.
//!
//! An episode begins with the first request of the earliest span of `timespan` that holds enough (so many requests, so
//! many distinct values, or every leg of a sequence: see [`ThresholdKind`]), and goes
//! on while the next match comes within the quiet time. More requests only make episodes longer, earlier or joined,
//! so neither order nor pages nor repetition can matter.

use serde::{Deserialize, Serialize};

use crate::threshold::{ThresholdEvaluator, ThresholdKind};
use crate::time::Second;
use crate::timeline::{Moment, Timeline};

/// When a rule's count becomes an episode, and when that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threshold {
    /// Requests or distinct values that open an episode, at least 1; of a sequence the number of its legs.
    pub count: u64,
    /// A span holds requests whose seconds differ by at most this.
    pub timespan_seconds: i64,
    /// An episode goes on while the next match comes at most this long after the last.
    pub quiet_seconds: i64,
}

/// A run of matches that crossed the threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Episode {
    /// Its first request.
    pub first: Second,
    /// Its last request.
    pub last: Second,
    /// Its requests.
    pub count: u64,
}

impl Episode {
    /// Tells whether the two share a second.
    #[must_use]
    pub fn overlaps(&self, other: &Episode) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// The part of a told episode whose minutes were deleted: it held the threshold, so the episode goes on from it.
pub type Span = Episode;

/// Requests in one second, or the deleted beginning of a told episode.
struct Run<'t> {
    first: Second,
    last: Second,
    count: u64,
    /// What came; `None` where it was deleted, and was told.
    moment: Option<&'t Moment>,
}

/// Returns the episodes of a group's requests, which go on from the `told` spans.
#[must_use]
pub fn episodes(timeline: &Timeline<'_>, told: &[Span], threshold: &Threshold, needs: &ThresholdKind) -> Vec<Episode> {
    let runs = runs(timeline, told);
    let mut found = Vec::new();
    let mut next = 0;
    while let Some((begin, at)) =
        next_opening(&runs, next, threshold, ThresholdEvaluator::new(needs, threshold.timespan_seconds, timeline))
    {
        let mut last = runs[begin..=at].iter().map(|run| run.last).max().unwrap_or(runs[at].last);
        let mut count = runs[begin..=at].iter().map(|run| run.count).sum();
        next = at + 1;
        while let Some(run) = runs.get(next).filter(|run| run.first.0.saturating_sub(last.0) <= threshold.quiet_seconds)
        {
            last = last.max(run.last);
            count += run.count;
            next += 1;
        }
        found.push(Episode { first: runs[begin].first, last, count });
    }
    found
}

fn runs<'t>(timeline: &'t Timeline<'_>, told: &[Span]) -> Vec<Run<'t>> {
    let mut runs: Vec<Run<'_>> = timeline
        .moments
        .iter()
        .map(|(at, moment)| Run { first: *at, last: *at, count: moment.n, moment: Some(moment) })
        .chain(told.iter().map(|span| Run { first: span.first, last: span.last, count: span.count, moment: None }))
        .collect();
    runs.sort_by_key(|run| (run.first, run.last));
    runs
}

/// Returns (first, last) run of the earliest span from `from` on that holds enough, which a told span does by itself.
fn next_opening(
    runs: &[Run<'_>],
    from: usize,
    threshold: &Threshold,
    mut gathering: ThresholdEvaluator<'_>,
) -> Option<(usize, usize)> {
    let mut begin = from;
    for (at, run) in runs.iter().enumerate().skip(from) {
        while run.first.0.saturating_sub(runs[begin].first.0) > threshold.timespan_seconds {
            begin += 1;
        }
        let is_enough = match (run.moment, &mut gathering) {
            (Some(moment), gathering) => gathering.add(run.first, moment),
            (None, ThresholdEvaluator::Requests(requests)) => requests.add(run.first, run.count),
            (None, _) => false,
        };
        if is_enough {
            return Some((begin, at));
        }
        if run.moment.is_none() {
            return Some((at, at));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const THRESHOLD: Threshold = Threshold { count: 3, timespan_seconds: 60, quiet_seconds: 100 };

    fn found(at: &[i64], told: &[Span]) -> Vec<Episode> {
        let timeline = Timeline::of_requests(at.iter().map(|at| (Second(*at), 1)));
        episodes(&timeline, told, &THRESHOLD, &ThresholdKind::Requests(THRESHOLD.count))
    }

    fn episode(first: i64, last: i64, count: u64) -> Episode {
        Episode { first: Second(first), last: Second(last), count }
    }

    #[test]
    fn a_span_holds_seconds_that_differ_by_at_most_the_timespan() {
        assert_eq!(found(&[0, 30, 60], &[]), [episode(0, 60, 3)]);
        assert_eq!(found(&[0, 30, 61], &[]), []);
    }

    #[test]
    fn an_episode_begins_at_the_earliest_span_and_goes_on_through_the_quiet_time() {
        assert_eq!(found(&[0, 50, 70, 110, 210, 311], &[]), [episode(50, 210, 4)]);
        assert_eq!(found(&[0, 1, 2, 200, 201, 202], &[]), [episode(0, 2, 3), episode(200, 202, 3)]);
    }

    #[test]
    fn an_episode_goes_on_from_its_deleted_beginning() {
        let told = [episode(0, 50, 9)];
        assert_eq!(found(&[150], &told), [episode(0, 150, 10)]);
        assert_eq!(found(&[151], &told), [episode(0, 50, 9)]);
    }
}
