//! Episodes: runs of matches that crossed a rule's threshold. A pure function of the minutes.
//!
//! An episode begins with the first request of the earliest `timespan` that reaches the threshold (see
//! [`ThresholdKind`]), and goes on while the next match comes within the quiet time. More requests only make episodes
//! longer, earlier or joined, so order, pages and repetition cannot matter.
//!
//! A repeat limit is an upper bound. So where a rule has one, an episode begins only where the whole span around its first
//! request is known and within the limit (see [`Repetition`]). Each first request is judged by this span alone, so it does
//! not matter from when on the requests are read. An episode that was reported is not judged again. Where a rule asks for
//! new groups, an episode begins only if the group made no request on the days before (see [`SeenBefore`]).

use serde::{Deserialize, Serialize};

use crate::novelty::SeenBefore;
use crate::repetition::Repetition;
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

/// What is known around the requests of a group. It matters only where the threshold has a repeat limit, or asks for new
/// groups.
#[derive(Clone, Copy, Debug)]
pub struct Known<'r> {
    /// All requests from this second on.
    pub from: Second,
    /// All requests before this second.
    pub until: Second,
    /// The reported episodes, which stay.
    pub reported: &'r [Episode],
    /// What was seen of the group on the days before.
    pub seen: SeenBefore<'r>,
}

impl Known<'_> {
    /// All requests, of which none is reported.
    pub const ALL: Known<'static> =
        Known { from: Second(i64::MIN), until: Second(i64::MAX), reported: &[], seen: SeenBefore::NOTHING };
}

/// What [`episodes`] finds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Episodes {
    /// The episodes, ascending.
    pub found: Vec<Episode>,
    /// When the next possible episode can be judged: as soon as all requests before this second are known. `None` where
    /// nothing waits.
    pub waits_until: Option<Second>,
}

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
    known: &Known<'_>,
) -> Episodes {
    let segments = segments(timeline, pruned);
    let repetition = Repetition::new(threshold, kind, timeline);
    let is_judged = repetition.is_some() || threshold.new_for_days.is_some();
    let judge = Judge { repetition, new_for_days: threshold.new_for_days, timeline, known };
    let mut judge = Some(judge).filter(|_| is_judged);
    let mut episodes = Episodes::default();
    let mut next = 0;
    let evaluator = || ThresholdEvaluator::new(kind, threshold.timespan_seconds, timeline);
    while let Some((begin, at)) =
        next_begin(&segments, next, threshold, evaluator(), judge.as_mut(), &mut episodes.waits_until)
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
        episodes.found.push(Episode { first: segments[begin].first, last, count });
    }
    episodes
}

/// Judges first requests by the repeat limit, and by whether their group is new.
struct Judge<'t> {
    repetition: Option<Repetition<'t>>,
    new_for_days: Option<i64>,
    timeline: &'t Timeline<'t>,
    known: &'t Known<'t>,
}

/// What is known of a first request.
enum Verdict {
    Begins,
    Fails,
    Waits(Second),
}

impl Judge<'_> {
    fn verdict(&mut self, first: Second) -> Verdict {
        if self.known.reported.iter().any(|episode| episode.first <= first && first <= episode.last) {
            return Verdict::Begins;
        }
        // It was judged when all of its span was read.
        if self.repetition.as_ref().is_some_and(|repetition| repetition.begin_of(first) < self.known.from) {
            return Verdict::Fails;
        }
        let repetition_at = self.repetition.as_ref().map(|repetition| repetition.known_at(first));
        let known_at = repetition_at.max(self.new_for_days.map(|_| SeenBefore::known_at(first)));
        if let Some(known_at) = known_at.filter(|known_at| self.known.until < *known_at) {
            return Verdict::Waits(known_at);
        }
        let is_new = self.new_for_days.is_none_or(|days| self.known.seen.is_new(first, days, self.timeline));
        let is_within = self.repetition.as_mut().is_none_or(|repetition| repetition.is_within(first));
        if is_new && is_within { Verdict::Begins } else { Verdict::Fails }
    }
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

/// Returns the first and the last segment of the earliest span from `from` on that reaches the threshold and that the
/// judge accepts. A pruned span does both by itself. The first that cannot be judged yet is noted in `waits_until`.
fn next_begin(
    segments: &[Segment<'_>],
    from: usize,
    threshold: &Threshold,
    mut evaluator: ThresholdEvaluator<'_>,
    mut judge: Option<&mut Judge<'_>>,
    waits_until: &mut Option<Second>,
) -> Option<(usize, usize)> {
    let mut begin = from;
    let mut judged = None;
    for (at, segment) in segments.iter().enumerate().skip(from) {
        while segment.first.0.saturating_sub(segments[begin].first.0) > threshold.timespan_seconds {
            begin += 1;
        }
        let is_reached = match (segment.requests, &mut evaluator) {
            (Some(requests), evaluator) => evaluator.add(segment.first, requests),
            (None, ThresholdEvaluator::EventCount(count)) => count.add(segment.first, segment.count),
            (None, _) => false,
        };
        if is_reached && judged.replace(begin) != Some(begin) {
            match judge.as_mut().map_or(Verdict::Begins, |judge| judge.verdict(segments[begin].first)) {
                Verdict::Begins => return Some((begin, at)),
                Verdict::Waits(until) => *waits_until = waits_until.or(Some(until)),
                Verdict::Fails => {}
            }
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

    const THRESHOLD: Threshold =
        Threshold { count: 3, timespan_seconds: 60, quiet_seconds: 100, repeat: None, new_for_days: None };

    fn found(at: &[i64], pruned: &[PrunedSpan]) -> Vec<Episode> {
        let timeline = Timeline::of_requests(at.iter().map(|at| (Second(*at), 1)));
        let kind = ThresholdKind::EventCount(THRESHOLD.count);
        episodes(&timeline, pruned, &THRESHOLD, &kind, &Known::ALL).found
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
