//! The fold: a window is opened, takes observations in any order, and closes into one commit.
//!
//! `observe` keeps what matched and drops the rest, so memory follows matches and groups, not the size of the
//! window. Stored state of other windows and logs is needed only at the end (see [`CloseInput`]).

mod close;
mod close_input;
mod log_change;
mod finding_limit;
mod findings;
mod follow_ups;
mod group_index;
mod group_sizes;
mod hashed;
mod memberships;
mod merge;
mod row_limit;
mod samples;
mod values;
mod window_counts;

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use siphasher::sip::SipHasher13;

use crate::address::SourceIp;
use crate::evidence::SampleDraft;
use crate::follow_up::{FOLLOW_UP_SOURCES_MAX, FollowUp};
use crate::group::{CountKey, RuleKey};
use crate::hash::HashKey;
use crate::observation::Observation;
use crate::proxy_watch::ProxyWatch;
use crate::response_code::ResponseCode;
use crate::rule::{Level, Match, Matcher, Pass, Rules};
use crate::time::{Second, Window};

use group_sizes::GroupSizes;
use hashed::ByHash;
use memberships::{Membership, Memberships};
use samples::WindowSamples;
use values::WindowValues;

pub use close::{Closed, ClosedLog, close, keys_needed, spans_needed};
pub use close_input::{CloseInput, Stored};
pub use group_sizes::LargestGroups;
pub use log_change::{JoinedChange, LogChange};
pub use window_counts::WindowCounts;

/// What a window may hold. Whatever exceeds a limit is reported as a sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Distinct matched requests; about 50 bytes of memory each.
    pub requests_max: usize,
    /// Groups, over all rules; about 500 bytes of memory each. A window with more is read twice: the second time, the largest
    /// of each rule are counted.
    pub groups_max: usize,
    /// Samples, over all groups; about 700 bytes of memory each.
    pub samples_max: usize,
    /// Distinct values, over all groups and minutes; about 300 bytes of memory each.
    pub values_max: usize,
    /// Rows (rule, group, minute) in an hour of record time that are stored.
    pub rows_max: usize,
    /// Findings that one commit opens; 2 KB of memory each, and as much again while they are written. The largest are
    /// opened, and the others are reported as a sum.
    pub findings_max: usize,
    /// Findings that are stored outside of the archive: those that are open or within reach of a late event. The last tenth
    /// is reserved for level medium and above, and half of that for high.
    pub findings_stored_max: usize,
    /// Rows of all hours that are stored, with room reserved in the same way.
    pub rows_stored_max: usize,
    /// Pending entries and notices of each destination, with room reserved in the same way.
    pub pending_max: usize,
    /// Follow-ups that one commit adds.
    pub follow_ups_max: usize,
    /// Sources of one follow-up.
    pub follow_up_sources_max: usize,
    /// Minimum level of a new finding for which a context query runs; `None` runs none.
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
            findings_stored_max: 200_000,
            rows_stored_max: 4_000_000,
            pending_max: 20_000,
            follow_ups_max: 17,
            follow_up_sources_max: FOLLOW_UP_SOURCES_MAX,
            context_query_min: None,
        }
    }
}

impl Limits {
    /// Returns the limits of a replay, whose one window may hold months: only rows, their values and samples are bounded.
    /// A follow-up may have any number of sources, because no provider's filter has to hold them.
    #[must_use]
    pub fn of_replay() -> Limits {
        Limits {
            requests_max: usize::MAX,
            groups_max: usize::MAX,
            values_max: usize::MAX,
            findings_max: usize::MAX,
            findings_stored_max: usize::MAX,
            rows_stored_max: usize::MAX,
            follow_up_sources_max: usize::MAX,
            ..Limits::default()
        }
    }
}

/// How many requests a fold has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FoldCounts {
    /// Observations.
    pub observed: u64,
    /// Observations that some rule counted.
    pub matched: u64,
    /// Observations of a request that this read had already counted.
    pub duplicates: u64,
    /// Observations outside of the window.
    pub outside: u64,
    /// Observations that fit a rule but have no address to be counted for.
    pub unattributed: u64,
    /// Matched requests over the limit, which are reported only as a sum.
    pub over_limit: u64,
}

