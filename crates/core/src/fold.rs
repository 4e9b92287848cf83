//! The fold: a window is opened, takes observations in any order, and closes into one commit.
//!
//! `observe` keeps what matched and drops the rest, so memory follows matches and groups, not the size of the
//! window. What is already known of other windows and sources is asked for only at the end (see [`Carried`]).

mod book;
mod cap;
mod carried;
mod close;
mod findings;
mod samples;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use siphasher::sip::SipHasher13;

use crate::evidence::{SAMPLES_MAX, Sample, SampleKey};
use crate::finding::Finding;
use crate::observation::Observation;
use crate::rule::Rules;
use crate::tally::{CountKey, Rows, StoredMinute, Tally};
use crate::time::{Minute, Second, Window};

use samples::Samples;

pub use carried::Carried;
pub use close::Closed;

/// What a window may hold before it is told as a sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Distinct matched requests; about 50 bytes of memory each.
    pub requests_max: usize,
    /// Groups, over all rules; about 500 bytes of memory each.
    pub groups_max: usize,
    /// Samples, over all groups; about 700 bytes of memory each.
    pub samples_max: usize,
    /// Rows (rule, group, minute) in an hour of record time that are stored.
    pub rows_max: usize,
}

impl Default for Limits {
    /// Returns the limits of the daemon.
    fn default() -> Limits {
        Limits { requests_max: 1_000_000, groups_max: 200_000, samples_max: 20_000, rows_max: 100_000 }
    }
}

impl Limits {
    /// Returns the limits of a replay, whose one window may hold months: only rows and samples are bounded.
    #[must_use]
    pub fn of_replay() -> Limits {
        Limits { requests_max: usize::MAX, groups_max: usize::MAX, samples_max: 50_000, ..Limits::default() }
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
    samples: Samples,
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
    clusters: Vec<Arc<str>>,
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
        samples: Samples::new(limits.samples_max),
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
        if !is_known && self.is_full(&keys) {
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

    /// Tells whether one more request that counts for `keys` would be too many.
    fn is_full(&self, keys: &[CountKey]) -> bool {
        let new = keys.iter().filter(|key| !self.places.contains_key(key)).count();
        self.seen.len() >= self.limits.requests_max || self.groups.len() + new > self.limits.groups_max
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
            let group = &mut self.groups[place as usize];
            if !group.clusters.contains(&observation.cluster) {
                group.clusters.push(observation.cluster.clone());
            }
            self.samples.add(place, observation, &sample);
        }
    }

    fn place_of(&mut self, key: &CountKey) -> u32 {
        if let Some(place) = self.places.get(key) {
            return *place;
        }
        let place = u32::try_from(self.groups.len()).expect("so many groups do not fit into memory");
        self.groups.push(Group { key: key.clone(), clusters: Vec::new() });
        self.places.insert(key.clone(), place);
        place
    }

    fn set_of(&mut self, keys: &[CountKey]) -> u32 {
        let members: Box<[u32]> = keys.iter().map(|key| self.places[key]).collect();
        if let Some(set) = self.sets.get(&members) {
            return *set;
        }
        let set = u32::try_from(self.set_members.len()).expect("so many sets do not fit into memory");
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
        let samples = std::mem::replace(&mut self.samples, Samples::new(0));
        for (place, sample) in samples.into_samples() {
            let rows = minutes.get_mut(&sample.at.minute());
            if let Some(tally) = rows.and_then(|rows| rows.get_mut(&self.groups[place as usize].key)) {
                tally.evidence.add(sample, SAMPLES_MAX);
            }
        }
        minutes
    }
}

fn count(minutes: &mut BTreeMap<Minute, Rows>, group: &Group, at: Second, n: u32) {
    let rows = minutes.entry(at.minute()).or_default();
    let tally = rows.entry(group.key.clone()).or_insert_with(|| {
        let clusters = group.clusters.iter().map(|cluster| cluster.to_string()).collect();
        Tally { clusters, ..Tally::default() }
    });
    let second = u8::try_from(at.0.rem_euclid(60)).expect("a remainder of 60 fits in 8 bits");
    tally.add(second, n);
}
