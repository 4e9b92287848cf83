//! The groups that requests count for. Equal requests share one set of memberships, so that a request takes one number of
//! memory however many rules it fits.

use std::hash::{Hash, Hasher};

use siphasher::sip::SipHasher13;

use super::hashed::ByHash;
use super::values::ValueNumber;
use crate::group::ReferencedRuleSet;
use crate::hash::HashKey;
use crate::response_code::ResponseCode;

/// A group that a request counts for, and what counts there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Membership {
    pub(super) group: u32,
    pub(super) referenced: ReferencedRuleSet,
    pub(super) code: ResponseCode,
    pub(super) source: ValueNumber,
    pub(super) text: ValueNumber,
}

/// The sets of memberships of an open window, each once.
pub(super) struct Memberships {
    key: HashKey,
    /// The memberships of all sets, one set after another.
    all: Vec<Membership>,
    /// Where each set ends.
    ends: Vec<usize>,
    by_hash: ByHash<u32>,
}

impl Memberships {
    pub(super) fn new(key: HashKey) -> Memberships {
        Memberships { key, all: Vec::new(), ends: Vec::new(), by_hash: ByHash::default() }
    }

    /// Returns the number of the set with these memberships.
    pub(super) fn number_of(&mut self, memberships: &[Membership]) -> u32 {
        let mut hasher = SipHasher13::new_with_key(&self.key.0);
        memberships.hash(&mut hasher);
        let hash = hasher.finish();
        if let Some(set) = self.by_hash.get(&hash).filter(|set| self.of_set(**set) == memberships) {
            return *set;
        }
        let set = u32::try_from(self.ends.len()).expect("so many sets do not fit into memory");
        self.all.extend_from_slice(memberships);
        self.ends.push(self.all.len());
        self.by_hash.insert(hash, set);
        set
    }

    /// Returns the memberships of a set.
    pub(super) fn of_set(&self, set: u32) -> &[Membership] {
        let set = set as usize;
        let begin = set.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.all[begin..self.ends[set]]
    }

    /// Returns all sets, in the order of their numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[Membership]> {
        (0..self.ends.len()).map(|set| self.of_set(u32::try_from(set).unwrap_or(u32::MAX)))
    }
}
