//! What has to come together within a timespan: requests, distinct values, or the legs of a sequence.
//!
//! A gathering is fed the seconds of a group in ascending order, and tells of each whether the span that ends with it
//! holds enough. It knows nothing of episodes, and of no second that it was not fed.

use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::field::Field;
use crate::rule::{CountCondition, Counting};
use crate::time::{Minute, Second, Window};
use crate::timeline::{Moment, Timeline, Value};

/// What is to come together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ThresholdKind {
    /// So many requests.
    Requests(u64),
    /// So many distinct values.
    Values {
        /// How many.
        least: u64,
        /// Whether the values are addresses, not hashes of texts.
        of_sources: bool,
    },
    /// A request of each leg, or a burst of them.
    Legs {
        /// What each leg takes, in their order.
        bursts: Vec<Option<CountCondition>>,
        /// Whether no leg may come before the one that stands before it.
        is_ordered: bool,
    },
}

impl ThresholdKind {
    /// Returns what a rule needs that counts so; `least` is how many requests or values.
    #[must_use]
    pub fn of(counting: &Counting, least: u64) -> ThresholdKind {
        match counting {
            Counting::Events => ThresholdKind::Requests(least),
            Counting::Values { field } => {
                ThresholdKind::Values { least, of_sources: *field == Field::Named("source_ip") }
            }
            Counting::Sequence { legs, is_ordered } => {
                ThresholdKind::Legs { bursts: legs.iter().map(|leg| leg.burst).collect(), is_ordered: *is_ordered }
            }
        }
    }

    /// Returns how far before the begin of a span requests can lie that make it hold enough, in seconds.
    #[must_use]
    pub fn reach_seconds(&self) -> i64 {
        match self {
            ThresholdKind::Requests(_) | ThresholdKind::Values { .. } => 0,
            ThresholdKind::Legs { bursts, .. } => {
                bursts.iter().flatten().map(|burst| burst.timespan_seconds).max().unwrap_or(0)
            }
        }
    }
}

/// What has come together so far.
pub enum ThresholdEvaluator<'t> {
    /// Requests.
    Requests(Requests),
    /// Distinct values.
    Values(Values<'t>),
    /// Legs of a sequence.
    Legs(Legs<'t>),
}

impl<'t> ThresholdEvaluator<'t> {
    /// Begins with nothing. What comes together lies at most `timespan_seconds` apart.
    #[must_use]
    pub fn new(needs: &'t ThresholdKind, timespan_seconds: i64, timeline: &'t Timeline<'t>) -> ThresholdEvaluator<'t> {
        match needs {
            ThresholdKind::Requests(least) => {
                ThresholdEvaluator::Requests(Requests { least: *least, span: Span::new(timespan_seconds) })
            }
            ThresholdKind::Values { least, of_sources } => {
                ThresholdEvaluator::Values(Values::new(*least, *of_sources, timespan_seconds, timeline))
            }
            ThresholdKind::Legs { bursts, is_ordered } => {
                ThresholdEvaluator::Legs(Legs::new(bursts, *is_ordered, timespan_seconds))
            }
        }
    }

    /// Adds what came at `at`, and tells whether the span that ends there holds enough.
    pub fn add(&mut self, at: Second, moment: &Moment) -> bool {
        match self {
            ThresholdEvaluator::Requests(requests) => requests.add(at, moment.n),
            ThresholdEvaluator::Values(values) => values.add(at),
            ThresholdEvaluator::Legs(legs) => legs.add(at, moment),
        }
    }
}

/// A number of requests.
pub struct Requests {
    least: u64,
    span: Span,
}

impl Requests {
    pub(crate) fn add(&mut self, at: Second, n: u64) -> bool {
        self.span.add(at, n) >= self.least
    }
}

/// The requests of the span that ends with the last one added.
struct Span {
    timespan_seconds: i64,
    held: VecDeque<(Second, u64)>,
    sum: u64,
}

impl Span {
    fn new(timespan_seconds: i64) -> Span {
        Span { timespan_seconds, held: VecDeque::new(), sum: 0 }
    }

    /// Adds requests, and returns how many the span holds.
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

/// Distinct values. Of each only the latest second is remembered: it is in the span as long as that one is.
pub struct Values<'t> {
    least: u64,
    of_sources: bool,
    timespan_seconds: i64,
    timeline: &'t Timeline<'t>,
    /// The minute that was looked up last: its values by second.
    minute: Option<(Minute, BTreeMap<Second, Vec<Value>>)>,
    latest: HashMap<Value, Second>,
    /// How many values came last in each second of the span.
    by_latest: BTreeMap<Second, u64>,
    distinct: u64,
}

impl<'t> Values<'t> {
    fn new(least: u64, of_sources: bool, timespan_seconds: i64, timeline: &'t Timeline<'t>) -> Values<'t> {
        Values {
            least,
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
        self.distinct >= self.least
    }
}

/// The legs of a sequence.
pub struct Legs<'t> {
    bursts: &'t [Option<CountCondition>],
    spans: Vec<Span>,
    is_ordered: bool,
    timespan_seconds: i64,
    /// In order: for each leg the latest second at which a chain up to it can begin. Else: when each leg last came.
    begins: Vec<Option<Second>>,
}

impl<'t> Legs<'t> {
    pub(crate) fn new(bursts: &'t [Option<CountCondition>], is_ordered: bool, timespan_seconds: i64) -> Legs<'t> {
        let span = |burst: &Option<CountCondition>| Span::new(burst.map_or(0, |burst| burst.timespan_seconds));
        Legs {
            bursts,
            spans: bursts.iter().map(span).collect(),
            is_ordered,
            timespan_seconds,
            begins: vec![None; bursts.len()],
        }
    }

    fn add(&mut self, at: Second, moment: &Moment) -> bool {
        for place in 0..self.bursts.len() {
            if self.comes(place, at, moment) {
                let begin = if self.is_ordered && place > 0 { self.begins[place - 1] } else { Some(at) };
                self.begins[place] = self.begins[place].max(begin);
            }
        }
        let begin = if self.is_ordered {
            self.begins.last().copied().flatten()
        } else {
            self.begins.iter().copied().min().flatten()
        };
        begin.is_some_and(|begin| at.0.saturating_sub(begin.0) <= self.timespan_seconds)
    }

    /// Returns, for the first legs of an ordered sequence, the spans in which the legs behind them count: from when the
    /// first have come until the timespan has passed since they began. They ascend and do not meet.
    ///
    /// Only what came in `within` begins a span.
    pub(crate) fn spans_behind(mut self, timeline: &Timeline<'_>, within: Window) -> Vec<Window> {
        let mut spans: Vec<Window> = Vec::new();
        let mut known = None;
        for (at, moment) in &timeline.moments {
            self.add(*at, moment);
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

    /// Adds the requests of the leg at `place`, and tells whether they are enough of them at `at`.
    fn comes(&mut self, place: usize, at: Second, moment: &Moment) -> bool {
        let n = moment.legs.iter().filter(|(legs, _)| legs.holds(place)).map(|(_, n)| *n).sum();
        n > 0 && self.spans[place].add(at, n) >= self.bursts[place].map_or(1, |burst| burst.count)
    }
}
