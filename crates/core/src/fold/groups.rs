//! The groups of a window that takes no more observations: all of them, or the largest of each rule where there are more than
//! there may be.

use std::collections::BTreeSet;

use super::group_sizes::GroupSizes;
use super::hashed::ByNumber;
use super::sources::Sender;
use super::{Fold, MatchedRequest};
use crate::names::Names;

/// A group: what it has beside its address, and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Group {
    pub(super) base: u32,
    pub(super) source: Sender,
}

/// The groups that are counted, by index.
pub(super) struct Groups {
    /// First the groups by the own address of a request: those of each source follow each other, ascending.
    all: Vec<Group>,
    /// Where the groups of each source begin, and where the last ones end.
    begins: Vec<usize>,
    /// The indexes of all others.
    others: ByNumber<Group, u32>,
    is_whole: bool,
}

impl Groups {
    /// Returns the groups that count of those of `requests`, which are sorted by source.
    pub(super) fn of(fold: &Fold, requests: &[MatchedRequest]) -> Groups {
        let groups_max = fold.limits.groups_max;
        let all = Groups::chosen(fold, requests, groups_max, |_| true);
        if all.is_whole {
            return all;
        }
        let mut sizes = sizes(fold, requests, GroupSizes::new(&fold.rules, std::iter::empty()));
        let rule_of = |group: Group| fold.memberships.base(group.base).1.rule;
        sizes.recount(|count| each_group(fold, requests, |group, _, _| count(rule_of(group), fold.hash_of(group))));
        // Of the groups of one size, about as many as there is room for.
        let largest = sizes.largest(groups_max - groups_max / 8);
        let is_large = |group: Group| largest.contains(rule_of(group), fold.hash_of(group));
        Groups { is_whole: false, ..Groups::chosen(fold, requests, groups_max, is_large) }
    }

    fn chosen(fold: &Fold, requests: &[MatchedRequest], max: usize, is_wanted: impl Fn(Group) -> bool) -> Groups {
        let mut groups = Groups { all: Vec::new(), begins: Vec::new(), others: ByNumber::default(), is_whole: true };
        each_group(fold, requests, |group, is_own, _| {
            if groups.all.len() >= max || !is_wanted(group) {
                groups.is_whole = false;
                return;
            }
            if is_own {
                let source = group.source.index().map_or(0, |index| index + 1);
                groups.begins.resize(source.max(groups.begins.len()), groups.all.len());
            } else {
                groups.begins.resize(fold.sources.len() + 1, groups.all.len());
                let index = u32::try_from(groups.all.len()).expect("so many groups do not fit into memory");
                groups.others.insert(group, index);
            }
            groups.all.push(group);
        });
        groups.begins.resize(fold.sources.len() + 1, groups.all.len());
        groups
    }

    /// Returns whether these are all groups.
    pub(super) fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Returns the groups by their indexes.
    pub(super) fn all(&self) -> &[Group] {
        &self.all
    }

    /// Returns the index of the group of a membership, of a request of `source`; `None` where it is not counted.
    pub(super) fn find(&self, base: u32, grouped: Sender, source: Sender) -> Option<u32> {
        if grouped != Sender::OWN {
            return self.others.get(&Group { base, source: grouped }).copied();
        }
        let source = source.index()?;
        let begin = self.begins[source];
        let own = &self.all[begin..self.begins[source + 1]];
        let index = own.binary_search_by_key(&base, |group| group.base).ok()?;
        u32::try_from(begin + index).ok()
    }

    /// Returns the clusters that each group asked, in its requests of the whole window.
    pub(super) fn clusters(&self, fold: &Fold, requests: &[MatchedRequest]) -> GroupClusters {
        let names: Vec<String> = fold.memberships.clusters().iter().map(|cluster| cluster.to_string()).collect();
        let mut of_group = BTreeSet::new();
        if names.len() > 1 {
            for request in requests {
                let cluster = fold.memberships.facts(request.set).cluster;
                for membership in fold.memberships.of_set(request.set) {
                    let group = self.find(membership.base, membership.grouped, request.source);
                    of_group.extend(group.map(|group| (group, cluster)));
                }
            }
        }
        GroupClusters { names, of_group }
    }
}

/// The clusters of each group.
pub(super) struct GroupClusters {
    names: Vec<String>,
    /// Where there are several clusters, the groups with the numbers of theirs.
    of_group: BTreeSet<(u32, u32)>,
}

impl GroupClusters {
    /// Returns the clusters of a group.
    pub(super) fn of(&self, group: u32) -> Names {
        if self.names.len() < 2 {
            return self.names.iter().cloned().collect();
        }
        let own = self.of_group.range((group, 0)..=(group, u32::MAX));
        own.map(|(_, cluster)| self.names[*cluster as usize].clone()).collect()
    }
}

/// Returns `sizes` with those of all groups of `requests`, which are sorted by source.
pub(super) fn sizes(fold: &Fold, requests: &[MatchedRequest], mut sizes: GroupSizes) -> GroupSizes {
    each_group(fold, requests, |group, _, n| {
        sizes.add(fold.memberships.base(group.base).1.rule, fold.hash_of(group), u32::try_from(n).unwrap_or(u32::MAX));
    });
    sizes
}

/// Calls `visit` with each group of `requests`, which are sorted by source; with whether it has the own address of its requests;
/// and with its requests. Groups of one source follow each other, ascending.
fn each_group(fold: &Fold, requests: &[MatchedRequest], mut visit: impl FnMut(Group, bool, u64)) {
    /// Not one of the groups of this source so far.
    const NEW: u32 = u32::MAX;
    // The index of each group among those of the source.
    let mut indexes = vec![NEW; fold.memberships.bases()];
    let mut own: Vec<(u32, u64)> = Vec::new();
    let mut others: ByNumber<Group, u64> = ByNumber::default();
    for requests in requests.chunk_by(|one, next| one.source == next.source) {
        for request in requests {
            let n = u64::from(request.n);
            for membership in fold.memberships.of_set(request.set).iter().filter(|membership| !membership.is_repeat) {
                if membership.grouped != Sender::OWN {
                    *others.entry(Group { base: membership.base, source: membership.grouped }).or_default() += n;
                    continue;
                }
                let index = &mut indexes[membership.base as usize];
                if *index == NEW {
                    *index = u32::try_from(own.len()).expect("so many groups do not fit into memory");
                    own.push((membership.base, 0));
                }
                own[*index as usize].1 += n;
            }
        }
        own.sort_unstable();
        for (base, n) in own.drain(..) {
            indexes[base as usize] = NEW;
            visit(Group { base, source: requests[0].source }, true, n);
        }
    }
    let mut others: Vec<(Group, u64)> = others.into_iter().collect();
    others.sort_unstable();
    others.into_iter().for_each(|(group, n)| visit(group, false, n));
}
