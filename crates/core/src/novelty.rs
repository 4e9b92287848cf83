//! Novelty: whether a group made requests on the days before.
//!
//! A rule with `stakeout: new_for` finds only groups without requests in so many days. Their days are kept longer than their
//! rows, as bits. What comes late adds days and takes nothing back, so an episode that was reported stays.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

use crate::field::Field;
use crate::group::{CountKey, GroupKey, GroupValue, RuleKey};
use crate::hash::HashKey;
use crate::rule::Rule;
use crate::tally::Tally;
use crate::time::{Minute, Second};
use crate::timeline::Timeline;

const DAY_SECONDS: i64 = 86_400;
/// Days that are kept: as long as a rule can ask for, and as long as a late request can reach back.
const DAYS_KEPT: i64 = 64;
/// Most groups and clusters whose days are kept; about 30 bytes each.
pub const GROUPS_MAX: usize = 10_000;
/// No group is new in a cluster of which nothing was counted so many days before, nor in [`WATCHED_WITHIN_DAYS`].
const WATCHED_DAYS: i64 = 3;
const WATCHED_WITHIN_DAYS: i64 = 30;

/// The days with requests among the 64 that end with the last one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenDays {
    /// The last day, since 1970.
    last: i64,
    /// Bit `n` stands for the day `n` days before the last one. No bit is set where there is no day.
    bits: u64,
}

impl SeenDays {
    /// Adds a day. A day that is too long before the last one is left out.
    fn add(&mut self, day: i64) {
        let later = day.saturating_sub(self.last);
        if self.bits == 0 || later >= DAYS_KEPT {
            *self = SeenDays { last: day, bits: 1 };
        } else if later > 0 {
            *self = SeenDays { last: day, bits: self.bits << later | 1 };
        } else if later > -DAYS_KEPT {
            self.bits |= 1 << -later;
        }
    }

    /// Returns whether there is a day from `first` to `last`, both included.
    fn has_any(&self, first: i64, last: i64) -> bool {
        (0..DAYS_KEPT).any(|before| self.bits >> before & 1 == 1 && (first..=last).contains(&(self.last - before)))
    }

    fn is_over_at(&self, day: i64) -> bool {
        day.saturating_sub(self.last) >= DAYS_KEPT
    }
}

/// The keyed hash of a rule's name and a group, or of a cluster. A rule that is changed keeps its days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeenKey(pub u64);

impl SeenKey {
    /// Stands for the groups that there was no room for.
    const LEFT_OUT: SeenKey = SeenKey(0);

    fn of(named: &impl Serialize, key: &HashKey) -> SeenKey {
        let encoded = serde_json::to_vec(named).expect("names and values are always valid JSON");
        SeenKey(SipHasher13::new_with_key(&key.0).hash(&encoded))
    }

    fn of_group(rule: &str, group: &GroupKey, key: &HashKey) -> SeenKey {
        SeenKey::of(&(rule, group), key)
    }

    fn of_cluster(cluster: &str, key: &HashKey) -> SeenKey {
        SeenKey::of(&cluster, key)
    }
}

/// The days of all groups and clusters, at most [`GROUPS_MAX`] of them. A group that there is no room for counts as seen.
#[derive(Clone, Debug)]
pub struct Seen {
    hash_key: HashKey,
    days: HashMap<SeenKey, SeenDays>,
}

/// What a commit changes of the days.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeenChange {
    /// The new days of some groups and clusters.
    pub days: Vec<(SeenKey, SeenDays)>,
    /// Those whose days are long over.
    pub forgotten: Vec<SeenKey>,
    /// How many groups there was no room for.
    pub left_out: usize,
}

impl Seen {
    /// Returns the days that were stored. `hash_key` must be the same every time.
    #[must_use]
    pub fn new(hash_key: HashKey, days: impl IntoIterator<Item = (SeenKey, SeenDays)>) -> Seen {
        Seen { hash_key, days: days.into_iter().collect() }
    }

