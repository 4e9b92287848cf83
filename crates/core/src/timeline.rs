//! The requests of one group second by second, over all sources.

use std::collections::BTreeMap;

use crate::address::SourceIp;
use crate::distinct::{Kind, Marks, TextHash};
use crate::tally::{Legs, Tally};
use crate::time::{Minute, Second};

/// A distinct value, of whichever kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// An address.
    Source(SourceIp),
    /// The keyed hash of any other value.
    Text(TextHash),
}

/// What came in one second.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// The requests.
    pub n: u64,
    /// The requests of a sequence once more, by their legs.
    pub legs: Vec<(Legs, u64)>,
}

/// The requests of one group.
#[derive(Clone, Debug, Default)]
pub struct Timeline<'a> {
    /// What came in each second.
    pub moments: BTreeMap<Second, Moment>,
    rows: BTreeMap<Minute, Vec<&'a Tally>>,
}

impl<'a> Timeline<'a> {
    /// Returns the timeline of requests that are of no leg and have no value.
    #[must_use]
    pub fn of_requests(seconds: impl IntoIterator<Item = (Second, u64)>) -> Timeline<'a> {
        let moments = seconds.into_iter().map(|(at, n)| (at, Moment { n, legs: Vec::new() })).collect();
        Timeline { moments, rows: BTreeMap::new() }
    }

    /// Enters one source's row of a minute.
    pub fn enter(&mut self, minute: Minute, tally: &'a Tally) {
        for (at, legs, n) in tally.at(minute) {
            let moment = self.moments.entry(at).or_default();
            moment.n += n;
            if legs != Legs::default() {
                moment.legs.push((legs, n));
            }
        }
        if !tally.sources.is_empty() || !tally.texts.is_empty() {
            self.rows.entry(minute).or_default().push(tally);
        }
    }

    /// Returns the distinct addresses (where `of_sources`) or other values that came in each second of a minute.
    #[must_use]
    pub fn values_in(&self, minute: Minute, of_sources: bool) -> BTreeMap<Second, Vec<Value>> {
        let mut values = BTreeMap::new();
        for tally in self.rows.get(&minute).into_iter().flatten() {
            if of_sources {
                spread(minute, &tally.sources, Value::Source, &mut values);
            } else {
                spread(minute, &tally.texts, Value::Text, &mut values);
            }
        }
        values
    }
}

fn spread<T: Kind>(
    minute: Minute,
    marks: &Marks<T>,
    value_of: fn(T) -> Value,
    values: &mut BTreeMap<Second, Vec<Value>>,
) {
    for (value, seconds) in marks.iter() {
        for second in (0..60).filter(|second| seconds.holds(*second)) {
            values.entry(minute.start().plus(i64::from(second))).or_default().push(value_of(value));
        }
    }
}
