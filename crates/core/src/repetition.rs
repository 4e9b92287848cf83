//! Repetition: whether a group asks for the same again and again.
//!
//! A fault repeats its requests for as long as it runs. Somebody who looks around asks for each thing once or twice. An
//! upper bound can be exceeded later, so it is evaluated on a whole span around the first request of a possible episode:
//! from the rule's timespan before it until [`RepeatLimit::within_seconds`] after it. The span before is why the last round
//! of a fault's retries is not taken for somebody who asks for each thing once.

use std::collections::{BTreeMap, HashMap, VecDeque, btree_map};
use std::iter::Peekable;

use crate::rule::{RepeatLimit, Threshold};
use crate::threshold::ThresholdKind;
use crate::time::{Minute, Second};
use crate::timeline::{DistinctValue, SecondRequests, Timeline};

/// Evaluates a repeat limit around one second after another.
pub struct Repetition<'t> {
    limit: RepeatLimit,
    before_seconds: i64,
    kind: &'t ThresholdKind,
    timeline: &'t Timeline<'t>,
    ahead: Peekable<btree_map::Iter<'t, Second, SecondRequests>>,
    held: VecDeque<HeldSecond<'t>>,
    /// The minute read last, with its values by second.
    minute: Option<(Minute, BTreeMap<Second, Vec<DistinctValue>>)>,
    requests: u64,
    /// In how many seconds of the span each value occurs.
    values: HashMap<DistinctValue, u64>,
    /// Seconds of the span whose minute had more values than are kept.
    cut: u64,
    /// The requests of each referenced rule.
    referenced: Vec<u64>,
}

/// A second of the span.
struct HeldSecond<'t> {
    at: Second,
    requests: &'t SecondRequests,
    values: Vec<DistinctValue>,
    is_cut: bool,
}

