//! The fold: a window is opened, takes observations in any order, and closes into one commit.
//!
//! `observe` keeps what matched and drops the rest, so memory follows matches and groups, not the size of the
//! window. What is already known of other windows and sources is asked for only at the end (see [`Carried`]).

mod book;
mod cap;
mod carried;
mod close;
mod findings;
mod follow_ups;
mod merge;
mod samples;
mod values;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use siphasher::sip::SipHasher13;

use crate::address::SourceIp;
use crate::code::Code;
use crate::distinct::TextHash;
use crate::evidence::{SAMPLES_MAX, SampleDraft, SampleKey};
use crate::finding::Finding;
use crate::observation::Observation;
use crate::progress::{FOLLOW_UP_SOURCES_MAX, FollowUp};
use crate::rule::{Match, Pass, Rules};
use crate::tally::{CountKey, Legs, Rows, RuleKey, StoredMinute, Tally};
use crate::time::{Minute, Second, Window};

use samples::Samples;
use values::Values;

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
    /// Distinct values, over all groups and minutes; about 300 bytes of memory each.
    pub values_max: usize,
    /// Rows (rule, group, minute) in an hour of record time that are stored.
    pub rows_max: usize,
    /// Follow-ups that one commit owes.
    pub follow_ups_max: usize,
    /// Sources of one follow-up.
    pub follow_up_sources_max: usize,
}

impl Default for Limits {
    /// Returns the limits of the daemon.
    fn default() -> Limits {
        Limits {
            requests_max: 1_000_000,
            groups_max: 200_000,
            samples_max: 20_000,
            values_max: 200_000,
            rows_max: 100_000,
            follow_ups_max: 10,
            follow_up_sources_max: FOLLOW_UP_SOURCES_MAX,
        }
    }
}

impl Limits {
    /// Returns the limits of a replay, whose one window may hold months: only rows, their values and samples are bounded, and
    /// nobody's filter need take what is followed up.
    #[must_use]
    pub fn of_replay() -> Limits {
        Limits {
            requests_max: usize::MAX,
            groups_max: usize::MAX,
            values_max: usize::MAX,
            follow_up_sources_max: usize::MAX,
            ..Limits::default()
        }
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
    /// What is followed up; `None` where the window is read for all other rules and legs.
    follow_ups: Option<HashMap<(RuleKey, SourceIp), Vec<Window>>>,
    sample_key: SampleKey,
    limits: Limits,
    counts: Counts,
    seen: HashMap<u64, Seen>,
    groups: Vec<Group>,
    places: HashMap<CountKey, u32>,
    sets: HashMap<Arc<[Member]>, u32>,
    set_members: Vec<Arc<[Member]>>,
    samples: Samples,
    values: Values,
    beyond: cap::Largest,
}

/// A matched request: when, how many, and the set of groups that it counts for.
struct Seen {
    first: Second,
    last_after_seconds: u32,
    n: u32,
    set: u32,
    /// The minute in which it was received, as far as 32 bits reach.
    received: i32,
}

/// What a request counts for: a group, and what of it counts there.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Member {
    place: u32,
    legs: Legs,
    code: Code,
    source: Option<SourceIp>,
    text: Option<TextHash>,
    /// Whether its source is not kept, because there are too many.
    is_source_cut: bool,
    /// Whether its value is not kept, because there are too many.
    is_text_cut: bool,
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
        follow_ups: None,
        sample_key,
        limits,
        counts: Counts::default(),
        seen: HashMap::new(),
        groups: Vec::new(),
        places: HashMap::new(),
        sets: HashMap::new(),
        set_members: Vec::new(),
        samples: Samples::new(limits.samples_max),
        values: Values::new(limits.values_max),
        beyond: cap::Largest::default(),
    }
}

/// Opens `window` for what `follow_ups` say alone: the follow-up legs of their rules, and the requests of their sources.
#[must_use]
pub fn open_follow_ups(
    rules: Arc<Rules>,
    window: Window,
    follow_ups: Vec<FollowUp>,
    sample_key: SampleKey,
    limits: Limits,
) -> Fold {
    let mut spans: HashMap<(RuleKey, SourceIp), Vec<Window>> = HashMap::new();
    for follow_up in follow_ups {
        for (source, windows) in follow_up.sources {
            spans.entry((follow_up.rule, source)).or_default().extend(windows);
        }
    }
    Fold { follow_ups: Some(spans), ..open(rules, window, false, sample_key, limits) }
}

