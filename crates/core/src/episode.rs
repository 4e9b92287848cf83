//! Episodes: runs of matches that crossed a rule's threshold. A pure function of the minutes.
//!
//! An episode begins with the first request of the earliest `timespan` that reaches the threshold (see
//! [`ThresholdKind`]), and goes on while the next match comes within the quiet time. More requests only make episodes
//! longer, earlier or joined, so order, pages and repetition cannot matter.

use serde::{Deserialize, Serialize};

use crate::rule::Threshold;
use crate::threshold::{ThresholdEvaluator, ThresholdKind};
use crate::time::Second;
use crate::timeline::{SecondRequests, Timeline};

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
    /// Returns whether the two share a second.
    #[must_use]
    pub fn overlaps(&self, other: &Episode) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// The part of a reported episode whose minutes were deleted. It reached the threshold, so the episode goes on from it.
pub type PrunedSpan = Episode;

/// The requests of one second, or the deleted beginning of a reported episode.
struct Segment<'t> {
    first: Second,
    last: Second,
    count: u64,
    /// The requests; `None` where their minutes were deleted.
    requests: Option<&'t SecondRequests>,
}

/// Returns the episodes of a group's requests, which go on from the `pruned` spans.
#[must_use]
pub fn episodes(
    timeline: &Timeline<'_>,
    pruned: &[PrunedSpan],
    threshold: &Threshold,
    kind: &ThresholdKind,
) -> Vec<Episode> {
    let segments = segments(timeline, pruned);
    let mut found = Vec::new();
    let mut next = 0;
    while let Some((begin, at)) =
        next_begin(&segments, next, threshold, ThresholdEvaluator::new(kind, threshold.timespan_seconds, timeline))
    {
        let mut last = segments[begin..=at].iter().map(|segment| segment.last).max().unwrap_or(segments[at].last);
        let mut count = segments[begin..=at].iter().map(|segment| segment.count).sum();
        next = at + 1;
        while let Some(segment) =
            segments.get(next).filter(|segment| segment.first.0.saturating_sub(last.0) <= threshold.quiet_seconds)
        {
            last = last.max(segment.last);
            count += segment.count;
            next += 1;
        }
        found.push(Episode { first: segments[begin].first, last, count });
    }
    found
}

fn segments<'t>(timeline: &'t Timeline<'_>, pruned: &[PrunedSpan]) -> Vec<Segment<'t>> {
    let mut segments: Vec<Segment<'_>> = timeline
        .seconds
        .iter()
        .map(|(at, requests)| Segment { first: *at, last: *at, count: requests.n, requests: Some(requests) })
        .chain(pruned.iter().map(|span| Segment {
            first: span.first,
            last: span.last,
            count: span.count,
            requests: None,
        }))
        .collect();
    segments.sort_by_key(|segment| (segment.first, segment.last));
    segments
}

/// Returns the first and the last segment of the earliest span from `from` on that reaches the threshold, which a pruned
/// span does by itself.
fn next_begin(
    segments: &[Segment<'_>],
    from: usize,
    threshold: &Threshold,
    mut evaluator: ThresholdEvaluator<'_>,
) -> Option<(usize, usize)> {
    let mut begin = from;
    for (at, segment) in segments.iter().enumerate().skip(from) {
        while segment.first.0.saturating_sub(segments[begin].first.0) > threshold.timespan_seconds {
            begin += 1;
        }
        let is_reached = match (segment.requests, &mut evaluator) {
            (Some(requests), evaluator) => evaluator.add(segment.first, requests),
            (None, ThresholdEvaluator::EventCount(count)) => count.add(segment.first, segment.count),
            (None, _) => false,
        };
        if is_reached {
            return Some((begin, at));
        }
        if segment.requests.is_none() {
            return Some((at, at));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const THRESHOLD: Threshold = Threshold { count: 3, timespan_seconds: 60, quiet_seconds: 100 };

    fn found(at: &[i64], pruned: &[PrunedSpan]) -> Vec<Episode> {
        let timeline = Timeline::of_requests(at.iter().map(|at| (Second(*at), 1)));
        episodes(&timeline, pruned, &THRESHOLD, &ThresholdKind::EventCount(THRESHOLD.count))
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
        let pruned = [episode(0, 50, 9)];
        assert_eq!(found(&[150], &pruned), [episode(0, 150, 10)]);
        assert_eq!(found(&[151], &pruned), [episode(0, 50, 9)]);
    }
}
