//! What requests count for. Requests that differ only in who sent them share one set of memberships, so that a request takes
//! two numbers of memory however many rules it fits, and a group of one sender takes none until the window is counted.

use std::sync::Arc;

use super::hashed::ByHash;
use super::sources::Sender;
use crate::group::{GroupBase, GroupValue, ReferencedRuleSet};
use crate::hash::TextHash;
use crate::response_code::ResponseCode;

/// A set with so much text in its groups counts as two, in bytes.
const TEXT_BYTES_PER_SET: usize = 256;

/// A group that a request counts for, and what counts there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Membership {
    /// The number of the group without its address.
    pub(super) base: u32,
    /// The address of the group.
    pub(super) grouped: Sender,
    /// The sender that the rule counts or lists.
    pub(super) listed: Sender,
    pub(super) referenced: ReferencedRuleSet,
    /// Whether the membership before it is of the same group. A request counts once for a group.
    pub(super) is_repeat: bool,
    pub(super) text: CountedText,
}

/// The value that a rule counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CountedText {
    /// The rule counts no texts.
    None,
    Kept(TextHash),
    /// The value is over the limit.
    Cut,
}

/// The sets of memberships of an open window, each once.
#[derive(Default)]
pub(super) struct Memberships {
    /// The memberships of all sets, one set after another.
    all: Vec<Membership>,
    sets: Vec<Set>,
    /// By the keyed hash of all that is in a set.
    by_hash: ByHash<u32>,
    /// The first set with the same groups.
    by_groups: ByHash<u32>,
    /// Groups without their addresses, with their keyed hashes.
    bases: Vec<(u64, GroupBase)>,
    base_by_hash: ByHash<u32>,
    clusters: Vec<Arc<str>>,
    text_bytes: usize,
}

/// A set of memberships.
#[derive(Clone, Copy)]
struct Set {
    hash: u64,
    /// Where it ends.
    end: usize,
    groups_hash: u64,
    facts: SetFacts,
}

/// What all requests of a set have in common beside their groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SetFacts {
    pub(super) code: ResponseCode,
    /// The number of the cluster.
    pub(super) cluster: u32,
    /// The first set with the same groups.
    pub(super) groups: u32,
}

impl Memberships {
    /// Returns how much memory they take, in sets.
    pub(super) fn size(&self) -> usize {
        self.sets.len() + self.text_bytes / TEXT_BYTES_PER_SET
    }

    /// Returns the number of the set with this hash.
    pub(super) fn number_of(&self, hash: u64) -> Option<u32> {
        self.by_hash.get(&hash).copied()
    }

    /// Adds a set that is new, and returns its number. `groups_hash` is the keyed hash of its groups.
    pub(super) fn add(
        &mut self,
        hash: u64,
        groups_hash: u64,
        code: ResponseCode,
        cluster: &Arc<str>,
        memberships: impl IntoIterator<Item = Membership>,
    ) -> u32 {
        let number = u32::try_from(self.sets.len()).expect("so many sets do not fit into memory");
        self.all.extend(memberships);
        let groups = *self.by_groups.entry(groups_hash).or_insert(number);
        let facts = SetFacts { code, cluster: self.cluster_of(cluster), groups };
        self.sets.push(Set { hash, end: self.all.len(), groups_hash, facts });
        self.by_hash.insert(hash, number);
        number
    }

    /// Returns the number of a group without its address.
    pub(super) fn base_of(&mut self, hash: u64, base: impl FnOnce() -> GroupBase) -> u32 {
        *self.base_by_hash.entry(hash).or_insert_with(|| {
            let number = u32::try_from(self.bases.len()).expect("so many groups do not fit into memory");
            let base = base();
            self.text_bytes += base.values.iter().flatten().map(text_bytes).sum::<usize>();
            self.bases.push((hash, base));
            number
        })
    }

    fn cluster_of(&mut self, cluster: &Arc<str>) -> u32 {
        let index = self.clusters.iter().position(|known| known == cluster).unwrap_or_else(|| {
            self.clusters.push(cluster.clone());
            self.clusters.len() - 1
        });
        u32::try_from(index).expect("so many clusters do not fit into memory")
    }

    /// Adds the sets of `other`, whose source `n` is `sources[n]` here, and returns their numbers here.
    pub(super) fn join(&mut self, other: &Memberships, sources: &[Sender]) -> Vec<u32> {
        let bases: Vec<u32> = other.bases.iter().map(|(hash, base)| self.base_of(*hash, || base.clone())).collect();
        let sender = |sender: Sender| sender.index().map_or(sender, |index| sources[index]);
        let translated = |membership: &Membership| Membership {
            base: bases[membership.base as usize],
            grouped: sender(membership.grouped),
            listed: sender(membership.listed),
            ..*membership
        };
        let numbers = (0..).zip(&other.sets).map(|(number, set)| match self.number_of(set.hash) {
            Some(known) => known,
            None => {
                let memberships: Vec<Membership> = other.of_set(number).iter().map(translated).collect();
                let cluster = &other.clusters[set.facts.cluster as usize];
                self.add(set.hash, set.groups_hash, set.facts.code, cluster, memberships)
            }
        });
        numbers.collect()
    }

    /// Returns the memberships of a set.
    pub(super) fn of_set(&self, set: u32) -> &[Membership] {
        let set = set as usize;
        let begin = set.checked_sub(1).map_or(0, |before| self.sets[before].end);
        &self.all[begin..self.sets[set].end]
    }

    /// Returns what all requests of a set have in common.
    pub(super) fn facts(&self, set: u32) -> SetFacts {
        self.sets[set as usize].facts
    }

    /// Returns a group without its address, with its keyed hash.
    pub(super) fn base(&self, base: u32) -> &(u64, GroupBase) {
        &self.bases[base as usize]
    }

    /// Returns how many groups without their addresses there are.
    pub(super) fn bases(&self) -> usize {
        self.bases.len()
    }

    /// Returns the clusters by their numbers.
    pub(super) fn clusters(&self) -> &[Arc<str>] {
        &self.clusters
    }
}

fn text_bytes(value: &GroupValue) -> usize {
    match value {
        GroupValue::Text(text) => text.len(),
        GroupValue::Address(_) | GroupValue::Missing => 0,
    }
}