/// An open window that counts observations.
pub struct Fold {
    rules: Arc<Rules>,
    matcher: Matcher,
    window: Window,
    is_reread: bool,
    /// The spans of each rule and source that are followed up; `None` in the first pass.
    follow_ups: Option<HashMap<(RuleKey, SourceIp), Vec<Window>>>,
    /// The groups that are counted; `None` in a first read, which counts all that fit.
    largest: Option<Arc<LargestGroups>>,
    /// The sizes of all groups, once there are too many. Then nothing else is counted.
    sizes: Option<GroupSizes>,
    hash_key: HashKey,
    limits: Limits,
    counts: FoldCounts,
    /// The index of each request by its identity.
    request_by_identity: ByHash<u32>,
    requests: Vec<MatchedRequest>,
    groups: Vec<Group>,
    /// The index of each group by the keyed hash of its key.
    group_by_hash: ByHash<u32>,
    memberships: Memberships,
    samples: WindowSamples,
    values: WindowValues,
    /// The sources of requests over the limits.
    overflow: row_limit::LargestSources,
    proxies: ProxyWatch,
    /// Reused for each request.
    matches: Vec<Match>,
    /// Reused for each request.
    request_memberships: Vec<Membership>,
}

/// A matched request: when it came, how many it stands for, and its set of memberships.
#[derive(Clone, Copy)]
struct MatchedRequest {
    first: Second,
    last_after_seconds: u32,
    n: u32,
    membership_set: u32,
    /// The minute in which the API server received it, as far as 32 bits reach.
    received: i32,
}

impl MatchedRequest {
    /// Joins another record of the same request.
    fn join(&mut self, first: Second, n: u32) {
        self.first = self.first.min(first);
        self.n = self.n.max(n);
    }
}

struct Group {
    key: CountKey,
    clusters: Vec<Arc<str>>,
}

/// Opens `window` for `rules`. `is_reread` marks new matches as late; `hash_key` chooses the samples.
#[must_use]
pub fn open(rules: Arc<Rules>, window: Window, is_reread: bool, hash_key: HashKey, limits: Limits) -> Fold {
    Fold { is_reread, ..open_pass(rules, Pass::First, window, hash_key, limits) }
}

/// Opens `window` for its second read, which counts only the `largest` groups: see [`WindowCounts::largest_groups`].
#[must_use]
pub fn open_largest(
    rules: Arc<Rules>,
    window: Window,
    is_reread: bool,
    largest: Arc<LargestGroups>,
    hash_key: HashKey,
    limits: Limits,
) -> Fold {
    Fold { largest: Some(largest), ..open(rules, window, is_reread, hash_key, limits) }
}

/// Opens `window` for `follow_ups` only: the follow-up rules of their correlations, and the requests of their sources.
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
        largest: None,
        sizes: None,
        hash_key,
        limits,
        counts: FoldCounts::default(),
        request_by_identity: ByHash::default(),
        requests: Vec::new(),
        groups: Vec::new(),
        group_by_hash: ByHash::default(),
        memberships: Memberships::new(hash_key),
        samples: WindowSamples::new(limits.samples_max),
        values: WindowValues::new(limits.values_max),
        overflow: row_limit::LargestSources::default(),
        proxies: ProxyWatch::default(),
        matches: Vec::new(),
        request_memberships: Vec::new(),
    }
}

impl Fold {
    /// Counts one observation. A request counts once per read, at its earliest time. An observation with the same identity
    /// but another answer, other groups or other values is another request.
    pub fn observe(&mut self, observation: &Observation) {
        self.counts.observed += 1;
        if !self.window.contains(observation.first) {
            self.counts.outside += 1;
            return;
        }
        self.proxies.observe(observation);
        let mut matches = std::mem::take(&mut self.matches);
        self.match_all(observation, &mut matches);
        if !matches.is_empty() {
            self.count_matches(observation, &matches);
        }
        self.matches = matches;
    }

