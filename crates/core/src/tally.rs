//! Counts: the requests of a rule and group in each second of a minute, from one log, with their response codes.
//!
//! A row also has the distinct values where its rule counts them, the sources where its group is not an address, and the
//! referenced rules where its rule is a temporal correlation. A stored minute holds one row for every rule and group that
//! had matches in it. Minutes are overwritten, never incremented, so reading a window again is harmless.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::address::SourceIp;
use crate::distinct::ValueSeconds;
use crate::evidence::Evidence;
use crate::group::{CountKey, ReferencedRuleSet};
use crate::hash::TextHash;
use crate::names::Names;
use crate::response_code::ResponseCode;
use crate::source::SourceId;
use crate::time::{Minute, Second};

/// The requests of one second that fit the same referenced rules and have the same response code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SecondCount {
    /// The second within the minute.
    pub second: u8,
    /// The referenced rules that each of the requests fits.
    pub referenced: ReferencedRuleSet,
    /// The response code of each.
    pub code: ResponseCode,
    /// The requests.
    pub n: u32,
}

impl SecondCount {
    fn key(&self) -> (u8, ReferencedRuleSet, ResponseCode) {
        (self.second, self.referenced, self.code)
    }
}

/// The requests of one rule and group in one minute of one source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// The requests, ascending by second, referenced rules and code, one entry for each combination.
    pub seconds: Vec<SecondCount>,
    /// The senders, where the group is not an address.
    pub sources: ValueSeconds<SourceIp>,
    /// The distinct values, where the rule counts those of a field other than `source_ip`.
    pub texts: ValueSeconds<TextHash>,
    /// The clusters that were asked.
    pub clusters: Names,
    /// Samples of the requests.
    pub evidence: Evidence,
    /// Whether a reread found requests that the first read missed.
    pub late: bool,
}

impl Tally {
    /// Returns the requests of the minute.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.seconds.iter().map(|count| u64::from(count.n)).sum()
    }

    /// Adds `n` requests at `second` of the minute that fit the `referenced` rules and were answered with `code`.
    pub fn add(&mut self, second: u8, referenced: ReferencedRuleSet, code: ResponseCode, n: u32) {
        match self.seconds.binary_search_by_key(&(second, referenced, code), SecondCount::key) {
            Ok(index) => self.seconds[index].n = self.seconds[index].n.saturating_add(n),
            Err(index) => {
                // Most rows count one or two.
                if self.seconds.is_empty() {
                    self.seconds.reserve_exact(1);
                }
                self.seconds.insert(index, SecondCount { second, referenced, code, n });
            }
        }
    }

    /// Returns the counts with their seconds since 1970, several for a second with several codes or referenced rules.
    pub fn at(&self, minute: Minute) -> impl Iterator<Item = (Second, ReferencedRuleSet, u64)> + '_ {
        self.since_1970(minute).map(|(at, count)| (at, count.referenced, u64::from(count.n)))
    }

    /// Returns the response codes with their seconds since 1970 and their requests.
    pub fn codes_at(&self, minute: Minute) -> impl Iterator<Item = (Second, ResponseCode, u64)> + '_ {
        self.since_1970(minute).map(|(at, count)| (at, count.code, u64::from(count.n)))
    }

    fn since_1970(&self, minute: Minute) -> impl Iterator<Item = (Second, &SecondCount)> + '_ {
        self.seconds.iter().map(move |count| (minute.start().plus(i64::from(count.second)), count))
    }

    /// Joins the stored row of the same requests and takes nothing away from it.
    ///
    /// For each set of referenced rules the larger count stays; values are those of both. Returns whether some stored
    /// count was larger.
    pub fn join(&mut self, stored: &Tally) -> bool {
        let mut was_larger = false;
        let mut is_more = false;
        let sets: BTreeSet<ReferencedRuleSet> =
            self.seconds.iter().chain(&stored.seconds).map(|count| count.referenced).collect();
        for referenced in sets {
            let (now, before) = (self.total_of(referenced), stored.total_of(referenced));
            was_larger |= now < before;
            is_more |= now > before;
            if now <= before {
                self.seconds.retain(|count| count.referenced != referenced);
                self.seconds.extend(stored.seconds.iter().filter(|count| count.referenced == referenced));
            }
        }
        self.seconds.sort_unstable();
        self.join_shown(stored, is_more);
        was_larger
    }

    /// Joins the row that another follow-up stored, which may have read other seconds of the minute: of two counts of the
    /// same second, referenced rules and code the larger stays.
    pub fn join_seconds(&mut self, stored: &Tally) {
        for before in &stored.seconds {
            match self.seconds.binary_search_by_key(&before.key(), SecondCount::key) {
                Ok(index) => self.seconds[index].n = self.seconds[index].n.max(before.n),
                Err(index) => self.seconds.insert(index, *before),
            }
        }
        let is_more = self.seconds != stored.seconds;
        self.join_shown(stored, is_more);
    }

    fn total_of(&self, referenced: ReferencedRuleSet) -> u64 {
        self.seconds.iter().filter(|count| count.referenced == referenced).map(|count| u64::from(count.n)).sum()
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

/// A stored minute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMinute {
    /// The source that was read.
    pub source: SourceId,
    /// The minute.
    pub minute: Minute,
    /// Its rows. A reader that asked for certain groups gets only theirs.
    pub rows: Rows,
}
