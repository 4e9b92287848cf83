//! The fold: a window is opened, takes observations in any order, and closes into one commit.
//!
//! `observe` keeps what matched and drops the rest, so memory follows matches and groups, not the size of the
//! window. Stored state of other windows and logs is needed only at the end (see [`CloseInput`]).

mod close;
mod close_input;
mod deliveries;
mod log_change;
mod finding_limit;
mod incidents;
mod findings;
mod follow_ups;
mod group_index;
mod group_sizes;
mod groups;
mod hashed;
mod memberships;
mod merge;
mod row_limit;
mod samples;
mod sources;
mod window_counts;

use std::cmp::Ordering;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use siphasher::sip::SipHasher13;

use crate::address::SourceIp;
use crate::distinct::DistinctKind;
use crate::evidence::SampleDraft;
use crate::follow_up::{FOLLOW_UP_SOURCES_MAX, FollowUp};
use crate::group::RuleKey;
use crate::hash::{HashKey, TextHash};
use crate::observation::Observation;
use crate::proxy_watch::ProxyWatch;
use crate::response_code::ResponseCode;
use crate::rule::{Level, Match, Matcher, Pass, Rules};
use crate::time::{Second, Window};

use group_sizes::GroupSizes;
use groups::Group;
use hashed::{ByHash, ByNumber};
use memberships::{CountedText, Membership, Memberships};
use samples::{SampleKey, WindowSamples};
use sources::{Sender, Sources};

pub use close::{Closed, ClosedLog, Decided, close, decide, keys_needed, spans_needed};
pub use close_input::{CloseInput, Stored};
pub use group_sizes::LargestGroups;
pub use incidents::IncidentInput;
pub use log_change::{JoinedChange, LogChange};
pub use window_counts::WindowCounts;

/// What a window may hold. Whatever exceeds a limit is reported as a sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Distinct matched requests; about 60 bytes of memory each.
    pub requests_max: usize,
    /// Groups, over all rules. Of more, the largest of each rule are counted.
    pub groups_max: usize,
    /// Samples, over all groups; about 700 bytes of memory each.
    pub samples_max: usize,
    /// Distinct sets of what requests count for, whoever sent them; about 300 bytes of memory each. From half of them on, new
    /// sets leave out the values that rules count; from an eighth on, those of a sender with very many in a minute. A window
    /// with more is read twice: the second time, only the largest groups of each rule take part.
    pub values_max: usize,
    /// Rows (rule, group, minute) in an hour of record time that are stored.
    pub rows_max: usize,
    /// Rows that one commit writes. A window with more is committed in parts: the state engine keeps in memory all that one
    /// commit touches.
    pub commit_rows_max: usize,
    /// Findings that a window opens; 2 KB of memory each, and as much again while they are written. The largest are opened,
    /// of each part where the window is committed in parts, and the others are reported as a sum.
    pub findings_max: usize,
    /// Findings that are stored outside of the archive: those that are open or within reach of a late event. The last tenth
    /// is reserved for level medium and above, and half of that for high.
    pub findings_stored_max: usize,
    /// Rows of all hours that are stored, with room reserved in the same way.
    pub rows_stored_max: usize,
    /// Pending entries and notices of each destination, with room reserved in the same way.
    pub pending_max: usize,
    /// Follow-ups that a window adds.
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
            commit_rows_max: 10_000,
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

/// Most kinds of requests of which a fold remembers what they count for. At this number all are forgotten: a client that
/// changes its requests each time makes every one of them useless.
const KINDS_MAX: usize = 4096;