    /// Applies what a commit changed.
    pub fn apply(&mut self, change: &SeenChange) {
        for key in &change.forgotten {
            self.days.remove(key);
        }
        self.days.extend(change.days.iter().copied());
    }

    /// Returns the days of each group and cluster, in no particular order.
    pub fn days(&self) -> impl Iterator<Item = (&SeenKey, &SeenDays)> {
        self.days.iter()
    }

    fn of(&self, key: SeenKey) -> SeenDays {
        self.days.get(&key).copied().unwrap_or_default()
    }
}

/// The days before a commit, and those that its rows add.
pub(crate) struct SeenWith<'s> {
    seen: &'s Seen,
    clusters: BTreeMap<SeenKey, BTreeSet<i64>>,
    groups: BTreeMap<SeenKey, BTreeSet<i64>>,
}

impl<'s> SeenWith<'s> {
    /// Adds the days of `rows` to those that were seen. Without a rule that asks for new groups, there is nothing to add.
    pub(crate) fn of<'r>(
        rules: &[Rule],
        seen: &'s Seen,
        rows: impl Iterator<Item = (Minute, &'r CountKey, &'r Tally)>,
    ) -> SeenWith<'s> {
        let asking = rules.iter().filter(|rule| rule.threshold.new_for_days.is_some());
        let asking: HashMap<RuleKey, &str> = asking.map(|rule| (rule.key, rule.head.name.as_str())).collect();
        let mut all = SeenWith { seen, clusters: BTreeMap::new(), groups: BTreeMap::new() };
        // Most rows name the cluster and the day of the one before.
        let mut noted: HashSet<(&str, i64)> = HashSet::new();
        for (minute, key, tally) in rows.filter(|_| !asking.is_empty()) {
            let day = day_of(minute.start());
            for cluster in tally.clusters.iter().filter(|cluster| noted.insert((cluster.as_str(), day))) {
                let cluster = SeenKey::of_cluster(cluster, &seen.hash_key);
                all.clusters.entry(cluster).or_default().insert(day);
            }
            if let Some(name) = asking.get(&key.rule) {
                let group = SeenKey::of_group(name, &key.group, &seen.hash_key);
                all.groups.entry(group).or_default().insert(day);
            }
        }
        all
    }

    /// Returns what was seen of a group of `rule`.
    pub(crate) fn before(&self, rule: &Rule, group: &GroupKey) -> SeenBefore<'_> {
        if rule.threshold.new_for_days.is_none() {
            return SeenBefore::NOTHING;
        }
        let cluster = rule.group_by.iter().zip(&group.0).find(|(field, _)| **field == Field::Named("cluster"));
        let Some((_, GroupValue::Text(cluster))) = cluster else { return SeenBefore::NOTHING };
        let cluster = SeenKey::of_cluster(cluster, &self.seen.hash_key);
        SeenBefore {
            group: self.seen.of(SeenKey::of_group(&rule.head.name, group, &self.seen.hash_key)),
            left_out: self.seen.of(SeenKey::LEFT_OUT),
            cluster: self.seen.of(cluster),
            cluster_added: self.clusters.get(&cluster),
        }
    }

    /// Returns what the commit changes.
    pub(crate) fn change(&self) -> SeenChange {
        let known = &self.seen.days;
        let added = || self.clusters.iter().chain(&self.groups);
        let new = added().filter(|(key, _)| !known.contains_key(key)).count();
        let mut change = SeenChange::default();
        let mut room = GROUPS_MAX.saturating_sub(known.len());
        if let Some(today) = added().filter_map(|(_, days)| days.last()).max().filter(|_| new > room) {
            let over = known.iter().filter(|(key, days)| {
                days.is_over_at(*today) && !self.clusters.contains_key(key) && !self.groups.contains_key(key)
            });
            change.forgotten = over.map(|(key, _)| *key).collect();
            change.forgotten.sort_unstable();
            room += change.forgotten.len();
        }
        let mut left_out = self.seen.of(SeenKey::LEFT_OUT);
        for (key, days) in added() {
            let before = known.get(key).copied();
            if before.is_none() && room == 0 {
                change.left_out += 1;
                days.iter().for_each(|day| left_out.add(*day));
                continue;
            }
            room -= usize::from(before.is_none());
            let mut after = before.unwrap_or_default();
            days.iter().for_each(|day| after.add(*day));
            if before != Some(after) {
                change.days.push((*key, after));
            }
        }
        if change.left_out > 0 {
            change.days.push((SeenKey::LEFT_OUT, left_out));
        }
        change
    }
}

