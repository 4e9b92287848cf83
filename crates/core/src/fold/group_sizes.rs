//! The sizes of the groups of a window that has more of them than can be counted one by one. They choose which groups are
//! counted, whatever the order of the records: from the requests in memory, or by a second read of the window.
//!
//! The sizes are a count-min sketch (Cormode and Muthukrishnan, 2005): a group adds to one counter in each row, and the
//! least of its counters is its size, or more where others share all of them. The hashes are keyed, so no client can choose
//! whom it shares counters with.

use rustc_hash::FxHashMap;

use super::hashed::ByHash;
use crate::group::RuleKey;
use crate::room::shares;
use crate::rule::Rules;

/// The rows of counters, and the counters of each.
const ROWS: usize = 2;
const WIDTH: usize = 1 << 21;
/// Sizes from this on count as equal.
const SIZE_MAX: u16 = 255;

/// The sizes of all groups of a window.
pub(super) struct GroupSizes {
    counters: Vec<[u16; ROWS]>,
    /// For each rule and size, how many groups have at least so many requests.
    reached: FxHashMap<RuleKey, Vec<usize>>,
    /// The identities of the requests.
    requests: ByHash<()>,
}

/// The groups that are counted: the largest of each rule.
#[derive(Debug)]
pub struct LargestGroups {
    counters: Vec<[u16; ROWS]>,
    least: FxHashMap<RuleKey, LeastSize>,
}

/// The least size that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LeastSize {
    size: u16,
    /// Of the groups that are one request smaller, those whose hash is less than this, as far as there is room.
    below: u64,
}

impl GroupSizes {
    /// Returns the sizes of no groups yet; `requests` have the identities of those that are added next.
    pub(super) fn new(rules: &Rules, requests: impl Iterator<Item = u64>) -> GroupSizes {
        let none = || vec![0; usize::from(SIZE_MAX) + 1];
        GroupSizes {
            counters: vec![[0; ROWS]; WIDTH],
            reached: rules.rules.iter().map(|rule| (rule.key, none())).collect(),
            requests: requests.map(|identity| (identity, ())).collect(),
        }
    }

    /// Returns whether no request with this identity was added before. At most `requests_max` identities are known.
    pub(super) fn is_new(&mut self, identity: u64, requests_max: usize) -> bool {
        if self.requests.len() >= requests_max {
            return !self.requests.contains_key(&identity);
        }
        self.requests.insert(identity, ()).is_none()
    }

    /// Adds `n` requests to the group with this keyed hash.
    pub(super) fn add(&mut self, rule: RuleKey, hash: u64, n: u32) {
        let Some(reached) = self.reached.get_mut(&rule) else { return };
        let before = size(&self.counters, hash);
        for (row, slot) in slots(hash).into_iter().enumerate() {
            let counter = &mut self.counters[slot][row];
            *counter = counter.saturating_add(u16::try_from(n).unwrap_or(u16::MAX)).min(SIZE_MAX);
        }
        let after = size(&self.counters, hash);
        (before + 1..=after).for_each(|size| reached[usize::from(size)] += 1);
    }

    /// Counts anew how many groups have reached which size: `each` calls what it is given with every group, all of which were
    /// added before. A group looks larger if others that were added after it share its counters, and among a million of small
    /// groups so many do that those which were meant to be counted would not fit.
    pub(super) fn recount(&mut self, each: impl FnOnce(&mut dyn FnMut(RuleKey, u64))) {
        let GroupSizes { counters, reached, .. } = self;
        reached.values_mut().for_each(|reached| reached.fill(0));
        each(&mut |rule, hash| {
            if let Some(reached) = reached.get_mut(&rule) {
                (1..=size(counters, hash)).for_each(|size| reached[usize::from(size)] += 1);
            }
        });
    }

