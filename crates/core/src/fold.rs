//! The fold: a window is opened, takes observations in any order, and closes into one commit.
//!
//! `observe` keeps what matched and drops the rest, so memory follows matches and groups, not the size of the
//! window. What is already known of other windows and sources is asked for only at the end (see [`CloseInput`]).

mod close;
mod close_input;
mod finding_limit;
mod findings;
mod follow_ups;
mod group_index;
mod hashed;
mod merge;
mod row_limit;
mod samples;
mod sets;
mod values;
mod window_counts;

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use siphasher::sip::SipHasher13;

use crate::address::SourceIp;
use crate::code::Code;
use crate::evidence::SampleDraft;
use crate::follow_up::{FOLLOW_UP_SOURCES_MAX, FollowUp};
use crate::group::{CountKey, RuleKey};
use crate::hash::HashKey;
use crate::observation::Observation;
use crate::rule::{Level, Match, Matcher, Pass, Rules};
use crate::time::{Second, Window};

use hashed::ByHash;
use samples::Samples;
use sets::{Member, Sets};
use values::Values;

pub use close::{Closed, close_progress, keys_expiring};
pub use close_input::CloseInput;
pub use window_counts::WindowCounts;

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
    /// Findings that one commit opens; 2 KB of memory each, and as much again while they are written. The largest are opened,
    /// and the others are told as a sum.
    pub findings_max: usize,
    /// Findings that are stored, over all rules and a day: each commit reads them. Where there are as many, a commit opens
    /// `findings_always` more, so that a flood hides nothing that comes after it.
    pub findings_stored_max: usize,
    /// Findings that a commit may open however many are stored.
    pub findings_always: usize,
    /// Follow-ups that one commit owes.
    pub follow_ups_max: usize,
    /// Sources of one follow-up.
    pub follow_up_sources_max: usize,
    /// Around new findings of at least this level is looked; around none where there is no level.
    pub context_query_min: Option<Level>,
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
            findings_max: 5_000,
            findings_stored_max: 20_000,
            findings_always: 1_000,
            follow_ups_max: 10,
            follow_up_sources_max: FOLLOW_UP_SOURCES_MAX,
            context_query_min: None,
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
            findings_max: usize::MAX,
            findings_stored_max: usize::MAX,
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
    matcher: Matcher,
    window: Window,
    is_reread: bool,
    /// What is followed up; `None` where the window is read for all other rules and legs.
    follow_ups: Option<HashMap<(RuleKey, SourceIp), Vec<Window>>>,
    hash_key: HashKey,
    limits: Limits,
    counts: Counts,
    /// By identity, the place among the requests.
    seen: ByHash<u32>,
    requests: Vec<Seen>,
    groups: Vec<Group>,
    /// By the keyed hash of each group's key.
    places: ByHash<u32>,
    sets: Sets,
    samples: Samples,
    values: Values,
    beyond: row_limit::Largest,
    /// Room for what one request counts for.
    matches: Vec<Match>,
    members: Vec<Member>,
}

/// A matched request: when, how many, and the set of groups that it counts for.
#[derive(Clone, Copy)]
struct Seen {
    first: Second,
    last_after_seconds: u32,
    n: u32,
    set: u32,
    /// The minute in which it was received, as far as 32 bits reach.
    received: i32,
}

impl Seen {
    /// Joins another record of the same request.
    fn note_again(&mut self, first: Second, n: u32) {
        self.first = self.first.min(first);
        self.n = self.n.max(n);
    }
}

struct Group {
    key: CountKey,
    clusters: Vec<Arc<str>>,
}

/// Opens `window` for `rules`. `is_reread` marks what is found as late; `hash_key` chooses the evidence.
#[must_use]
pub fn open(rules: Arc<Rules>, window: Window, is_reread: bool, hash_key: HashKey, limits: Limits) -> Fold {
    Fold { is_reread, ..open_pass(rules, Pass::First, window, hash_key, limits) }
}

/// Opens `window` for what `follow_ups` say alone: the follow-up legs of their rules, and the requests of their sources.
#[must_use]
pub fn open_follow_ups(
    rules: Arc<Rules>,
    window: Window,
    follow_ups: Vec<FollowUp>,
    hash_key: HashKey,
    limits: Limits,
) -> Fold {
    let mut spans: HashMap<(RuleKey, SourceIp), Vec<Window>> = HashMap::new();
    for follow_up in follow_ups {
        for (source, windows) in follow_up.sources {
            spans.entry((follow_up.rule, source)).or_default().extend(windows);
        }
    }
    Fold { follow_ups: Some(spans), ..open_pass(rules, Pass::FollowUp, window, hash_key, limits) }
}

