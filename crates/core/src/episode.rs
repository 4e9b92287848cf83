//! Episodes: runs of matches that crossed a rule's threshold. A pure function of the minutes.
//!
//! An episode begins with the first request of the earliest span of `timespan` that holds the threshold, and goes
//! on while the next match comes within the quiet time. More requests only make episodes longer, earlier or joined,
//! so neither order nor pages nor repetition can matter.

use serde::{Deserialize, Serialize};

use crate::time::Second;

/// When a rule's count becomes an episode, and when that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threshold {
    /// Requests that open an episode, at least 1.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    first: Second,
    last: Second,
    count: u64,
    is_told: bool,
}

/// Returns the episodes in `seconds` (ascending, each second once), which go on from the `told` spans.
#[must_use]
pub fn episodes(seconds: &[(Second, u64)], told: &[Span], threshold: &Threshold) -> Vec<Episode> {
    let runs = runs(seconds, told);
    let mut found = Vec::new();
    let mut next = 0;
    while let Some((begin, at)) = next_opening(&runs, next, threshold) {
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

fn runs(seconds: &[(Second, u64)], told: &[Span]) -> Vec<Run> {
    let mut runs: Vec<Run> = seconds
        .iter()
        .map(|(at, n)| Run { first: *at, last: *at, count: *n, is_told: false })
        .chain(told.iter().map(|span| Run { first: span.first, last: span.last, count: span.count, is_told: true }))
        .collect();
    runs.sort_by_key(|run| (run.first, run.last));
    runs
}

/// Returns (first, last) run of the earliest span from `from` on that holds the threshold.
fn next_opening(runs: &[Run], from: usize, threshold: &Threshold) -> Option<(usize, usize)> {
    let mut begin = from;
    let mut held = 0;
    for (at, run) in runs.iter().enumerate().skip(from) {
        held += run.count;
        while run.first.0.saturating_sub(runs[begin].first.0) > threshold.timespan_seconds {
            held -= runs[begin].count;
            begin += 1;
        }
        if held >= threshold.count {
            return Some((begin, at));
        }
        if run.is_told {
            return Some((at, at));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const THRESHOLD: Threshold = Threshold { count: 3, timespan_seconds: 60, quiet_seconds: 100 };

    fn seconds(at: &[i64]) -> Vec<(Second, u64)> {
        at.iter().map(|at| (Second(*at), 1)).collect()
    }

    fn episode(first: i64, last: i64, count: u64) -> Episode {
        Episode { first: Second(first), last: Second(last), count }
    }

    #[test]
    fn a_span_holds_seconds_that_differ_by_at_most_the_timespan() {
        assert_eq!(episodes(&seconds(&[0, 30, 60]), &[], &THRESHOLD), [episode(0, 60, 3)]);
        assert_eq!(episodes(&seconds(&[0, 30, 61]), &[], &THRESHOLD), []);
    }

    #[test]
    fn an_episode_begins_at_the_earliest_span_and_goes_on_through_the_quiet_time() {
        assert_eq!(episodes(&seconds(&[0, 50, 70, 110, 210, 311]), &[], &THRESHOLD), [episode(50, 210, 4)]);
        assert_eq!(
            episodes(&seconds(&[0, 1, 2, 200, 201, 202]), &[], &THRESHOLD),
            [episode(0, 2, 3), episode(200, 202, 3)]
        );
        assert_eq!(episodes(&[(Second(5), 3)], &[], &THRESHOLD), [episode(5, 5, 3)]);
    }

    #[test]
    fn an_episode_goes_on_from_its_deleted_beginning() {
        let told = [episode(0, 50, 9)];
        assert_eq!(episodes(&seconds(&[150]), &told, &THRESHOLD), [episode(0, 150, 10)]);
        assert_eq!(episodes(&seconds(&[151]), &told, &THRESHOLD), [episode(0, 50, 9)]);
    }
}
