//! The limit of stored rows: the largest groups of a window are counted exactly, and a notice reports the sum of the
//! rest.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use rustc_hash::FxHashSet;

use super::groups::Groups;
use super::hashed::ByNumber;
use super::memberships::{CountedText, Membership};
use super::{Fold, MatchedRequest};
use crate::address::SourceIp;
use crate::distinct::DistinctKind;
use crate::group::{CountKey, RuleKey};
use crate::hash::TextHash;
use crate::notice::{NoticeKind, TOP_MAX};
use crate::observation::Observation;
use crate::room::{Room, shares};
use crate::rule::{Level, Rules};
use crate::tally::Rows;
use crate::time::{Minute, Second};

/// Sources whose approximate count is kept at once (space-saving, Metwally and others, 2005). A source of more than a
/// thousandth of the requests is among them.
pub(super) const TRACKED_MAX: usize = 1000;

/// The largest sources among more than can be counted one by one.
#[derive(Debug, Default)]
pub(super) struct LargestSources {
    counts: HashMap<SourceIp, u64>,
    /// The same, smallest first.
    by_count: BTreeSet<(u64, SourceIp)>,
    requests: u64,
}

impl LargestSources {
    /// Counts a request for its source.
    pub(super) fn add(&mut self, observation: &Observation) {
        self.add_requests(observation.client.map(SourceIp::of), u64::from(observation.n));
    }

    /// Counts requests of a source, or requests without a known source.
    pub(super) fn add_requests(&mut self, source: Option<SourceIp>, n: u64) {
        self.requests += n;
        if let Some(source) = source {
            self.add_source(source, n);
        }
    }

    /// Adds the counts of `other`.
    pub(super) fn join(&mut self, other: LargestSources) {
        self.requests += other.requests;
        for (n, source) in other.by_count {
            self.add_source(source, n);
        }
    }

    fn add_source(&mut self, source: SourceIp, n: u64) {
        let known = self.counts.get(&source).copied();
        let mut before = known.unwrap_or(0);
        if known.is_some() {
            self.by_count.remove(&(before, source));
        } else if self.counts.len() >= TRACKED_MAX
            && let Some((smallest, other)) = self.by_count.pop_first()
        {
            self.counts.remove(&other);
            before = smallest;
        }
        self.counts.insert(source, before + n);
        self.by_count.insert((before + n, source));
    }

    fn top(&self) -> Vec<(String, u64)> {
        let mut sources: Vec<(u64, SourceIp)> = self.by_count.iter().copied().collect();
        sources.sort_by_key(|(count, source)| (Reverse(*count), *source));
        sources.into_iter().take(TOP_MAX).map(|(count, source)| (source.to_string(), count)).collect()
    }
}

/// Distinct values that take as much storage as a row without values.
const VALUES_PER_ROW: usize = 16;

/// What exceeds the limit.
pub(super) struct RowOverflow {
    /// Hours with the groups that get no rows in them.
    pub(super) excluded: HashSet<(i64, u32)>,
    /// The notice of these rows and of the requests over the other limits.
    pub(super) notice: Option<NoticeKind>,
}

/// Excludes the smallest groups of each rule in each hour that would hold more than `rows_max` rows. Hours begin at :50, as the
/// default schedule's windows do. `overflow` has the requests over the other limits.
pub(super) fn limit_rows(
    fold: &Fold,
    groups: &Groups,
    requests: &[MatchedRequest],
    mut overflow: LargestSources,
) -> RowOverflow {
    let mut excluded = HashSet::new();
    let mut rows = 0;
    for (hour, counts) in large_hours(fold, groups, requests) {
        for (group, counts) in groups_over_limit(fold, groups, counts) {
            rows += u64::from(counts.minutes.count_ones());
            overflow.requests += counts.requests;
            // The largest come first, so a source that is not tracked by now is smaller than all that are.
            let source = fold.sources.get(groups.all()[group as usize].source);
            if let Some(source) = source.filter(|_| excluded.len() < TRACKED_MAX) {
                overflow.add_source(source, counts.requests);
            }
            excluded.insert((hour, group));
        }
    }
    let notice = (rows > 0 || overflow.requests > 0).then(|| NoticeKind::Overflow {
        rows,
        requests: overflow.requests,
        top: overflow.top(),
    });
    RowOverflow { excluded, notice }
}

/// Leaves out rows of `minutes` that there is no room for, and returns a notice of them: the rows of the most severe rules
/// stay, then those of the largest groups. Only rows that are new need room.
pub(super) fn keep_within(
    minutes: &mut BTreeMap<Minute, Rows>,
    is_new: impl Fn(&Minute, &CountKey) -> bool,
    rules: &Rules,
    room: &mut Room,
) -> Option<NoticeKind> {
    let mut groups: HashMap<&CountKey, GroupRows> = HashMap::new();
    for (minute, rows) in &*minutes {
        for (key, tally) in rows.iter().filter(|(key, _)| is_new(minute, key)) {
            let group = groups.entry(key).or_default();
            group.rows += 1;
            group.requests += tally.total();
        }
    }
    let rows = groups.values().map(|group| group.rows).sum();
    if (Room { used: room.used.saturating_add(rows), ..*room }).admits(Level::Informational) {
        room.used += rows;
        return None;
    }
    let mut by_size: Vec<(&CountKey, GroupRows)> = groups.into_iter().collect();
    let level_of = |key: &CountKey| rules.rules.iter().find(|rule| rule.key == key.rule).map(|rule| rule.head.level);
    by_size.sort_by_cached_key(|(key, group)| (Reverse((level_of(key), group.requests)), *key));
    let mut left_out: HashSet<CountKey> = HashSet::new();
    let mut overflow = LargestSources::default();
    let mut rows = 0;
    for (key, group) in by_size {
        let after = Room { used: room.used.saturating_add(group.rows - 1), ..*room };
        if after.admits(level_of(key).unwrap_or(Level::Informational)) {
            room.used += group.rows;
            continue;
        }
        rows += group.rows as u64;
        overflow.add_requests(key.group.source_ip(), group.requests);
        left_out.insert(key.clone());
    }
    if left_out.is_empty() {
        return None;
    }
    for (minute, rows) in &mut *minutes {
        rows.retain(|key, _| !left_out.contains(key) || !is_new(minute, key));
    }
    minutes.retain(|_, rows| !rows.is_empty());
    Some(NoticeKind::Overflow { rows, requests: overflow.requests, top: overflow.top() })
}