/// Most sets with counted values that a sender adds in a minute once they become many: twice as many as a row has values. So
/// one that asks for ever new paths leaves room for the values of others.
const SETS_PER_MINUTE_MAX: usize = 2 * TextHash::VALUES_MAX;

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
    /// The groups that are counted; `None` in a first read, which counts all.
    largest: Option<Arc<LargestGroups>>,
    /// The sizes of all groups, once there are too many sets of memberships. Then nothing else is counted.
    sizes: Option<GroupSizes>,
    hash_key: HashKey,
    limits: Limits,
    counts: FoldCounts,
    /// The index of each request by its identity.
    request_by_identity: ByHash<u32>,
    requests: Vec<MatchedRequest>,
    sources: Sources,
    memberships: Memberships,
    /// By sender and minute: how many sets with values it has added.
    sets_added: ByNumber<(Option<u64>, i32), usize>,
    /// What requests count for, by the keyed hash of all that decides it. Without follow-ups and limits, the sender does not.
    kinds: ByHash<Kind>,
    samples: WindowSamples,
    /// The sources of requests over the limits.
    overflow: row_limit::LargestSources,
    proxies: ProxyWatch,
    /// Reused for each request.
    matches: Vec<Match>,
    /// Reused for each request.
    buffer: Vec<u8>,
}

/// What requests count for that differ in nothing that the rules read.
#[derive(Clone, Copy)]
struct Kind {
    /// The number of the set of memberships, and the hash that it has before values over the limit are left out; `None` where
    /// the requests count for nothing.
    set: Option<(u32, u64)>,
    is_unattributed: bool,
}

/// A matched request: when it came, how many it stands for, who sent it, and its set of memberships.
#[derive(Clone, Copy)]
struct MatchedRequest {
    first: Second,
    last_after_seconds: u32,
    n: u32,
    set: u32,
    source: Sender,
}

impl MatchedRequest {
    /// Joins another record of the same request.
    fn join(&mut self, first: Second, n: u32) {
        self.first = self.first.min(first);
        self.n = self.n.max(n);
    }

    /// Returns the sender that one of its memberships means.
    fn sender(&self, sender: Sender) -> Sender {
        if sender == Sender::OWN { self.source } else { sender }
    }
}

/// Opens `window` for `rules`. `is_reread` marks new matches as late; `hash_key` chooses the samples.
#[must_use]
pub fn open(rules: Arc<Rules>, window: Window, is_reread: bool, hash_key: HashKey, limits: Limits) -> Fold {
    Fold { is_reread, ..open_pass(rules, Pass::First, window, hash_key, limits) }
}