    fn count_matches(&mut self, observation: &Observation, matches: &[Match]) {
        let code = ResponseCode::of(observation.event.response_code);
        let identity = self.identity_of(observation, code, matches);
        let known = self.request_by_identity.get(&identity).copied();
        let has_many_groups = self.sizes.is_some() || known.is_none() && self.has_too_many_groups(matches);
        if has_many_groups && self.is_first_read() {
            self.note_sizes(identity, observation.n.max(1), matches);
            return;
        }
        if known.is_none() && (has_many_groups || self.requests.len() >= self.limits.requests_max) {
            self.sum_up(observation);
            return;
        }
        let received = received_minute(observation);
        self.sample(observation, matches, received);
        if let Some(index) = known {
            self.counts.duplicates += 1;
            self.requests[index as usize].join(observation.first, observation.n);
            return;
        }
        self.counts.matched += 1;
        let request = MatchedRequest {
            first: observation.first,
            last_after_seconds: u32::try_from(observation.last.0.saturating_sub(observation.first.0))
                .unwrap_or(u32::MAX),
            n: observation.n.max(1),
            membership_set: self.membership_set_of(matches, code, received),
            received,
        };
        self.add_request(identity, request);
    }

    fn add_request(&mut self, identity: u64, request: MatchedRequest) {
        let index = u32::try_from(self.requests.len()).expect("so many requests do not fit into memory");
        self.request_by_identity.insert(identity, index);
        self.requests.push(request);
    }

    /// Counts an observation that a filter already ruled out for every rule.
    pub fn pass_over(&mut self) {
        self.counts.observed += 1;
    }

    /// Returns the counts so far.
    #[must_use]
    pub fn counts(&self) -> FoldCounts {
        self.counts
    }

    /// Reports a request only in the sum of those over a limit.
    fn sum_up(&mut self, observation: &Observation) {
        self.counts.over_limit += u64::from(observation.n);
        self.overflow.add(observation);
    }

    /// Returns whether the window can be read once more.
    fn is_first_read(&self) -> bool {
        self.largest.is_none() && self.follow_ups.is_none()
    }

    /// Returns whether one more request with `matches` would make more groups than there may be.
    fn has_too_many_groups(&self, matches: &[Match]) -> bool {
        let new = matches.iter().filter(|one| !self.group_by_hash.contains_key(&one.hash)).count();
        self.groups.len() + new > self.limits.groups_max
    }

    /// Adds a request to the sizes of its groups. From the first one on, nothing else is counted: the second read does it.
    fn note_sizes(&mut self, identity: u64, n: u32, matches: &[Match]) {
        if self.sizes.is_none() {
            self.sizes = Some(self.sizes_so_far());
            self.forget_requests();
        }
        let Some(sizes) = &mut self.sizes else { return };
        // A request over the limit may be noted twice.
        if !sizes.is_new(identity, self.limits.requests_max) {
            return;
        }
        // Several values of a request may count for one group, one after another.
        let mut before = None;
        for found in matches {
            if before.replace(found.hash) != Some(found.hash) {
                sizes.add(self.matcher.source_of(found).0, found.hash, n);
            }
        }
    }

    /// Returns the sizes of all groups so far.
    fn sizes_so_far(&self) -> GroupSizes {
        let mut hashes = vec![0; self.groups.len()];
        self.group_by_hash.iter().for_each(|(hash, group)| hashes[*group as usize] = *hash);
        let mut sizes = GroupSizes::new(&self.rules, self.request_by_identity.keys().copied());
        for request in &self.requests {
            let memberships = self.memberships.of_set(request.membership_set);
            for (index, membership) in memberships.iter().enumerate() {
                let group = membership.group as usize;
                // Several values of a request may count for one group.
                if memberships[..index].iter().all(|other| other.group != membership.group) {
                    sizes.add(self.groups[group].key.rule, hashes[group], request.n);
                }
            }
        }
        sizes
    }

    /// Frees the memory of all requests and groups.
    fn forget_requests(&mut self) {
        self.request_by_identity = ByHash::default();
        self.requests = Vec::new();
        self.groups = Vec::new();
        self.group_by_hash = ByHash::default();
        self.memberships = Memberships::new(self.hash_key);
        self.samples = WindowSamples::new(self.limits.samples_max);
        self.values = WindowValues::new(self.limits.values_max);
    }

