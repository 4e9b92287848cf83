//! Counts: how many requests of a rule and group came in each second of a minute, from one source, and how they were
//! answered.
//!
//! Where a rule counts distinct values, or its group is no address, a row also says which ones came, and where it joins
//! several kinds of requests, of which kind they were.
//! A stored minute holds one row for every rule and group that had matches in it. Minutes are overwritten,
//! never incremented, so reading a window again is harmless.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::address::SourceIp;
use crate::code::Code;
use crate::distinct::{Marks, TextHash};
use crate::evidence::Evidence;
use crate::names::Names;
use crate::source::SourceId;
use crate::time::{Minute, Second};

/// Most legs of a sequence: each is a bit of [`Legs`].
pub const LEGS_MAX: usize = 16;

/// What a rule counts by: one value for each of its `group-by` fields.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GroupKey(pub Vec<GroupValue>);

impl GroupKey {
    /// Returns the address in it, where there is one.
    #[must_use]
    pub fn source_ip(&self) -> Option<SourceIp> {
        self.0.iter().find_map(|value| match value {
            GroupValue::Address(source) => Some(*source),
            GroupValue::Text(_) | GroupValue::Missing => None,
        })
    }
}

/// The value of one `group-by` field.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum GroupValue {
    /// `source_ip`.
    Address(SourceIp),
    /// Any other field, bounded.
    Text(String),
    /// The field is missing in the event. A missing `source_ip` never gets here: such a request enters no group.
    Missing,
}

impl fmt::Display for GroupValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GroupValue::Address(address) => address.fmt(f),
            GroupValue::Text(text) => f.write_str(text),
            GroupValue::Missing => f.write_str("-"),
        }
    }
}

/// The fingerprint of a rule's logic: rows of a rule that has changed since are not its own any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RuleKey(pub u64);

/// A rule (by fingerprint) and one of its groups.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CountKey {
    /// The rule.
    pub rule: RuleKey,
    /// The group.
    pub group: GroupKey,
}

/// The legs of a sequence that a request belongs to: bit `n` stands for the leg at place `n`. None where the rule is
/// no sequence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Legs(pub u16);

impl Legs {
    /// Returns these legs and the one at `place`, which lies below [`LEGS_MAX`].
    #[must_use]
    pub fn and(self, place: usize) -> Legs {
        Legs(self.0 | 1 << place)
    }

    /// Tells whether the leg at `place` is among them.
    #[must_use]
    pub fn holds(self, place: usize) -> bool {
        self.0 >> place & 1 == 1
    }
}

/// How many requests of the same legs came in one second and were answered alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Counted {
    /// The second within the minute.
    pub second: u8,
    /// The legs that each of the requests belongs to.
    pub legs: Legs,
    /// How each of them was answered.
    pub code: Code,
    /// The requests.
    pub n: u32,
}

impl Counted {
    fn key(&self) -> (u8, Legs, Code) {
        (self.second, self.legs, self.code)
    }
}

/// The requests of one rule and group in one minute of one source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// The requests, ascending by second, legs and code, at most one entry for the three.
    pub seconds: Vec<Counted>,
    /// Who sent them, where the group is no address.
    pub sources: Marks<SourceIp>,
    /// The distinct values, where the rule counts those of another field than `source_ip`.
    pub texts: Marks<TextHash>,
    /// The clusters that were asked.
    pub clusters: Names,
    /// Samples of the requests.
    pub evidence: Evidence,
    /// Whether a re-read found requests that the first read had not seen.
    pub late: bool,
}

impl Tally {
    /// Returns the requests of the minute.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.seconds.iter().map(|counted| u64::from(counted.n)).sum()
    }

    /// Adds `n` requests of `legs` at `second` of the minute, which were answered with `code`.
    pub fn add(&mut self, second: u8, legs: Legs, code: Code, n: u32) {
        match self.seconds.binary_search_by_key(&(second, legs, code), Counted::key) {
            Ok(place) => self.seconds[place].n = self.seconds[place].n.saturating_add(n),
            Err(place) => {
                // Most rows count one or two.
                if self.seconds.is_empty() {
                    self.seconds.reserve_exact(1);
                }
                self.seconds.insert(place, Counted { second, legs, code, n });
            }
        }
    }

    /// Returns the counts with their seconds since 1970; a second comes once for each kind of legs and each code.
    pub fn at(&self, minute: Minute) -> impl Iterator<Item = (Second, Legs, u64)> + '_ {
        self.since_1970(minute).map(|(at, counted)| (at, counted.legs, u64::from(counted.n)))
    }

    /// Returns the codes that were counted, with their seconds since 1970.
    pub fn codes_at(&self, minute: Minute) -> impl Iterator<Item = (Second, Code, u64)> + '_ {
        self.since_1970(minute).map(|(at, counted)| (at, counted.code, u64::from(counted.n)))
    }

    fn since_1970(&self, minute: Minute) -> impl Iterator<Item = (Second, &Counted)> + '_ {
        self.seconds.iter().map(move |counted| (minute.start().plus(i64::from(counted.second)), counted))
    }

    /// Joins what was stored of the same requests: nothing is taken away.
    ///
    /// Of two counts of the same legs the larger stays; values are those of both. Returns whether some count was
    /// larger before.
    pub fn join(&mut self, stored: &Tally) -> bool {
        let mut was_larger = false;
        let mut is_more = false;
        let kinds: BTreeSet<Legs> = self.seconds.iter().chain(&stored.seconds).map(|counted| counted.legs).collect();
        for legs in kinds {
            let (now, before) = (self.total_of(legs), stored.total_of(legs));
            was_larger |= now < before;
            is_more |= now > before;
            if now <= before {
                self.seconds.retain(|counted| counted.legs != legs);
                self.seconds.extend(stored.seconds.iter().filter(|counted| counted.legs == legs));
            }
        }
        self.seconds.sort_unstable();
        self.join_shown(stored, is_more);
        was_larger
    }

    /// Joins what was stored of the same minute by another follow-up, which may have read other seconds of it: of two
    /// counts of the same second, legs and code the larger stays.
    pub fn join_seconds(&mut self, stored: &Tally) {
        for before in &stored.seconds {
            match self.seconds.binary_search_by_key(&before.key(), Counted::key) {
                Ok(place) => self.seconds[place].n = self.seconds[place].n.max(before.n),
                Err(place) => self.seconds.insert(place, *before),
            }
        }
        let is_more = self.seconds != stored.seconds;
        self.join_shown(stored, is_more);
    }

    fn total_of(&self, legs: Legs) -> u64 {
        self.seconds.iter().filter(|counted| counted.legs == legs).map(|counted| u64::from(counted.n)).sum()
    }

    fn join_shown(&mut self, stored: &Tally, is_more: bool) {
        self.late = stored.late || (is_more && self.late);
        self.sources.join(&stored.sources);
        self.texts.join(&stored.texts);
        self.clusters.join(&stored.clusters);
        self.evidence.merge(&stored.evidence);
    }
}

/// The rows of one minute of one source.
pub type Rows = BTreeMap<CountKey, Tally>;

/// A minute as the ledger keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMinute {
    /// The source that was read.
    pub source: SourceId,
    /// The minute.
    pub minute: Minute,
    /// Its rows. A reader that asked for certain groups gets only theirs.
    pub rows: Rows,
}