/// What was seen of a group and its cluster.
#[derive(Clone, Copy, Debug)]
pub struct SeenBefore<'s> {
    group: SeenDays,
    /// Days on which there was no room for some groups, perhaps for this one.
    left_out: SeenDays,
    cluster: SeenDays,
    cluster_added: Option<&'s BTreeSet<i64>>,
}

impl SeenBefore<'_> {
    /// Of a group whose cluster was never seen: it is never new.
    pub const NOTHING: SeenBefore<'static> = SeenBefore {
        group: SeenDays { last: 0, bits: 0 },
        left_out: SeenDays { last: 0, bits: 0 },
        cluster: SeenDays { last: 0, bits: 0 },
        cluster_added: None,
    };

    /// Returns whether an episode that begins at `first` is of a new group: neither the stored days nor `timeline` have
    /// requests of the group in so many days before the first day of the episode.
    #[must_use]
    pub fn is_new(&self, first: Second, new_for_days: i64, timeline: &Timeline<'_>) -> bool {
        let day = day_of(first);
        let (begin, yesterday) = (day - new_for_days, day - 1);
        let mut known = timeline.seconds.range(day_start(begin)..day_start(day));
        let (earliest, latest) = (day - WATCHED_WITHIN_DAYS, day - WATCHED_DAYS);
        let added = self.cluster_added.and_then(|days| days.range(earliest..=latest).next());
        let is_watched = added.is_some() || self.cluster.has_any(earliest, latest);
        let is_seen = [self.group, self.left_out].iter().any(|days| days.has_any(begin, yesterday));
        is_watched && !is_seen && known.next().is_none()
    }

    /// Returns the first second from which on novelty at `first` needs no more requests.
    #[must_use]
    pub fn known_at(first: Second) -> Second {
        day_start(day_of(first))
    }
}

fn day_of(at: Second) -> i64 {
    at.0.div_euclid(DAY_SECONDS)
}

fn day_start(day: i64) -> Second {
    Second(day.saturating_mul(DAY_SECONDS))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_day_is_kept_until_the_64th_after_it() {
        for (later, is_kept) in [(63, true), (64, false)] {
            let mut days = SeenDays::default();
            [0, later].into_iter().for_each(|day| days.add(day));
            assert_eq!((days.has_any(0, 0), days.has_any(later, later)), (is_kept, true), "{later}");
        }
    }

    proptest! {
        /// Bits hold what a set of days holds, as far as they reach.
        #[test]
        fn days_are_those_that_were_added(
            added in proptest::collection::vec(-70_i64..70, 0..20),
            first in -80_i64..80,
            length in 0_i64..10,
        ) {
            let mut days = SeenDays::default();
            added.iter().for_each(|day| days.add(*day));
            let last = added.iter().max().copied().unwrap_or(0);
            let kept = |day: &&i64| last - **day < DAYS_KEPT;
            let expected = added.iter().filter(kept).any(|day| (first..=first + length).contains(day));
            prop_assert_eq!(days.has_any(first, first + length), expected);
            prop_assert_eq!(days.is_over_at(last + DAYS_KEPT), true);
            prop_assert_eq!(days.bits == 0 || !days.is_over_at(last + DAYS_KEPT - 1), true);
        }
    }
}