fn open_pass(rules: Arc<Rules>, pass: Pass, window: Window, hash_key: HashKey, limits: Limits) -> Fold {
    Fold {
        matcher: Matcher::new(&rules.rules, pass, hash_key),
        rules,
        window,
        is_reread: false,
        follow_ups: None,
        hash_key,
        limits,
        counts: Counts::default(),
        seen: ByHash::default(),
        requests: Vec::new(),
        groups: Vec::new(),
        places: ByHash::default(),
        sets: Sets::new(hash_key),
        samples: Samples::new(limits.samples_max),
        values: Values::new(limits.values_max),
        beyond: row_limit::Largest::default(),
        matches: Vec::new(),
        members: Vec::new(),
    }
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
        let mut matches = std::mem::take(&mut self.matches);
        self.match_all(observation, &mut matches);
        if !matches.is_empty() {
            self.count_matches(observation, &matches);
        }
        self.matches = matches;
    }

    fn count_matches(&mut self, observation: &Observation, matches: &[Match]) {
        let code = Code::of(observation.event.response_code);
        let identity = self.identity_of(observation, code, matches);
        let known = self.seen.get(&identity).copied();
        if known.is_none() && self.is_full(matches) {
            self.counts.beyond_limit += u64::from(observation.n);
            self.beyond.add(observation);
            return;
        }
        let received = received_minute(observation);
        self.sample(observation, matches, received);
        if let Some(place) = known {
            self.counts.duplicates += 1;
            self.requests[place as usize].note_again(observation.first, observation.n);
            return;
        }
        self.counts.matched += 1;
        let seen = Seen {
            first: observation.first,
            last_after_seconds: u32::try_from(observation.last.0.saturating_sub(observation.first.0))
                .unwrap_or(u32::MAX),
            n: observation.n.max(1),
            set: self.set_of(matches, code, received),
            received,
        };
        self.note(identity, seen);
    }

    fn note(&mut self, identity: u64, seen: Seen) {
        let place = u32::try_from(self.requests.len()).expect("so many requests do not fit into memory");
        self.seen.insert(identity, place);
        self.requests.push(seen);
    }

    /// Counts an observation of which it is known that no rule matches it.
    pub fn pass_over(&mut self) {
        self.counts.observed += 1;
    }

    /// Returns what was seen so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Tells whether one more request that counts for `matches` would be too many.
    fn is_full(&self, matches: &[Match]) -> bool {
        let new = matches.iter().filter(|one| !self.places.contains_key(&one.hash)).count();
        self.requests.len() >= self.limits.requests_max || self.groups.len() + new > self.limits.groups_max
    }

    fn match_all(&mut self, observation: &Observation, matches: &mut Vec<Match>) {
        self.counts.unattributed += u64::from(self.matcher.match_all(observation, matches));
        if let Some(follow_ups) = &self.follow_ups {
            matches.retain(|found| {
                let (rule, source) = self.matcher.source_of(found);
                source.is_some_and(|source| follow_ups.contains_key(&(rule, source)))
            });
        }
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

    /// Returns what makes an observation the same request as another: who it says to be, how it was answered, and what it
    /// counts for.
    fn identity_of(&self, observation: &Observation, code: Code, matches: &[Match]) -> u64 {
        let mut hasher = SipHasher13::new_with_key(&self.hash_key.0);
        (&observation.identity, code, matches.len()).hash(&mut hasher);
        for Match { hash, legs, source, text, .. } in matches {
            (hash, legs, source, text).hash(&mut hasher);
        }
        hasher.finish()
    }

    fn sample(&mut self, observation: &Observation, matches: &[Match], received: i32) {
        let sample = SampleDraft::of(observation, &self.hash_key);
        for found in matches {
            let place = self.place_of(found, observation);
            let group = &mut self.groups[place as usize];
            if !group.clusters.contains(&observation.cluster) {
                group.clusters.reserve_exact(1);
                group.clusters.push(observation.cluster.clone());
            }
            self.samples.add(place, received, &sample);
        }
    }

    fn place_of(&mut self, found: &Match, observation: &Observation) -> u32 {
        match self.places.get(&found.hash) {
            Some(place) => *place,
            None => {
                let key = self.matcher.key_of(found, observation);
                self.put(found.hash, Group { key, clusters: Vec::new() })
            }
        }
    }

    /// Returns the place of a group, with the clusters that it brings.
    fn place_of_group(&mut self, group: Group) -> u32 {
        let hash = self.matcher.hash_of(&group.key);
        if let Some(place) = self.places.get(&hash) {
            let known = &mut self.groups[*place as usize].clusters;
            let more = group.clusters.into_iter().filter(|cluster| !known.contains(cluster));
            known.extend(more.collect::<Vec<_>>());
            return *place;
        }
        self.put(hash, group)
    }

    fn put(&mut self, hash: u64, group: Group) -> u32 {
        let place = u32::try_from(self.groups.len()).expect("so many groups do not fit into memory");
        self.places.insert(hash, place);
        self.groups.push(group);
        place
    }

    fn set_of(&mut self, matches: &[Match], code: Code, received: i32) -> u32 {
        self.members.clear();
        for Match { hash, legs, source, text, .. } in matches {
            let place = self.places[hash];
            let (source, text) = self.values.note(place, *source, *text, received);
            self.members.push(Member { place, legs: *legs, code, source, text });
        }
        self.sets.number_of(&self.members)
    }
}

/// Returns the minute in which a request was received. It is the event's own: copies of a record may bring other times,
/// but not another one of it.
fn received_minute(observation: &Observation) -> i32 {
    let received = observation.event.received_time_ms().map_or(observation.first, Second::of_millis);
    i32::try_from(received.minute().0).unwrap_or(i32::MAX)
}
