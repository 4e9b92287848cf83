//! The fold: a window is opened, takes observations in any order, and closes into one commit.
//!
//! `observe` keeps what matched and drops the rest, so memory follows matches and groups, not the size of the
//! window. What is already known of other windows and sources is asked for only at the end (see [`Carried`]).

mod book;
mod cap;
mod carried;
mod close;
mod findings;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use siphasher::sip::SipHasher13;

use crate::evidence::{Evidence, SAMPLES_MAX, Sample, SampleKey};
use crate::finding::Finding;
use crate::observation::Observation;
use crate::rule::Rules;
use crate::tally::{CountKey, Rows, StoredMinute, Tally};
use crate::time::{Minute, Second, Window};

pub use carried::Carried;
pub use close::Closed;

/// Samples that a window keeps in memory at most, over all its groups: 20 for each of a few groups, 1 of many.
const SAMPLES_IN_WINDOW_MAX: usize = 20_000;

/// What a window may hold before it is told as a sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Distinct matched requests; about 64 bytes of memory each.
    pub requests_max: usize,
    /// Rows (rule, group, minute) in an hour of record time.
    pub rows_max: usize,
}

impl Default for Limits {
    /// Returns the limits of the daemon: a million requests and 100,000 rows, which together stay below 256 MiB.
    fn default() -> Limits {
        Limits { requests_max: 1_000_000, rows_max: 100_000 }
    }
}

/// What a fold has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Observations.
    pub observed: u64,
    /// Observations that some rule counted.
    pub matched: u64,
    /// Observations of a request that was seen already in this read.
    pub duplicates: u64,
    /// Observations outside of the window.
    pub outside: u64,
    /// Observations that fit a rule but name no address to count them for.
    pub unattributed: u64,
    /// Matched requests beyond the limit, which are told as a sum only.
    pub beyond_limit: u64,
}

/// An open window.
pub struct Fold {
    rules: Arc<Rules>,
    window: Window,
    is_relook: bool,
    sample_key: SampleKey,
    limits: Limits,
    counts: Counts,
    seen: HashMap<u64, Seen>,
    groups: Vec<Group>,
    places: HashMap<CountKey, u32>,
    sets: HashMap<Box<[u32]>, u32>,
    set_members: Vec<Box<[u32]>>,
    beyond: cap::Largest,
}

/// A matched request: when, how many, and the set of groups that it counts for.
struct Seen {
    first: Second,
    last_after_seconds: u32,
    n: u32,
    set: u32,
}

struct Group {
    key: CountKey,
    clusters: BTreeSet<String>,
    evidence: Evidence,
}

/// Opens `window` for `rules`. `is_relook` marks what is found as late; `sample_key` chooses the evidence.
#[must_use]
pub fn open(rules: Arc<Rules>, window: Window, is_relook: bool, sample_key: SampleKey, limits: Limits) -> Fold {
    Fold {
        rules,
        window,
        is_relook,
        sample_key,
        limits,
        counts: Counts::default(),
        seen: HashMap::new(),
        groups: Vec::new(),
        places: HashMap::new(),
        sets: HashMap::new(),
        set_members: Vec::new(),
        beyond: cap::Largest::default(),
    }
}

impl Fold {
    /// Counts one observation. A request that was seen already in this read counts once, at its earliest time; one
    /// that claims the same identity but counts for other groups is another request.
    pub fn observe(&mut self, observation: &Observation) {
        self.counts.observed += 1;
        if !self.window.contains(observation.first) {
            self.counts.outside += 1;
            return;
        }
        let keys = self.keys_of(observation);
        if keys.is_empty() {
            return;
        }
        let identity = self.hash(&(&observation.identity, &keys));
        let is_known = self.seen.contains_key(&identity);
        if !is_known && self.seen.len() >= self.limits.requests_max {
            self.counts.beyond_limit += u64::from(observation.n);
            self.beyond.add(observation);
            return;
        }
        self.sample(observation, &keys);
        if is_known {
            self.counts.duplicates += 1;
        } else {
            self.counts.matched += 1;
        }
        let set = self.set_of(&keys);
        let seen = Seen {
            first: observation.first,
            last_after_seconds: u32::try_from(observation.last.0.saturating_sub(observation.first.0))
                .unwrap_or(u32::MAX),
            n: observation.n.max(1),
            set,
        };
        self.seen
            .entry(identity)
            .and_modify(|known| {
                known.first = known.first.min(seen.first);
                known.n = known.n.max(seen.n);
            })
            .or_insert(seen);
    }