/// The new rows of a group.
#[derive(Clone, Copy, Default)]
struct GroupRows {
    rows: usize,
    requests: u64,
}

/// Returns the hour that a minute belongs to.
pub(super) fn hour(minute: Minute) -> i64 {
    (minute.0 + 10).div_euclid(60)
}

/// The counts of a group in an hour.
#[derive(Clone, Copy, Default)]
struct GroupHour {
    requests: u64,
    /// Bit `n` stands for minute `n` of the hour.
    minutes: u64,
    values: usize,
}

impl GroupHour {
    /// Returns how many rows without values take as much storage.
    fn weight(self) -> usize {
        self.minutes.count_ones() as usize + self.values / VALUES_PER_ROW
    }
}

/// Returns the counts of all groups, by their index, for each hour that may exceed the limit.
fn large_hours(fold: &Fold, groups: &Groups, requests: &[MatchedRequest]) -> ByNumber<i64, Vec<GroupHour>> {
    let mut rows_at_most: ByNumber<i64, usize> = ByNumber::default();
    for request in requests {
        let rows = fold.memberships.of_set(request.set).len();
        let last = request.first.plus(i64::from(request.last_after_seconds));
        let mut add = |at: Second| *rows_at_most.entry(hour(at.minute())).or_default() += rows;
        add(request.first);
        if last != request.first {
            add(last);
        }
    }
    rows_at_most.retain(|_, rows| *rows > fold.limits.rows_max);
    let none = vec![GroupHour::default(); groups.all().len()];
    let mut hours: ByNumber<i64, Vec<GroupHour>> = rows_at_most.keys().map(|hour| (*hour, none.clone())).collect();
    let mut values = RowValues::default();
    if hours.is_empty() {
        return hours;
    }
    for request in requests {
        fold.each_count(groups, request, |group, membership, at, n| {
            let Some(counts) = hours.get_mut(&hour(at.minute())) else { return };
            let counts = &mut counts[group as usize];
            counts.requests += u64::from(n);
            counts.minutes |= 1 << (at.minute().0 + 10).rem_euclid(60);
            counts.values += values.new_in(group, request, membership, at);
        });
    }
    hours
}

/// The distinct values of rows, as many as each row keeps.
#[derive(Default)]
struct RowValues {
    /// By group and minute: a source by its number, or a text.
    known: FxHashSet<(u32, i64, Result<u32, TextHash>)>,
    /// By group and minute: sources and texts.
    numbers: ByNumber<(u32, i64), [usize; 2]>,
}

impl RowValues {
    /// Returns how many values of the membership are new in this row.
    fn new_in(&mut self, group: u32, request: &MatchedRequest, membership: &Membership, at: Second) -> usize {
        let source = request.sender(membership.listed).index().and_then(|index| u32::try_from(index).ok());
        let text = match membership.text {
            CountedText::Kept(text) => Some(text),
            CountedText::None | CountedText::Cut => None,
        };
        if source.is_none() && text.is_none() {
            return 0;
        }
        let row = (group, at.minute().0);
        let [sources, texts] = self.numbers.entry(row).or_default();
        let mut is_new = |value, number: &mut usize, max| {
            let is_new = *number < max && self.known.insert((row.0, row.1, value));
            *number += usize::from(is_new);
            usize::from(is_new)
        };
        source.map_or(0, |source| is_new(Ok(source), sources, SourceIp::VALUES_MAX))
            + text.map_or(0, |text| is_new(Err(text), texts, TextHash::VALUES_MAX))
    }
}

/// Returns the groups that exceed the limit with their counts, largest first: of each rule, the smallest. A rule with few rows
/// keeps them all, and the others share the rest.
fn groups_over_limit(fold: &Fold, groups: &Groups, counts: Vec<GroupHour>) -> Vec<(u32, GroupHour)> {
    let rule_of = |group: u32| fold.rule_of(groups.all()[group as usize]);
    let mut by_size: Vec<(u32, GroupHour)> = (0..).zip(counts).filter(|(_, counts)| counts.minutes != 0).collect();
    by_size.sort_unstable_by(|(left, left_counts), (right, right_counts)| {
        let keys = || fold.compare(groups.all()[*left as usize], groups.all()[*right as usize]);
        right_counts.requests.cmp(&left_counts.requests).then_with(keys)
    });
    let mut needs: BTreeMap<RuleKey, usize> = BTreeMap::new();
    for (group, counts) in &by_size {
        *needs.entry(rule_of(*group)).or_default() += counts.weight();
    }
    let shares = shares(&needs.values().copied().collect::<Vec<_>>(), fold.limits.rows_max);
    let mut left: BTreeMap<RuleKey, usize> = needs.into_keys().zip(shares).collect();
    by_size.retain(|(group, counts)| {
        let Some(left) = left.get_mut(&rule_of(*group)) else { return false };
        let fits = counts.weight() <= *left;
        *left -= if fits { counts.weight() } else { 0 };
        !fits
    });
    by_size
}