/// Opens `window` for its second read, in which only the `largest` groups take part: see [`WindowCounts::largest_groups`].
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
        sources: Sources::default(),
        memberships: Memberships::default(),
        sets_added: ByNumber::default(),
        kinds: ByHash::default(),
        samples: WindowSamples::new(limits.samples_max),
        overflow: row_limit::LargestSources::default(),
        proxies: ProxyWatch::default(),
        matches: Vec::new(),
        buffer: Vec::new(),
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
        if self.sizes.is_some() {
            self.counts.unattributed += u64::from(self.match_all(observation));
            self.note_sizes(observation);
            return;
        }
        let Some(Kind { set, is_unattributed }) = self.kind_of(observation) else { return };
        self.counts.unattributed += u64::from(is_unattributed);
        if let Some((set, hash)) = set {
            self.count_request(observation, set, hash);
        }
    }

    /// Returns what a request counts for, or `None` where it is noted otherwise, because there are too many sets.
    fn kind_of(&mut self, observation: &Observation) -> Option<Kind> {
        // Which groups a follow-up or a second read counts depends on the sender.
        let is_remembered = self.is_first_read();
        let mut read = 0;
        if is_remembered {
            self.buffer.clear();
            self.matcher.write_read(observation, &mut self.buffer);
            read = SipHasher13::new_with_key(&self.hash_key.0).hash(&self.buffer);
            if let Some(kind) = self.kinds.get(&read) {
                return Some(*kind);
            }
        }
        let is_unattributed = self.match_all(observation);
        let mut kind = Kind { set: None, is_unattributed };
        if !self.matches.is_empty() {
            let Some(set) = self.set_of_matches(observation) else {
                self.counts.unattributed += u64::from(is_unattributed);
                self.exceed_sets(observation);
                return None;
            };
            kind.set = Some(set);
        }
        if is_remembered {
            if self.kinds.len() >= KINDS_MAX {
                self.kinds.clear();
            }
            self.kinds.insert(read, kind);
        }
        Some(kind)
    }

    /// Counts a request for its set of memberships, whose `hash` is the one before values over the limit are left out.
    fn count_request(&mut self, observation: &Observation, set: u32, hash: u64) {
        let source = observation.client.map(SourceIp::of).map(|source| (source, self.matcher.hash_of_source(source)));
        let identity = self.identity_of(observation, hash, source.map(|(_, hash)| hash));
        let known = self.request_by_identity.get(&identity).copied();
        if known.is_none() && self.requests.len() >= self.limits.requests_max {
            self.sum_up(observation);
            return;
        }
        let source = source.map_or(Sender::NONE, |(source, hash)| self.sources.number_of(source, hash));
        let groups = self.memberships.facts(set).groups;
        self.samples.add(&SampleDraft::of(observation, &self.hash_key), || SampleKey {
            groups,
            source,
            received: received_minute(observation),
        });
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
            set,
            source,
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

    /// Notes a request for whose memberships there is no room: a first read begins to note sizes alone.
    fn exceed_sets(&mut self, observation: &Observation) {
        if !self.is_first_read() {
            self.sum_up(observation);
            return;
        }
        let mut requests = std::mem::take(&mut self.requests);
        requests.sort_unstable_by_key(|request| request.source);
        let identities = self.request_by_identity.keys().copied();
        self.sizes = Some(groups::sizes(self, &requests, GroupSizes::new(&self.rules, identities)));
        self.request_by_identity = ByHash::default();
        self.sources = Sources::default();
        self.memberships = Memberships::default();
        self.sets_added = ByNumber::default();
        self.kinds = ByHash::default();
        self.samples = WindowSamples::new(self.limits.samples_max);
        self.note_sizes(observation);
    }

    /// Adds a request with these matches to the sizes of its groups.
    fn note_sizes(&mut self, observation: &Observation) {
        if self.matches.is_empty() {
            return;
        }
        let source = observation.client.map(|client| self.matcher.hash_of_source(SourceIp::of(client)));
        let identity = self.identity_of(observation, self.hash_of_matches(observation, false), source);
        let Some(sizes) = &mut self.sizes else { return };
        // A request over the limit may be noted twice.
        if !sizes.is_new(identity, self.limits.requests_max) {
            return;
        }
        // Several values of a request may count for one group, one after another.
        let mut before = None;
        for found in &self.matches {
            if before.replace(found.hash) != Some(found.hash) {
                sizes.add(self.matcher.source_of(found).0, found.hash, observation.n.max(1));
            }
        }
    }

    /// Finds what a request counts for, among what is counted, and returns whether it fits a rule that cannot count it.
    fn match_all(&mut self, observation: &Observation) -> bool {
        let mut matches = std::mem::take(&mut self.matches);
        let is_unattributed = self.matcher.match_all(observation, &mut matches);
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
        self.matches = matches;
        is_unattributed
    }

    /// Returns the number of the set of memberships that the matches make, and its hash before values over the limit are left
    /// out; `None` where it is new and there is no room for it.
    fn set_of_matches(&mut self, observation: &Observation) -> Option<(u32, u64)> {
        let whole = self.hash_of_matches(observation, false);
        if let Some(set) = self.memberships.number_of(whole) {
            return Some((set, whole));
        }
        let size = self.memberships.size();
        let is_cut = self.matches.iter().any(|found| found.text.is_some()) && self.leaves_out_values(observation, size);
        let hash = if is_cut { self.hash_of_matches(observation, true) } else { whole };
        if let Some(set) = self.memberships.number_of(hash) {
            return Some((set, whole));
        }
        // A second read has fewer groups than may be counted, each in few sets.
        let more = if self.is_first_read() { 0 } else { self.limits.groups_max };
        if size >= self.limits.values_max.saturating_add(more) {
            return None;
        }
        let matches = std::mem::take(&mut self.matches);
        let mut set: Vec<Membership> = Vec::with_capacity(matches.len());
        let mut groups = SipHasher13::new_with_key(&self.hash_key.0);
        for found in &matches {
            let base = self.memberships.base_of(found.base, || self.matcher.base_of(found, observation));
            let sender = found
                .other_sender
                .map_or(Sender::OWN, |source| self.sources.number_of(source, self.matcher.hash_of_source(source)));
            let is_by_address = self.memberships.base(base).1.has_address();
            let membership = Membership {
                base,
                grouped: if is_by_address { sender } else { Sender::NONE },
                listed: if found.source.is_some() { sender } else { Sender::NONE },
                referenced: found.referenced,
                is_repeat: false,
                text: match found.text {
                    None => CountedText::None,
                    Some(_) if is_cut => CountedText::Cut,
                    Some(text) => CountedText::Kept(text),
                },
            };
            let is_repeat = set.last().is_some_and(|last| (last.base, last.grouped) == (base, membership.grouped));
            if !is_repeat {
                (found.base, found.other_sender.filter(|_| is_by_address)).hash(&mut groups);
            }
            set.push(Membership { is_repeat, ..membership });
        }
        self.matches = matches;
        let code = ResponseCode::of(observation.event.response_code);
        Some((self.memberships.add(hash, groups.finish(), code, &observation.cluster, set), whole))
    }

    /// Returns whether a new set of `observation` leaves out the values that rules count, where there are `size` sets.
    fn leaves_out_values(&mut self, observation: &Observation, size: usize) -> bool {
        let values_max = self.limits.values_max;
        if size >= values_max / 2 {
            return true;
        }
        let source = observation.client.map(|client| self.matcher.hash_of_source(SourceIp::of(client)));
        let added = self.sets_added.entry((source, received_minute(observation))).or_default();
        let is_too_much = size >= values_max / 8 && *added >= SETS_PER_MINUTE_MAX;
        *added += usize::from(!is_too_much);
        is_too_much
    }

    /// Returns the keyed hash of the matches of a request, whoever sent it; `is_cut` leaves out the texts that are counted.
    fn hash_of_matches(&self, observation: &Observation, is_cut: bool) -> u64 {
        let mut hasher = SipHasher13::new_with_key(&self.hash_key.0);
        (ResponseCode::of(observation.event.response_code), &observation.cluster, is_cut).hash(&mut hasher);
        for Match { base, referenced, source, text, other_sender, .. } in &self.matches {
            (base, referenced, other_sender, source.is_some(), text.is_some()).hash(&mut hasher);
            text.filter(|_| !is_cut).hash(&mut hasher);
        }
        hasher.finish()
    }

    /// Returns the hash that makes an observation the same request as another: its identity, its sender, and its matches.
    fn identity_of(&self, observation: &Observation, matches: u64, source: Option<u64>) -> u64 {
        let mut hasher = SipHasher13::new_with_key(&self.hash_key.0);
        observation.hash_identity(&mut hasher);
        (matches, source).hash(&mut hasher);
        hasher.finish()
    }

    /// Returns whether a request at `at` is in a span that is followed up, or the fold follows up nothing. Of several records of
    /// a request the earliest counts, so this is known only after the last record.
    fn is_followed(&self, group: Group, at: Second) -> bool {
        let Some(follow_ups) = &self.follow_ups else {
            return true;
        };
        let source = self.sources.get(group.source);
        let spans = source.and_then(|source| follow_ups.get(&(self.rule_of(group), source)));
        spans.is_some_and(|spans| spans.iter().any(|span| span.contains(at)))
    }

    fn rule_of(&self, group: Group) -> RuleKey {
        self.memberships.base(group.base).1.rule
    }

    /// Compares two groups as their keys compare.
    fn compare(&self, left: Group, right: Group) -> Ordering {
        let base = |group: Group| &self.memberships.base(group.base).1;
        let values = |group: Group| base(group).values_of(self.sources.get(group.source));
        base(left).rule.cmp(&base(right).rule).then_with(|| values(left).cmp(values(right)))
    }

    /// Returns the keyed hash of a group, as its matches have it.
    fn hash_of(&self, group: Group) -> u64 {
        self.memberships.base(group.base).0 ^ self.sources.hash(group.source)
    }
}

/// Returns the minute in which the API server received a request. The event itself has it, so all copies of a record
/// agree on it.
fn received_minute(observation: &Observation) -> i32 {
    let received = observation.event.received_time_ms().map_or(observation.first, Second::of_millis);
    i32::try_from(received.minute().0).unwrap_or(i32::MAX)
}