impl<'t> Repetition<'t> {
    /// Returns an evaluator of the threshold's limit, or `None` where it has none.
    #[must_use]
    pub fn new(threshold: &Threshold, kind: &'t ThresholdKind, timeline: &'t Timeline<'t>) -> Option<Repetition<'t>> {
        let rules = if let ThresholdKind::Temporal { conditions, .. } = kind { conditions.len() } else { 0 };
        Some(Repetition {
            limit: threshold.repeat?,
            before_seconds: threshold.timespan_seconds,
            kind,
            timeline,
            ahead: timeline.seconds.iter().peekable(),
            held: VecDeque::new(),
            minute: None,
            requests: 0,
            values: HashMap::new(),
            cut: 0,
            referenced: vec![0; rules],
        })
    }

    /// Returns the first second from which the limit around `first` needs no more requests.
    #[must_use]
    pub fn known_at(&self, first: Second) -> Second {
        first.plus(self.limit.within_seconds).plus(1)
    }

    /// Returns the first second of the span around `first`.
    #[must_use]
    pub fn begin_of(&self, first: Second) -> Second {
        first.plus(-self.before_seconds)
    }

    /// Returns whether the requests around `first` stay within the limit. The seconds that are asked for ascend.
    pub fn is_within(&mut self, first: Second) -> bool {
        let (begin, end) = (self.begin_of(first), self.known_at(first));
        while let Some((at, requests)) = self.ahead.next_if(|(at, _)| **at < end) {
            self.add(*at, requests);
        }
        while let Some(held) = self.held.pop_front_if(|held| held.at < begin) {
            self.remove(&held);
        }
        match self.kind {
            ThresholdKind::EventCount(_) => true,
            ThresholdKind::ValueCount { .. } => {
                self.cut > 0 || self.requests <= self.limit.max.saturating_mul(self.values.len() as u64)
            }
            ThresholdKind::Temporal { conditions, .. } => {
                let counted = self.referenced.iter().zip(conditions);
                counted.filter(|(_, condition)| condition.is_none()).all(|(n, _)| *n <= self.limit.max)
            }
        }
    }

    fn add(&mut self, at: Second, requests: &'t SecondRequests) {
        let mut held = HeldSecond { at, requests, values: Vec::new(), is_cut: false };
        if let ThresholdKind::ValueCount { of_sources, .. } = self.kind {
            if self.minute.as_ref().is_none_or(|(minute, _)| *minute != at.minute()) {
                self.minute = Some((at.minute(), self.timeline.values_in(at.minute(), *of_sources)));
            }
            let values = self.minute.as_mut().and_then(|(_, values)| values.remove(&at));
            held.values = values.unwrap_or_default();
            held.values.sort_unstable();
            held.values.dedup();
            held.is_cut = self.timeline.is_cut_in(at.minute(), *of_sources);
        }
        self.requests += requests.n;
        self.cut += u64::from(held.is_cut);
        held.values.iter().for_each(|value| *self.values.entry(*value).or_default() += 1);
        for (index, n) in self.referenced.iter_mut().enumerate() {
            *n += requests.of_referenced(index);
        }
        self.held.push_back(held);
    }

    fn remove(&mut self, held: &HeldSecond<'_>) {
        self.requests -= held.requests.n;
        self.cut -= u64::from(held.is_cut);
        for value in &held.values {
            if let Some(seconds) = self.values.get_mut(value) {
                *seconds -= 1;
                if *seconds == 0 {
                    self.values.remove(value);
                }
            }
        }
        for (index, n) in self.referenced.iter_mut().enumerate() {
            *n -= held.requests.of_referenced(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distinct::ValueSeconds;
    use crate::episode::{Episode, Episodes, Known, episodes};
    use crate::group::ReferencedRuleSet;
    use crate::hash::TextHash;
    use crate::response_code::ResponseCode;
    use crate::tally::Tally;

    const THRESHOLD: Threshold = Threshold {
        count: 3,
        timespan_seconds: 100,
        quiet_seconds: 100,
        repeat: Some(RepeatLimit { max: 2, within_seconds: 60 }),
        new_for_days: None,
    };
    const KIND: ThresholdKind = ThresholdKind::ValueCount { count_min: 3, of_sources: false };

    /// Rows of requests: seconds with the numbers of the values that were asked for.
    fn rows(requests: &[(i64, u64)]) -> BTreeMap<Minute, Tally> {
        let mut rows: BTreeMap<Minute, Tally> = BTreeMap::new();
        for (at, value) in requests {
            let row = rows.entry(Second(*at).minute()).or_default();
            let second = u8::try_from(at % 60).expect("below 60");
            row.add(second, ReferencedRuleSet::default(), ResponseCode::of(Some(403)), 1);
            row.texts.add(TextHash(*value), second);
        }
        rows
    }

    fn found(requests: &[(i64, u64)], known: &Known<'_>) -> Episodes {
        let rows = rows(requests);
        let mut timeline = Timeline::default();
        rows.iter().for_each(|(minute, tally)| timeline.add(*minute, tally));
        episodes(&timeline, &[], &THRESHOLD, &KIND, known)
    }

    fn episode(first: i64, last: i64, count: u64) -> Episode {
        Episode { first: Second(first), last: Second(last), count }
    }

    #[test]
    fn who_asks_for_each_seldom_begins_an_episode_and_who_repeats_does_not() {
        let once: Vec<(i64, u64)> = (0..4).map(|value: i64| (value * 5, value.unsigned_abs())).collect();
        assert_eq!(found(&once, &Known::ALL).found, [episode(0, 15, 4)]);
        let thrice: Vec<(i64, u64)> = (0..12).map(|number: i64| (number * 5, number.unsigned_abs() % 4)).collect();
        assert_eq!(found(&thrice, &Known::ALL), Episodes::default());
    }

    #[test]
    fn the_last_round_of_a_fault_is_not_taken_for_somebody_who_asks_once() {
        let rounds: Vec<(i64, u64)> = (0..40).map(|number: i64| (number * 5, number.unsigned_abs() % 4)).collect();
        assert_eq!(found(&rounds, &Known::ALL), Episodes::default());
    }

    #[test]
    fn nothing_begins_until_the_span_is_known_and_what_is_reported_stays() {
        let once = [(0, 1), (5, 2), (10, 3)];
        let until = |until: i64| Known { until: Second(until), ..Known::ALL };
        assert_eq!(found(&once, &until(60)), Episodes { found: vec![], waits_until: Some(Second(61)) });
        assert_eq!(found(&once, &until(61)), Episodes { found: vec![episode(0, 10, 3)], waits_until: None });
        let later: Vec<(i64, u64)> = once.into_iter().chain((20..60).map(|at| (at, 1))).collect();
        assert_eq!(found(&later, &Known::ALL), Episodes::default());
        let reported = [episode(0, 10, 3)];
        let known = Known { reported: &reported, ..Known::ALL };
        assert_eq!(found(&later, &known).found, [episode(0, 59, 43)]);
    }

    #[test]
    fn what_began_before_the_known_requests_was_judged_by_those_who_knew_it() {
        let once = [(100, 1), (105, 2), (110, 3)];
        let from = |from: i64| Known { from: Second(from), ..Known::ALL };
        assert_eq!(found(&once, &from(0)).found.len(), 1);
        assert_eq!(found(&once, &from(1)), Episodes::default());
    }

    #[test]
    fn more_values_than_are_kept_are_no_repetition() {
        let requests: Vec<(i64, u64)> = (0..200).map(|number: i64| (number % 30, number.unsigned_abs() % 4)).collect();
        let mut rows = rows(&requests);
        let judge = |rows: &BTreeMap<Minute, Tally>| {
            let mut timeline = Timeline::default();
            rows.iter().for_each(|(minute, tally)| timeline.add(*minute, tally));
            Repetition::new(&THRESHOLD, &KIND, &timeline).expect("a limit").is_within(Second(0))
        };
        assert!(!judge(&rows));
        let texts: &mut ValueSeconds<TextHash> = &mut rows.get_mut(&Minute(0)).expect("a row").texts;
        texts.note_more();
        assert!(judge(&rows));
    }
}