    /// Returns what was seen so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Returns the rules and groups whose minutes must be known to close: those that matched, and those of told
    /// findings that lose minutes with `expired`.
    #[must_use]
    pub fn keys_needed(&self, expired: &[StoredMinute], findings: &[Finding]) -> HashSet<CountKey> {
        let mut needed: HashSet<CountKey> = self.places.keys().cloned().collect();
        let leaving: HashSet<&CountKey> = expired.iter().flat_map(|minute| minute.rows.keys()).collect();
        needed.extend(findings.iter().filter_map(|finding| {
            let rule = self.rules.named(&finding.rule.name)?;
            let key = CountKey { rule: rule.key, group: finding.group.clone() };
            leaving.contains(&key).then_some(key)
        }));
        needed
    }

    fn keys_of(&mut self, observation: &Observation) -> Vec<CountKey> {
        let mut keys = Vec::new();
        let mut is_unattributed = false;
        for rule in &self.rules.rules {
            let groups = rule.groups_of(observation);
            is_unattributed |= groups.is_empty() && rule.fits(observation);
            keys.extend(groups.into_iter().map(|group| CountKey { rule: rule.key, group }));
        }
        self.counts.unattributed += u64::from(is_unattributed);
        keys
    }

    fn hash(&self, identity: &impl Hash) -> u64 {
        let mut hasher = SipHasher13::new_with_key(&self.sample_key.0);
        identity.hash(&mut hasher);
        hasher.finish()
    }

    fn sample(&mut self, observation: &Observation, keys: &[CountKey]) {
        let sample = Sample::of(observation, &self.sample_key);
        for key in keys {
            let place = self.place_of(key);
            let samples_max = self.samples_max();
            let group = &mut self.groups[place as usize];
            if !group.clusters.contains(&*observation.cluster) {
                group.clusters.insert(observation.cluster.to_string());
            }
            if group.evidence.would_keep(sample.rank, samples_max) {
                group.evidence.add(sample.clone(), samples_max);
            }
        }
    }

    fn place_of(&mut self, key: &CountKey) -> u32 {
        if let Some(place) = self.places.get(key) {
            return *place;
        }
        let place = u32::try_from(self.groups.len()).expect("requests_max groups fit in 32 bits");
        self.groups.push(Group { key: key.clone(), clusters: BTreeSet::new(), evidence: Evidence::default() });
        self.places.insert(key.clone(), place);
        if self.groups.len().is_power_of_two() {
            let samples_max = self.samples_max();
            for group in &mut self.groups {
                group.evidence.truncate(samples_max);
            }
        }
        place
    }

    /// Returns how many samples a group may keep: fewer, the more groups there are, so that the end does not
    /// depend on the order in which they came.
    fn samples_max(&self) -> usize {
        (SAMPLES_IN_WINDOW_MAX / self.groups.len().max(1)).clamp(1, SAMPLES_MAX)
    }

    fn set_of(&mut self, keys: &[CountKey]) -> u32 {
        let members: Box<[u32]> = keys.iter().map(|key| self.places[key]).collect();
        if let Some(set) = self.sets.get(&members) {
            return *set;
        }
        let set = u32::try_from(self.set_members.len()).expect("requests_max sets fit in 32 bits");
        self.set_members.push(members.clone());
        self.sets.insert(members, set);
        set
    }

    /// Returns the rows of the window, minute by minute.
    fn rows(&mut self) -> BTreeMap<Minute, Rows> {
        let mut minutes: BTreeMap<Minute, Rows> = BTreeMap::new();
        for seen in self.seen.values() {
            let last = seen.first.plus(i64::from(seen.last_after_seconds));
            for place in &self.set_members[seen.set as usize] {
                let group = &self.groups[*place as usize];
                if last != seen.first && seen.n > 1 && self.window.contains(last) {
                    count(&mut minutes, group, seen.first, seen.n - 1);
                    count(&mut minutes, group, last, 1);
                } else {
                    count(&mut minutes, group, seen.first, seen.n);
                }
            }
        }
        let samples_max = self.samples_max();
        for group in &mut self.groups {
            group.evidence.truncate(samples_max);
            for sample in group.evidence.samples() {
                if let Some(tally) = minutes.get_mut(&sample.at.minute()).and_then(|rows| rows.get_mut(&group.key)) {
                    tally.evidence.add(sample.clone(), SAMPLES_MAX);
                }
            }
        }
        minutes
    }
}

fn count(minutes: &mut BTreeMap<Minute, Rows>, group: &Group, at: Second, n: u32) {
    let rows = minutes.entry(at.minute()).or_default();
    let tally =
        rows.entry(group.key.clone()).or_insert_with(|| Tally { clusters: group.clusters.clone(), ..Tally::default() });
    let second = u8::try_from(at.0.rem_euclid(60)).expect("a remainder of 60 fits in 8 bits");
    tally.add(second, n);
}