    /// Returns the largest groups of each rule, about `groups_max` in all: a rule with few groups has them all, and the
    /// others share the rest.
    pub(super) fn largest(self, groups_max: usize) -> LargestGroups {
        let (rules, reached): (Vec<RuleKey>, Vec<Vec<usize>>) = self.reached.into_iter().unzip();
        let needs: Vec<usize> = reached.iter().map(|reached| reached[1]).collect();
        let rooms = shares(&needs, groups_max);
        let least = reached.iter().zip(rooms).map(|(reached, room)| LeastSize::fitting(reached, room));
        LargestGroups { least: rules.into_iter().zip(least).collect(), counters: self.counters }
    }
}

impl LeastSize {
    /// Returns from which size on the groups fit into `room`, where `reached[size]` have at least this size.
    fn fitting(reached: &[usize], room: usize) -> LeastSize {
        let size = (1..=SIZE_MAX).find(|size| reached[usize::from(*size)] <= room).unwrap_or(SIZE_MAX + 1);
        let larger = reached.get(usize::from(size)).copied().unwrap_or(0);
        let smaller = reached[usize::from(size - 1)].saturating_sub(larger);
        if size == 1 || smaller == 0 {
            return LeastSize { size, below: 0 };
        }
        let part = room.saturating_sub(larger) as u128 * u128::from(u64::MAX) / smaller as u128;
        LeastSize { size, below: u64::try_from(part).unwrap_or(u64::MAX) }
    }
}

impl LargestGroups {
    /// Returns whether the group with this keyed hash is counted.
    pub(super) fn contains(&self, rule: RuleKey, hash: u64) -> bool {
        let Some(least) = self.least.get(&rule) else { return true };
        let size = size(&self.counters, hash);
        // The hash chose the counters by its other bits.
        size >= least.size || (size + 1 == least.size && hash.reverse_bits() < least.below)
    }
}

fn size(counters: &[[u16; ROWS]], hash: u64) -> u16 {
    let [first, second] = slots(hash);
    counters[first][0].min(counters[second][1])
}

/// Returns the counter of a hash in each row.
fn slots(hash: u64) -> [usize; ROWS] {
    let slot = |bits: u64| usize::try_from(bits % WIDTH as u64).unwrap_or(0);
    [slot(hash >> 22), slot(hash >> 43)]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A group of many small ones, and one that is large.
    #[test]
    fn as_many_of_a_million_groups_are_counted_as_fit() {
        const GROUPS: u64 = 1 << 20;
        const ROOM: usize = 100_000;
        let rule = RuleKey(7);
        let none = vec![0; usize::from(SIZE_MAX) + 1];
        let mut sizes = GroupSizes {
            counters: vec![[0; ROWS]; WIDTH],
            reached: FxHashMap::from_iter([(rule, none)]),
            requests: ByHash::default(),
        };
        let hashes = || (0..GROUPS).map(|n| siphasher::sip::SipHasher13::new().hash(&n.to_le_bytes()));
        hashes().for_each(|hash| sizes.add(rule, hash, 1));
        sizes.add(rule, 0, 1_000);
        sizes.recount(|count| hashes().chain([0]).for_each(|hash| count(rule, hash)));
        let largest = sizes.largest(ROOM);
        let counted = hashes().filter(|hash| largest.contains(rule, *hash)).count();
        assert!((ROOM - ROOM / 50..ROOM + ROOM / 50).contains(&counted) && largest.contains(rule, 0), "{counted}");
    }

    #[test]
    fn the_least_size_is_the_smallest_that_fits() {
        // Of nine groups, three have two requests and one of them has four.
        let reached = [0, 9, 3, 1, 1, 0];
        let mut all = vec![0; usize::from(SIZE_MAX) + 1];
        all[..reached.len()].copy_from_slice(&reached);
        let of = |room| LeastSize::fitting(&all, room);
        assert_eq!(of(9), LeastSize { size: 1, below: 0 });
        assert_eq!(of(3), LeastSize { size: 2, below: 0 });
        assert_eq!(of(1), LeastSize { size: 3, below: 0 });
        let some = of(6);
        assert_eq!((some.size, some.below / (u64::MAX / 8)), (2, 4), "half of the groups with one request");
        assert_eq!(of(0), LeastSize { size: 5, below: 0 });
    }
}
