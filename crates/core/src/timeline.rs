//! The requests of one group second by second, over all logs.

use std::collections::BTreeMap;

use crate::address::SourceIp;
use crate::distinct::{DistinctKind, ValueSeconds};
use crate::group::ReferencedRuleSet;
use crate::hash::TextHash;
use crate::tally::Tally;
use crate::time::{Minute, Second};

/// A distinct value of either kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DistinctValue {
    /// An address.
    Source(SourceIp),
    /// The keyed hash of any other value.
    Text(TextHash),
}

/// The requests of one second.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecondRequests {
    /// The requests.
    pub n: u64,
    /// Those of a temporal correlation once more, by the referenced rules that they fit.
    pub referenced: Vec<(ReferencedRuleSet, u64)>,
}

/// The requests of one group.
#[derive(Clone, Debug, Default)]
pub struct Timeline<'a> {
    /// The requests of each second.
    pub seconds: BTreeMap<Second, SecondRequests>,
    rows: BTreeMap<Minute, Vec<&'a Tally>>,
}

impl SecondRequests {
    /// Returns the requests that fit the referenced rule at `index`.
    #[must_use]
    pub fn of_referenced(&self, index: usize) -> u64 {
        self.referenced.iter().filter(|(rules, _)| rules.contains(index)).map(|(_, n)| *n).sum()
    }
}

impl<'a> Timeline<'a> {
    /// Returns the timeline of requests without referenced rules and without distinct values.
    #[must_use]
    pub fn of_requests(requests: impl IntoIterator<Item = (Second, u64)>) -> Timeline<'a> {
        let requests = requests.into_iter().map(|(at, n)| (at, SecondRequests { n, referenced: Vec::new() }));
        Timeline { seconds: requests.collect(), rows: BTreeMap::new() }
    }

    /// Adds one log's row of a minute.
    pub fn add(&mut self, minute: Minute, tally: &'a Tally) {
        for (at, referenced, n) in tally.at(minute) {
            let second = self.seconds.entry(at).or_default();
            second.n += n;
            if referenced != ReferencedRuleSet::default() {
                second.referenced.push((referenced, n));
            }
        }
        if !tally.sources.is_empty() || !tally.texts.is_empty() {
            self.rows.entry(minute).or_default().push(tally);
        }
    }

    /// Returns how many requests there are.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.seconds.values().map(|second| second.n).sum()
    }

    /// Returns whether a minute had more distinct values of this kind than are kept.
    #[must_use]
    pub fn is_cut_in(&self, minute: Minute, of_sources: bool) -> bool {
        let is_cut = |tally: &&Tally| if of_sources { tally.sources.is_cut() } else { tally.texts.is_cut() };
        self.rows.get(&minute).into_iter().flatten().any(is_cut)
    }

    /// Returns the distinct addresses (where `of_sources`) or other values of each second of a minute.
    #[must_use]
    pub fn values_in(&self, minute: Minute, of_sources: bool) -> BTreeMap<Second, Vec<DistinctValue>> {
        let mut values = BTreeMap::new();
        for tally in self.rows.get(&minute).into_iter().flatten() {
            if of_sources {
                add_values(minute, &tally.sources, DistinctValue::Source, &mut values);
            } else {
                add_values(minute, &tally.texts, DistinctValue::Text, &mut values);
            }
        }
        values
    }
}

fn add_values<T: DistinctKind>(
    minute: Minute,
    row: &ValueSeconds<T>,
    value_of: fn(T) -> DistinctValue,
    values: &mut BTreeMap<Second, Vec<DistinctValue>>,
) {
    for (value, seconds) in row.iter() {
        for second in (0..60).filter(|second| seconds.contains(*second)) {
            values.entry(minute.start().plus(i64::from(second))).or_default().push(value_of(value));
        }
    }
}
