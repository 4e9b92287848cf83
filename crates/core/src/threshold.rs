//! Whether a timespan reaches a rule's threshold: enough requests, distinct values, or referenced rules.
//!
//! The evaluator takes the seconds of a group in ascending order and says of each whether the span that ends with it
//! reaches the threshold. It knows nothing of episodes.

use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::rule::{CountCondition, Counting, Rule};
use crate::time::{Minute, Second, Window};
use crate::timeline::{DistinctValue, SecondRequests, Timeline};

/// What must come within the timespan, in Sigma's types of correlation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ThresholdKind {
    /// This many requests.
    EventCount(u64),
    /// This many distinct values.
    ValueCount {
        /// The number of values.
        count_min: u64,
        /// Whether the values are addresses, not hashes of texts.
        of_sources: bool,
    },
    /// A request of each referenced rule, or as many as its own condition asks for.
    Temporal {
        /// The condition of each referenced rule that has one, in their order.
        conditions: Vec<Option<CountCondition>>,
        /// Whether the rules must match in their order.
        is_ordered: bool,
    },
}

impl ThresholdKind {
    /// Returns what `rule` needs for an episode.
    #[must_use]
    pub fn of(rule: &Rule) -> ThresholdKind {
        ThresholdKind::with_count(rule, rule.threshold.count)
    }

    /// Returns what `rule` would need if its threshold were `count_min` requests or values.
    #[must_use]
    pub fn with_count(rule: &Rule, count_min: u64) -> ThresholdKind {
        match &rule.counting {
            Counting::Events => ThresholdKind::EventCount(count_min),
            Counting::Values { .. } => ThresholdKind::ValueCount { count_min, of_sources: rule.counts_sources() },
            Counting::Sequence { rules, is_ordered } => ThresholdKind::Temporal {
                conditions: rules.iter().map(|rule| rule.count_condition).collect(),
                is_ordered: *is_ordered,
            },
        }
    }
}

/// Evaluates a threshold over the seconds of a group.
pub enum ThresholdEvaluator<'t> {
    /// Counts requests.
    EventCount(EventCount),
    /// Counts distinct values.
    ValueCount(ValueCount<'t>),
    /// Follows the referenced rules of a temporal correlation.
    Temporal(Temporal<'t>),
}

impl<'t> ThresholdEvaluator<'t> {
    /// Returns an evaluator that has seen nothing. Requests of one span are at most `timespan_seconds` apart.
    #[must_use]
    pub fn new(kind: &'t ThresholdKind, timespan_seconds: i64, timeline: &'t Timeline<'t>) -> ThresholdEvaluator<'t> {
        match kind {
            ThresholdKind::EventCount(count_min) => ThresholdEvaluator::EventCount(EventCount {
                count_min: *count_min,
                span: SlidingSum::new(timespan_seconds),
            }),
            ThresholdKind::ValueCount { count_min, of_sources } => {
                ThresholdEvaluator::ValueCount(ValueCount::new(*count_min, *of_sources, timespan_seconds, timeline))
            }
            ThresholdKind::Temporal { conditions, is_ordered } => {
                ThresholdEvaluator::Temporal(Temporal::new(conditions, *is_ordered, timespan_seconds))
            }
        }
    }

    /// Adds the requests of the second `at`, and returns whether the span that ends there reaches the threshold.
    pub fn add(&mut self, at: Second, requests: &SecondRequests) -> bool {
        match self {
            ThresholdEvaluator::EventCount(count) => count.add(at, requests.n),
            ThresholdEvaluator::ValueCount(count) => count.add(at),
            ThresholdEvaluator::Temporal(temporal) => temporal.add(at, requests),
        }
    }
}

/// Counts the requests of a span.
pub struct EventCount {
    count_min: u64,
    span: SlidingSum,
}

impl EventCount {
    pub(crate) fn add(&mut self, at: Second, n: u64) -> bool {
        self.span.add(at, n) >= self.count_min
    }
}

/// The sum of the requests in the span that ends with the last one added.
struct SlidingSum {
    timespan_seconds: i64,
    held: VecDeque<(Second, u64)>,
    sum: u64,
}

impl SlidingSum {
    fn new(timespan_seconds: i64) -> SlidingSum {
        SlidingSum { timespan_seconds, held: VecDeque::new(), sum: 0 }
    }

    /// Adds requests and returns the sum of the span.
    fn add(&mut self, at: Second, n: u64) -> u64 {
        self.held.push_back((at, n));
        self.sum = self.sum.saturating_add(n);
        while let Some((first, n)) = self.held.front().copied()
            && at.0.saturating_sub(first.0) > self.timespan_seconds
        {
            self.held.pop_front();
            self.sum -= n;
        }
        self.sum
    }
}

/// Counts the distinct values of a span. A value is in the span as long as its latest second is, so only that is kept.
pub struct ValueCount<'t> {
    count_min: u64,
    of_sources: bool,
    timespan_seconds: i64,
    timeline: &'t Timeline<'t>,
    /// The minute read last, with its values by second.
    minute: Option<(Minute, BTreeMap<Second, Vec<DistinctValue>>)>,
    latest: HashMap<DistinctValue, Second>,
    /// For each second of the span, the number of values whose latest second it is.
    by_latest: BTreeMap<Second, u64>,
    distinct: u64,
}

impl<'t> ValueCount<'t> {
    fn new(count_min: u64, of_sources: bool, timespan_seconds: i64, timeline: &'t Timeline<'t>) -> ValueCount<'t> {
        ValueCount {
            count_min,
            of_sources,
            timespan_seconds,
            timeline,
            minute: None,
            latest: HashMap::new(),
            by_latest: BTreeMap::new(),
            distinct: 0,
        }
    }

    fn add(&mut self, at: Second) -> bool {
        let begin = at.plus(-self.timespan_seconds);
        while let Some(oldest) = self.by_latest.first_entry().filter(|oldest| *oldest.key() < begin) {
            self.distinct -= oldest.remove();
        }
        if self.minute.as_ref().is_none_or(|(minute, _)| *minute != at.minute()) {
            self.minute = Some((at.minute(), self.timeline.values_in(at.minute(), self.of_sources)));
        }
        let values = self.minute.as_ref().and_then(|(_, values)| values.get(&at));
        for value in values.into_iter().flatten() {
            let before = self.latest.insert(*value, at);
            match before.and_then(|before| self.by_latest.get_mut(&before)) {
                Some(others) => *others -= 1,
                None => self.distinct += 1,
            }
            *self.by_latest.entry(at).or_default() += 1;
        }
        self.distinct >= self.count_min
    }
}

