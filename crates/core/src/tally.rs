//! Counts: how many requests of a rule and group came in each second of a minute, from one source.
//!
//! A stored minute holds one row for every rule and group that had matches in it. Minutes are overwritten,
//! never incremented, so reading a window again is harmless.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::address::SourceIp;
use crate::evidence::Evidence;
use crate::source::SourceId;
use crate::time::{Minute, Second};

/// What a rule counts by: one value for each of its `group-by` fields.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GroupKey(pub Vec<GroupValue>);

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

/// The requests of one rule and group in one minute of one source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// (second within the minute, requests), ascending, at most 60 entries.
    pub seconds: Vec<(u8, u32)>,
    /// The clusters that were asked.
    pub clusters: BTreeSet<String>,
    /// Samples of the requests.
    pub evidence: Evidence,
    /// Whether a re-look found requests that the first read had not seen.
    pub late: bool,
}

impl Tally {
    /// Returns the requests of the minute.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.seconds.iter().map(|(_, n)| u64::from(*n)).sum()
    }

    /// Adds `n` requests at `second` of the minute.
    pub fn add(&mut self, second: u8, n: u32) {
        match self.seconds.binary_search_by_key(&second, |(at, _)| *at) {
            Ok(place) => self.seconds[place].1 = self.seconds[place].1.saturating_add(n),
            Err(place) => self.seconds.insert(place, (second, n)),
        }
    }

    /// Returns the counts with their seconds since 1970.
    pub fn at(&self, minute: Minute) -> impl Iterator<Item = (Second, u64)> + '_ {
        self.seconds.iter().map(move |(second, n)| (minute.start().plus(i64::from(*second)), u64::from(*n)))
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