impl Fold {
    /// Counts one observation. A request that was seen already in this read counts once, at its earliest time; one
    /// that claims the same identity but was answered otherwise, or counts for other groups or values, is another request.
    pub fn observe(&mut self, observation: &Observation) {
        self.counts.observed += 1;
        if !self.window.contains(observation.first) {
            self.counts.outside += 1;
            return;
        }
        let matches = self.matches_of(observation);
        if matches.is_empty() {
            return;
        }
        let code = Code::of(observation.event.response_code);
        let identity = self.hash(&(&observation.identity, code, &matches));
        let is_known = self.seen.contains_key(&identity);
        if !is_known && self.is_full(&matches) {
            self.counts.beyond_limit += u64::from(observation.n);
            self.beyond.add(observation);
            return;
        }
        let received = received_minute(observation);
        self.sample(observation, &matches, received);
        if is_known {
            self.counts.duplicates += 1;
            self.note_again(identity, observation);
            return;
        }
        self.counts.matched += 1;
        let seen = Seen {
            first: observation.first,
            last_after_seconds: u32::try_from(observation.last.0.saturating_sub(observation.first.0))
                .unwrap_or(u32::MAX),
            n: observation.n.max(1),
            set: self.set_of(&matches, code, received),
            received,
        };
        self.seen.insert(identity, seen);
    }

    /// Counts an observation of which it is known that no rule matches it.
    pub fn pass_over(&mut self) {
        self.counts.observed += 1;
    }

