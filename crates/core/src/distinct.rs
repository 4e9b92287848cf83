//! Distinct values: who sent requests, or what they asked for, each once.
//!
//! There may be more of them than can be kept. Then the lowest are, which depends neither on order nor on repetition,
//! and it is said that there were more. What a text says is not kept, only a keyed hash of it: nobody without the key
//! can choose which texts are the lowest, or find two with the same hash.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

use crate::address::SourceIp;
use crate::evidence::SampleKey;
use crate::time::{Minute, Second};

/// A kind of values.
pub trait Kind: Copy + Ord {
    /// Most values of one row and of one finding.
    const VALUES_MAX: usize;
}

/// So many sources a finding lists.
impl Kind for SourceIp {
    const VALUES_MAX: usize = 4_096;
}

/// More than any threshold asks for.
impl Kind for TextHash {
    const VALUES_MAX: usize = 512;
}

/// The keyed hash of a value that is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TextHash(pub u64);

impl TextHash {
    /// Returns the hash of `text` with `key`.
    #[must_use]
    pub fn of(text: &str, key: &SampleKey) -> TextHash {
        let mut hasher = SipHasher13::new_with_key(&key.0);
        text.hash(&mut hasher);
        TextHash(hasher.finish())
    }
}

/// Seconds of a minute: bit `n` stands for second `n`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seconds(u64);

impl Seconds {
    /// Returns the seconds of `minute` from `first` to `last`, both included.
    #[must_use]
    pub fn between(minute: Minute, first: Second, last: Second) -> Seconds {
        let place = |at: Second| at.0.saturating_sub(minute.start().0);
        (0..60)
            .filter(|second| place(first) <= *second && *second <= place(last))
            .fold(Seconds(0), |seconds, second| Seconds(seconds.0 | 1 << second))
    }

    /// Returns these seconds and `second`.
    #[must_use]
    pub fn and(self, second: u8) -> Seconds {
        Seconds(self.0 | 1 << second)
    }

    /// Tells whether `second` is among them.
    #[must_use]
    pub fn holds(self, second: u8) -> bool {
        self.0 >> second & 1 == 1
    }

    /// Tells whether the two share a second.
    #[must_use]
    pub fn meets(self, other: Seconds) -> bool {
        self.0 & other.0 != 0
    }
}

/// The distinct values of one row, each with the seconds in which it came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marks<T: Ord> {
    kept: BTreeMap<T, Seconds>,
    is_cut: bool,
}

impl<T: Ord> Default for Marks<T> {
    fn default() -> Marks<T> {
        Marks { kept: BTreeMap::new(), is_cut: false }
    }
}

impl<T: Kind> Marks<T> {
    /// Notes that `value` came at `second`.
    pub fn add(&mut self, value: T, second: u8) {
        let seconds = self.kept.entry(value).or_default();
        *seconds = seconds.and(second);
        self.cut();
    }

    /// Notes that there were values which are not kept.
    pub fn note_more(&mut self) {
        self.is_cut = true;
    }

    /// Adds all of `other`.
    pub fn join(&mut self, other: &Marks<T>) {
        for (value, more) in &other.kept {
            let seconds = self.kept.entry(*value).or_default();
            *seconds = Seconds(seconds.0 | more.0);
        }
        self.is_cut |= other.is_cut;
        self.cut();
    }

    /// Returns how many values are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Tells whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty() && !self.is_cut
    }

    /// Tells whether there were more values than are kept.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Returns the values with their seconds, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (T, Seconds)> + '_ {
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
    /// Ascending, each once. Most groups bring one or two, for which a tree is ten times too large.
    kept: Vec<T>,
    is_cut: bool,
}

impl<T: Ord> Default for Distinct<T> {
    fn default() -> Distinct<T> {
        Distinct { kept: Vec::new(), is_cut: false }
    }
}

impl<T: Kind> Distinct<T> {
    /// Adds a value, and returns whether it is kept.
    pub fn add(&mut self, value: T) -> bool {
        if self.kept.len() >= T::VALUES_MAX && self.kept.last().is_some_and(|last| *last < value) {
            self.is_cut = true;
            return false;
        }
        if let Err(place) = self.kept.binary_search(&value) {
            if self.kept.is_empty() {
                self.kept.reserve_exact(1);
            }
            self.kept.insert(place, value);
        }
        if self.kept.len() > T::VALUES_MAX {
            self.kept.pop();
            self.is_cut = true;
        }
        true
    }

    /// Adds the values of a row that came in one of `seconds`.
    pub fn add_marks(&mut self, marks: &Marks<T>, seconds: Seconds) {
        for (value, _) in marks.iter().filter(|(_, marked)| marked.meets(seconds)) {
            self.add(value);
        }
        self.is_cut |= marks.is_cut;
    }

    /// Adds all of `other`.
    pub fn join(&mut self, other: &Distinct<T>) {
        for value in &other.kept {
            self.add(*value);
        }
        self.is_cut |= other.is_cut;
    }

    /// Tells whether `value` is kept.
    #[must_use]
    pub fn holds(&self, value: T) -> bool {
        self.kept.binary_search(&value).is_ok()
    }

    /// Returns how many values are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Tells whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty() && !self.is_cut
    }

    /// Tells whether there were more values than are kept.
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
    fn the_lowest_values_stay_and_it_is_said_that_there_were_more() {
        let hashes = |from: u64, to: u64| {
            let mut marks = Marks::default();
            (from..to).rev().for_each(|hash| marks.add(TextHash(hash), 7));
            marks
        };
        let mut joined = hashes(0, 512);
        assert_eq!((joined.len(), joined.is_cut()), (512, false));
        joined.join(&hashes(100, 700));
        assert_eq!((joined.len(), joined.is_cut()), (512, true));
        let mut other = hashes(100, 700);
        other.join(&hashes(0, 512));
        assert_eq!(joined, other);

        let mut distinct = Distinct::default();
        distinct.add_marks(&joined, Seconds::default().and(7));
        assert!(!distinct.add(TextHash(900)) && distinct.holds(TextHash(511)) && !distinct.holds(TextHash(512)));
        let mut none = Distinct::default();
        none.add_marks(&hashes(0, 3), Seconds::default().and(8));
        assert!(none.is_empty());
    }

    #[test]
    fn seconds_of_a_minute() {
        let minute = Minute(10);
        let all = Seconds::between(minute, Second(0), Second(i64::MAX));
        let some = Seconds::between(minute, Second(603), Second(604));
        assert!(all.holds(0) && all.holds(59) && all.meets(some));
        assert_eq!((0..60).filter(|second| some.holds(*second)).collect::<Vec<u8>>(), [3, 4]);
        assert_eq!(Seconds::between(minute, Second(660), Second(700)), Seconds::default());
    }
}