    fn match_all(&mut self, observation: &Observation, matches: &mut Vec<Match>) {
        self.counts.unattributed += u64::from(self.matcher.match_all(observation, matches));
        if let Some(largest) = &self.largest {
            let all = matches.len();
            matches.retain(|found| largest.contains(self.matcher.source_of(found).0, found.hash));
            if matches.len() < all {
                self.sum_up(observation);
            }
        }
        if let Some(follow_ups) = &self.follow_ups {
            matches.retain(|found| {
                let (rule, source) = self.matcher.source_of(found);
                source.is_some_and(|source| follow_ups.contains_key(&(rule, source)))
            });
        }
    }

    /// Returns whether a request at `at` is in a span that is followed up, or the fold follows up nothing. Of several records of
    /// a request the earliest counts, so this is known only after the last record.
    fn is_followed(&self, key: &CountKey, at: Second) -> bool {
        let Some(follow_ups) = &self.follow_ups else {
            return true;
        };
        let spans = key.group.source_ip().and_then(|source| follow_ups.get(&(key.rule, source)));
        spans.is_some_and(|spans| spans.iter().any(|span| span.contains(at)))
    }

    /// Returns the hash that makes an observation the same request as another: its identity, its answer, and its matches.
    fn identity_of(&self, observation: &Observation, code: ResponseCode, matches: &[Match]) -> u64 {
        let mut hasher = SipHasher13::new_with_key(&self.hash_key.0);
        (&observation.identity, code, matches.len()).hash(&mut hasher);
        for Match { hash, referenced, source, text, .. } in matches {
            (hash, referenced, source, text).hash(&mut hasher);
        }
        hasher.finish()
    }

    fn sample(&mut self, observation: &Observation, matches: &[Match], received: i32) {
        let sample = SampleDraft::of(observation, &self.hash_key);
        for found in matches {
            let group_index = self.group_of(found, observation);
            let group = &mut self.groups[group_index as usize];
            if !group.clusters.contains(&observation.cluster) {
                group.clusters.reserve_exact(1);
                group.clusters.push(observation.cluster.clone());
            }
            self.samples.add(group_index, received, &sample);
        }
    }

    fn group_of(&mut self, found: &Match, observation: &Observation) -> u32 {
        match self.group_by_hash.get(&found.hash) {
            Some(index) => *index,
            None => {
                let key = self.matcher.key_of(found, observation);
                self.add_group(found.hash, Group { key, clusters: Vec::new() })
            }
        }
    }

    /// Returns the index of a group, to which the clusters of `group` are added.
    fn merge_group(&mut self, group: Group) -> u32 {
        let hash = self.matcher.hash_of(&group.key);
        if let Some(index) = self.group_by_hash.get(&hash) {
            let known = &mut self.groups[*index as usize].clusters;
            let more = group.clusters.into_iter().filter(|cluster| !known.contains(cluster));
            known.extend(more.collect::<Vec<_>>());
            return *index;
        }
        self.add_group(hash, group)
    }

    fn add_group(&mut self, hash: u64, group: Group) -> u32 {
        let index = u32::try_from(self.groups.len()).expect("so many groups do not fit into memory");
        self.group_by_hash.insert(hash, index);
        self.groups.push(group);
        index
    }

    fn membership_set_of(&mut self, matches: &[Match], code: ResponseCode, received: i32) -> u32 {
        self.request_memberships.clear();
        for Match { hash, referenced, source, text, .. } in matches {
            let group = self.group_by_hash[hash];
            let (source, text) = self.values.add(group, *source, *text, received);
            self.request_memberships.push(Membership { group, referenced: *referenced, code, source, text });
        }
        self.memberships.number_of(&self.request_memberships)
    }
}

/// Returns the minute in which the API server received a request. The event itself has it, so all copies of a record
/// agree on it.
fn received_minute(observation: &Observation) -> i32 {
    let received = observation.event.received_time_ms().map_or(observation.first, Second::of_millis);
    i32::try_from(received.minute().0).unwrap_or(i32::MAX)
}
