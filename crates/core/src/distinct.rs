//! Distinct values: the senders of requests, or what they asked for, each once.
//!
//! Of too many values the lowest stay, whatever the order and repetition of requests, and a flag says that there were
//! more. Texts are kept as keyed hashes: without the key, no client can choose which texts are the lowest.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::address::SourceIp;
use crate::hash::TextHash;
use crate::time::{Minute, Second};

/// A kind of distinct values.
pub trait DistinctKind: Copy + Ord {
    /// Most values of one row and of one finding.
    const VALUES_MAX: usize;
}

/// Most sources that a finding lists.
impl DistinctKind for SourceIp {
    const VALUES_MAX: usize = 4_096;
}

/// Higher than any threshold.
impl DistinctKind for TextHash {
    const VALUES_MAX: usize = 512;
}

/// A set of seconds of a minute: bit `n` stands for second `n`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecondSet(u64);

impl SecondSet {
    /// Returns the seconds of `minute` from `first` to `last`, both included.
    #[must_use]
    pub fn between(minute: Minute, first: Second, last: Second) -> SecondSet {
        let offset = |at: Second| at.0.saturating_sub(minute.start().0);
        (0..60)
            .filter(|second| offset(first) <= *second && *second <= offset(last))
            .fold(SecondSet(0), |seconds, second| SecondSet(seconds.0 | 1 << second))
    }

    /// Returns these seconds and `second`.
    #[must_use]
    pub fn with(self, second: u8) -> SecondSet {
        SecondSet(self.0 | 1 << second)
    }

    /// Returns whether `second` is in the set.
    #[must_use]
    pub fn contains(self, second: u8) -> bool {
        self.0 >> second & 1 == 1
    }

    /// Returns whether the two share a second.
    #[must_use]
    pub fn overlaps(self, other: SecondSet) -> bool {
        self.0 & other.0 != 0
    }
}

/// The distinct values of one row, each with its seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValueSeconds<T: Ord> {
    kept: BTreeMap<T, SecondSet>,
    is_cut: bool,
}

impl<T: Ord> Default for ValueSeconds<T> {
    fn default() -> ValueSeconds<T> {
        ValueSeconds { kept: BTreeMap::new(), is_cut: false }
    }
}

impl<T: DistinctKind> ValueSeconds<T> {
    /// Notes that `value` came at `second`.
    pub fn add(&mut self, value: T, second: u8) {
        let seconds = self.kept.entry(value).or_default();
        *seconds = seconds.with(second);
        self.cut();
    }

    /// Notes that there were more values.
    pub fn note_more(&mut self) {
        self.is_cut = true;
    }

    /// Adds all of `other`.
    pub fn join(&mut self, other: &ValueSeconds<T>) {
        for (value, more) in &other.kept {
            let seconds = self.kept.entry(*value).or_default();
            *seconds = SecondSet(seconds.0 | more.0);
        }
        self.is_cut |= other.is_cut;
        self.cut();
    }

    /// Returns how many values are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Returns whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty() && !self.is_cut
    }

    /// Returns whether there were more values than are kept.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Returns the values with their seconds, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (T, SecondSet)> + '_ {
        self.kept.iter().map(|(value, seconds)| (*value, *seconds))
    }

    fn cut(&mut self) {
        while self.kept.len() > T::VALUES_MAX {
            self.kept.pop_last();
            self.is_cut = true;
        }
    }
}

/// Distinct values without their times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Distinct<T: Ord> {
    /// Ascending, each once. Most groups have one or two values, for which a tree is ten times too large.
    kept: Vec<T>,
    is_cut: bool,
}

impl<T: Ord> Default for Distinct<T> {
    fn default() -> Distinct<T> {
        Distinct { kept: Vec::new(), is_cut: false }
    }
}

impl<T: DistinctKind> Distinct<T> {
    /// Adds a value, and returns whether it is kept.
    pub fn add(&mut self, value: T) -> bool {
        if self.kept.len() >= T::VALUES_MAX && self.kept.last().is_some_and(|last| *last < value) {
            self.is_cut = true;
            return false;
        }
        if let Err(index) = self.kept.binary_search(&value) {
            if self.kept.is_empty() {
                self.kept.reserve_exact(1);
            }
            self.kept.insert(index, value);
        }
        if self.kept.len() > T::VALUES_MAX {
            self.kept.pop();
            self.is_cut = true;
        }
        true
    }

    /// Adds the values of a row that have one of `seconds`.
    pub fn add_within(&mut self, row: &ValueSeconds<T>, seconds: SecondSet) {
        for (value, _) in row.iter().filter(|(_, marked)| marked.overlaps(seconds)) {
            self.add(value);
        }
        self.is_cut |= row.is_cut;
    }

    /// Adds all of `other`.
    pub fn join(&mut self, other: &Distinct<T>) {
        for value in &other.kept {
            self.add(*value);
        }
        self.is_cut |= other.is_cut;
    }

    /// Returns whether `value` is kept.
    #[must_use]
    pub fn contains(&self, value: T) -> bool {
        self.kept.binary_search(&value).is_ok()
    }

    /// Returns how many values are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Returns whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty() && !self.is_cut
    }

    /// Returns whether there were more values than are kept.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Returns the values, ascending.
    pub fn iter(&self) -> impl Iterator<Item = T> + '_ {
        self.kept.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_values_stay_and_a_flag_says_that_there_were_more() {
        let hashes = |from: u64, to: u64| {
            let mut values = ValueSeconds::default();
            (from..to).rev().for_each(|hash| values.add(TextHash(hash), 7));
            values
        };
        let mut joined = hashes(0, 512);
        assert_eq!((joined.len(), joined.is_cut()), (512, false));
        joined.join(&hashes(100, 700));
        assert_eq!((joined.len(), joined.is_cut()), (512, true));
        let mut other = hashes(100, 700);
        other.join(&hashes(0, 512));
        assert_eq!(joined, other);

        let mut distinct = Distinct::default();
        distinct.add_within(&joined, SecondSet::default().with(7));
        assert!(!distinct.add(TextHash(900)) && distinct.contains(TextHash(511)) && !distinct.contains(TextHash(512)));
        let mut none = Distinct::default();
        none.add_within(&hashes(0, 3), SecondSet::default().with(8));
        assert!(none.is_empty());
    }

    #[test]
    fn seconds_of_a_minute() {
        let minute = Minute(10);
        let all = SecondSet::between(minute, Second(0), Second(i64::MAX));
        let some = SecondSet::between(minute, Second(603), Second(604));
        assert!(all.contains(0) && all.contains(59) && all.overlaps(some));
        assert_eq!((0..60).filter(|second| some.contains(*second)).collect::<Vec<u8>>(), [3, 4]);
        assert_eq!(SecondSet::between(minute, Second(660), Second(700)), SecondSet::default());
    }
}