    fn note_again(&mut self, identity: u64, observation: &Observation) {
        if let Some(known) = self.seen.get_mut(&identity) {
            known.first = known.first.min(observation.first);
            known.n = known.n.max(observation.n);
        }
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

    /// Tells whether one more request that counts for `matches` would be too many.
    fn is_full(&self, matches: &[(CountKey, Match)]) -> bool {
        let new = matches.iter().filter(|(key, _)| !self.places.contains_key(key)).count();
        self.seen.len() >= self.limits.requests_max || self.groups.len() + new > self.limits.groups_max
    }

    fn matches_of(&mut self, observation: &Observation) -> Vec<(CountKey, Match)> {
        let mut all = Vec::new();
        let mut is_unattributed = false;
        let pass = if self.follow_ups.is_some() { Pass::FollowUp } else { Pass::First };
        for rule in &self.rules.rules {
            let mut matches = rule.matches_of(observation, pass, &self.sample_key);
            is_unattributed |= matches.is_empty() && rule.lacks_address(observation, pass);
            if let Some(follow_ups) = &self.follow_ups {
                let follows = |source| follow_ups.contains_key(&(rule.key, source));
                matches.retain(|found| found.group.source_ip().is_some_and(follows));
            }
            all.extend(matches.into_iter().map(|found| {
                let key = CountKey { rule: rule.key, group: found.group.clone() };
                (key, found)
            }));
        }
        self.counts.unattributed += u64::from(is_unattributed);
        all
    }

    /// Tells whether a request at `at` lies in a span that is followed up, or nothing is. Of several records of a request
    /// the earliest counts, so it cannot be told before all were seen.
    fn is_followed(&self, key: &CountKey, at: Second) -> bool {
        let Some(follow_ups) = &self.follow_ups else {
            return true;
        };
        let spans = key.group.source_ip().and_then(|source| follow_ups.get(&(key.rule, source)));
        spans.is_some_and(|spans| spans.iter().any(|span| span.contains(at)))
    }

    fn hash(&self, identity: &impl Hash) -> u64 {
        let mut hasher = SipHasher13::new_with_key(&self.sample_key.0);
        identity.hash(&mut hasher);
        hasher.finish()
    }

    fn sample(&mut self, observation: &Observation, matches: &[(CountKey, Match)], received: i32) {
        let sample = SampleDraft::of(observation, &self.sample_key);
        for (key, _) in matches {
            let place = self.place_of(key);
            let group = &mut self.groups[place as usize];
            if !group.clusters.contains(&observation.cluster) {
                group.clusters.push(observation.cluster.clone());
            }
            self.samples.add(place, received, &sample);
        }
    }

    fn place_of(&mut self, key: &CountKey) -> u32 {
        match self.places.get(key) {
            Some(place) => *place,
            None => self.place_of_group(Group { key: key.clone(), clusters: Vec::new() }),
        }
    }

    /// Returns the place of a group, with the clusters that it brings.
    fn place_of_group(&mut self, group: Group) -> u32 {
        if let Some(place) = self.places.get(&group.key) {
            let known = &mut self.groups[*place as usize].clusters;
            let more = group.clusters.into_iter().filter(|cluster| !known.contains(cluster));
            known.extend(more.collect::<Vec<_>>());
            return *place;
        }
        let place = u32::try_from(self.groups.len()).expect("so many groups do not fit into memory");
        self.places.insert(group.key.clone(), place);
        self.groups.push(group);
        place
    }

    fn set_of(&mut self, matches: &[(CountKey, Match)], code: Code, received: i32) -> u32 {
        let member = |(key, found): &(CountKey, Match)| {
            let mut member = Member {
                place: self.places[key],
                legs: found.legs,
                code,
                source: found.source,
                text: found.text,
                is_source_cut: false,
                is_text_cut: false,
            };
            self.values.note(&mut member, received);
            member
        };
        let members: Vec<Member> = matches.iter().map(member).collect();
        self.set_at(&members)
    }

    fn set_at(&mut self, members: &[Member]) -> u32 {
        if let Some(set) = self.sets.get(members) {
            return *set;
        }
        let members: Arc<[Member]> = members.into();
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
            let members = &self.set_members[seen.set as usize];
            for (number, member) in members.iter().enumerate() {
                // A request counts once for a group, whoever sent it.
                let n = if members[..number].iter().any(|other| other.place == member.place) { 0 } else { seen.n };
                let group = &self.groups[member.place as usize];
                if !self.is_followed(&group.key, seen.first) {
                    continue;
                }
                let mut count = |at, n| {
                    let tally = tally_at(&mut minutes, group, at);
                    let second = u8::try_from(at.0.rem_euclid(60)).expect("a remainder of 60 fits in 8 bits");
                    if n > 0 {
                        tally.add(second, member.legs, member.code, n);
                    }
                    self.values.mark(tally, member, seen.received, second);
                };
                if last != seen.first && seen.n > 1 && self.window.contains(last) {
                    count(seen.first, n.saturating_sub(1));
                    count(last, n.min(1));
                } else {
                    count(seen.first, n);
                }
            }
        }
        let samples = std::mem::replace(&mut self.samples, Samples::new(0));
        if samples.is_halved() {
            minutes.values_mut().flat_map(Rows::values_mut).for_each(|tally| tally.evidence.note_more());
        }
        for (place, sample, is_cut) in samples.into_samples() {
            let rows = minutes.get_mut(&sample.at.minute());
            if let Some(tally) = rows.and_then(|rows| rows.get_mut(&self.groups[place as usize].key)) {
                tally.evidence.add(sample, SAMPLES_MAX);
                if is_cut {
                    tally.evidence.note_more();
                }
            }
        }
        minutes
    }
}

/// Returns the minute in which a request was received. It is the event's own: copies of a record may bring other times,
/// but not another one of it.
fn received_minute(observation: &Observation) -> i32 {
    let received = observation.event.received_time_ms().map_or(observation.first, Second::of_millis);
    i32::try_from(received.minute().0).unwrap_or(i32::MAX)
}

fn tally_at<'m>(minutes: &'m mut BTreeMap<Minute, Rows>, group: &Group, at: Second) -> &'m mut Tally {
    let rows = minutes.entry(at.minute()).or_default();
    rows.entry(group.key.clone()).or_insert_with(|| {
        let clusters = group.clusters.iter().map(|cluster| cluster.to_string()).collect();
        Tally { clusters, ..Tally::default() }
    })
}
