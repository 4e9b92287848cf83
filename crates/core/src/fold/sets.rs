//! Which groups a request counts for, and as what. Requests that are alike share a set, so that a request takes one
//! number of memory however many rules it fits.

use std::hash::{Hash, Hasher};

use siphasher::sip::SipHasher13;

use super::hashed::ByHash;
use super::values::Valued;
use crate::code::Code;
use crate::group::ReferencedRuleSet;
use crate::hash::HashKey;

/// What a request counts for: a group, and what of it counts there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Member {
    pub(super) place: u32,
    pub(super) legs: ReferencedRuleSet,
    pub(super) code: Code,
    pub(super) source: Valued,
    pub(super) text: Valued,
}

/// The sets of an open window, each once.
pub(super) struct Sets {
    key: HashKey,
    /// The members of all sets, one set after another.
    members: Vec<Member>,
    /// Where each set ends in it.
    ends: Vec<usize>,
    by_hash: ByHash<u32>,
}

impl Sets {
    pub(super) fn new(key: HashKey) -> Sets {
        Sets { key, members: Vec::new(), ends: Vec::new(), by_hash: ByHash::default() }
    }

    /// Returns the number of the set with these members.
    pub(super) fn number_of(&mut self, members: &[Member]) -> u32 {
        let mut hasher = SipHasher13::new_with_key(&self.key.0);
        members.hash(&mut hasher);
        let hash = hasher.finish();
        if let Some(set) = self.by_hash.get(&hash).filter(|set| self.members_of(**set) == members) {
            return *set;
        }
        let set = u32::try_from(self.ends.len()).expect("so many sets do not fit into memory");
        self.members.extend_from_slice(members);
        self.ends.push(self.members.len());
        self.by_hash.insert(hash, set);
        set
    }

    /// Returns the members of a set.
    pub(super) fn members_of(&self, set: u32) -> &[Member] {
        let set = set as usize;
        let begin = set.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.members[begin..self.ends[set]]
    }

    /// Returns all sets, in the order of their numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[Member]> {
        (0..self.ends.len()).map(|set| self.members_of(u32::try_from(set).unwrap_or(u32::MAX)))
    }
}