/// Follows the referenced rules of a temporal correlation.
pub struct Temporal<'t> {
    conditions: &'t [Option<CountCondition>],
    spans: Vec<SlidingSum>,
    is_ordered: bool,
    timespan_seconds: i64,
    /// Where the order counts: for each rule the latest second at which a chain up to it can begin. Otherwise: the latest
    /// second at which each rule matched.
    begins: Vec<Option<Second>>,
}

impl<'t> Temporal<'t> {
    pub(crate) fn new(
        conditions: &'t [Option<CountCondition>],
        is_ordered: bool,
        timespan_seconds: i64,
    ) -> Temporal<'t> {
        let span = |condition: &Option<CountCondition>| {
            SlidingSum::new(condition.map_or(0, |condition| condition.timespan_seconds))
        };
        Temporal {
            conditions,
            spans: conditions.iter().map(span).collect(),
            is_ordered,
            timespan_seconds,
            begins: vec![None; conditions.len()],
        }
    }

    fn add(&mut self, at: Second, requests: &SecondRequests) -> bool {
        for index in 0..self.conditions.len() {
            if self.is_met(index, at, requests) {
                let begin = if self.is_ordered && index > 0 { self.begins[index - 1] } else { Some(at) };
                self.begins[index] = self.begins[index].max(begin);
            }
        }
        let begin = if self.is_ordered {
            self.begins.last().copied().flatten()
        } else {
            self.begins.iter().copied().min().flatten()
        };
        begin.is_some_and(|begin| at.0.saturating_sub(begin.0) <= self.timespan_seconds)
    }

    /// Returns, for the first rules of an ordered correlation, the spans in which the rules after them count: from the
    /// second that completes the first rules until the timespan since their begin is over. Spans ascend and do not meet.
    ///
    /// Only requests in `within` begin a span.
    pub(crate) fn spans_after(mut self, timeline: &Timeline<'_>, within: Window) -> Vec<Window> {
        let mut spans: Vec<Window> = Vec::new();
        let mut known = None;
        for (at, requests) in &timeline.seconds {
            self.add(*at, requests);
            let begin = self.begins.last().copied().flatten();
            let Some(begin) = begin.filter(|_| begin != std::mem::replace(&mut known, begin)) else {
                continue;
            };
            let Some(span) = Window::new(*at, begin.plus(self.timespan_seconds).plus(1)) else {
                continue;
            };
            match spans.last_mut() {
                _ if !within.contains(*at) => {}
                Some(last) if span.earliest() <= last.latest() => {
                    *last = Window::new(last.earliest(), last.latest().max(span.latest())).unwrap_or(*last);
                }
                _ => spans.push(span),
            }
        }
        spans
    }

    /// Adds the requests of the rule at `index`, and returns whether they meet its condition at `at`.
    fn is_met(&mut self, index: usize, at: Second, requests: &SecondRequests) -> bool {
        let n = requests.of_referenced(index);
        n > 0 && self.spans[index].add(at, n) >= self.conditions[index].map_or(1, |condition| condition.count)
    }
}
