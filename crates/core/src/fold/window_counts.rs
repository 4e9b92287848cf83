//! A window that takes no more observations: its rows, minute by minute, within the limit.
//!
//! Requests give the size of each group before any row is made, so what exceeds the limit never becomes a row.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::group_sizes::LargestGroups;
use super::groups::{Group, Groups};
use super::hashed::{ByHash, ByNumber};
use super::memberships::{CountedText, Membership};
use super::row_limit::{self, RowOverflow};
use super::sources::Sender;
use super::{Fold, FoldCounts, Limits, MatchedRequest, WindowSamples};
use crate::evidence::SAMPLES_MAX;
use crate::group::{CountKey, GroupKey};
use crate::notice::NoticeKind;
use crate::proxy_watch::ProxyWatch;
use crate::rule::Rules;
use crate::tally::{Rows, Tally};
use crate::time::{Minute, Second, Window};

/// A window that takes no more observations.
pub struct WindowCounts {
    pub(super) rules: Arc<Rules>,
    pub(super) window: Window,
    pub(super) is_reread: bool,
    /// Whether the fold only followed up.
    pub(super) is_follow_up: bool,
    pub(super) limits: Limits,
    pub(super) counts: FoldCounts,
    pub(super) minutes: BTreeMap<Minute, Rows>,
    /// The notice of the rows that are not stored.
    pub(super) overflow: Option<NoticeKind>,
    pub(super) proxies: ProxyWatch,
    largest: Option<Arc<LargestGroups>>,
    /// Whether later parts of the window follow.
    is_earlier_part: bool,
}

impl Fold {
    /// Counts the requests into rows, and frees the memory that each request took.
    #[must_use]
    pub fn count(mut self) -> WindowCounts {
        self.request_by_identity = ByHash::default();
        let mut overflow = std::mem::take(&mut self.overflow);
        let mut requests = std::mem::take(&mut self.requests);
        // Requests of one source follow each other, so that its groups and rows are in the cache.
        requests.sort_unstable_by_key(|request| (request.source, request.first, request.set));
        let groups = Groups::of(&self, &requests);
        if !groups.is_whole() {
            self.sum_up_others(&groups, &mut requests, &mut overflow);
        }
        let RowOverflow { excluded, notice } = row_limit::limit_rows(&self, &groups, &requests, overflow);
        let largest_max = self.limits.groups_max - self.limits.groups_max / 8;
        WindowCounts {
            minutes: self.rows(&groups, requests, &excluded),
            rules: self.rules,
            window: self.window,
            is_reread: self.is_reread,
            is_follow_up: self.follow_ups.is_some(),
            limits: self.limits,
            counts: self.counts,
            overflow: notice,
            proxies: self.proxies,
            largest: self.sizes.map(|sizes| Arc::new(sizes.largest(largest_max))),
            is_earlier_part: false,
        }
    }

    /// Counts the requests that have a group which is not counted in the sum of those over a limit, and drops those that have
    /// no other group.
    fn sum_up_others(
        &mut self,
        groups: &Groups,
        requests: &mut Vec<MatchedRequest>,
        overflow: &mut row_limit::LargestSources,
    ) {
        let mut sums: Vec<(u64, Sender)> = Vec::new();
        requests.retain(|request| {
            let memberships = self.memberships.of_set(request.set).iter();
            let (mut counted, mut left_out) = (false, false);
            for membership in memberships {
                let is_counted = groups.find(membership.base, membership.grouped, request.source).is_some();
                counted |= is_counted;
                left_out |= !is_counted;
            }
            if left_out {
                let n = u64::from(request.n);
                self.counts.over_limit += n;
                match sums.last_mut() {
                    Some((sum, source)) if *source == request.source => *sum += n,
                    _ => sums.push((n, request.source)),
                }
            }
            self.counts.matched -= u64::from(!counted);
            counted
        });
        sums.sort_unstable_by_key(|(n, _)| Reverse(*n));
        for (index, (n, source)) in sums.into_iter().enumerate() {
            overflow.add_requests(self.sources.get(source).filter(|_| index < row_limit::TRACKED_MAX), n);
        }
    }

    /// Returns the rows of the window minute by minute, but for the groups `excluded` from an hour.
    fn rows(
        &mut self,
        groups: &Groups,
        requests: Vec<MatchedRequest>,
        excluded: &HashSet<(i64, u32)>,
    ) -> BTreeMap<Minute, Rows> {
        let mut tallies: ByNumber<(Minute, u32), Box<Tally>> = ByNumber::default();
        let clusters = groups.clusters(self, &requests);
        for request in &requests {
            let code = self.memberships.facts(request.set).code;
            self.each_count(groups, request, |group, membership, at, n| {
                if excluded.contains(&(row_limit::hour(at.minute()), group)) {
                    return;
                }
                let tally = tallies
                    .entry((at.minute(), group))
                    .or_insert_with(|| Box::new(Tally { clusters: clusters.of(group), ..Tally::default() }));
                let second = u8::try_from(at.0.rem_euclid(60)).expect("a remainder of 60 fits in 8 bits");
                if n > 0 {
                    tally.add(second, membership.referenced, code, n);
                }
                if let Some(source) = self.sources.get(request.sender(membership.listed)) {
                    tally.sources.add(source, second);
                }
                match membership.text {
                    CountedText::None => {}
                    CountedText::Kept(text) => tally.texts.add(text, second),
                    CountedText::Cut => tally.texts.note_more(),
                }
            });
        }
        drop(requests);
        let samples = std::mem::replace(&mut self.samples, WindowSamples::new(0));
        if samples.is_halved() {
            tallies.values_mut().for_each(|tally| tally.evidence.note_more());
        }
        for (key, sample, is_cut) in samples.into_samples() {
            for membership in self.memberships.of_set(key.groups).iter().filter(|membership| !membership.is_repeat) {
                let group = groups.find(membership.base, membership.grouped, key.source);
                let Some(tally) = group.and_then(|group| tallies.get_mut(&(sample.at.minute(), group))) else {
                    continue;
                };
                tally.evidence.add(sample.clone(), SAMPLES_MAX);
                if is_cut {
                    tally.evidence.note_more();
                }
            }
        }
        let mut minutes: BTreeMap<Minute, Vec<(CountKey, Tally)>> = BTreeMap::new();
        for ((minute, group), tally) in tallies {
            let Group { base, source } = groups.all()[group as usize];
            let key = self.memberships.base(base).1.of(self.sources.get(source));
            minutes.entry(minute).or_default().push((key, *tally));
        }
        minutes.into_iter().map(|(minute, rows)| (minute, rows.into_iter().collect())).collect()
    }

    /// Calls `count` with the group of each membership of a request, with a time and the requests at it. Of several requests,
    /// the first and the last are counted at their own times.
    pub(super) fn each_count(
        &self,
        groups: &Groups,
        request: &MatchedRequest,
        mut count: impl FnMut(u32, &Membership, Second, u32),
    ) {
        let last = request.first.plus(i64::from(request.last_after_seconds));
        for membership in self.memberships.of_set(request.set) {
            let Some(group) = groups.find(membership.base, membership.grouped, request.source) else { continue };
            // A request counts once for a group, even if several sources count as its sender.
            let n = if membership.is_repeat { 0 } else { request.n };
            if !self.is_followed(groups.all()[group as usize], request.first) {
                continue;
            }
            if last != request.first && request.n > 1 && self.window.contains(last) {
                count(group, membership, request.first, n.saturating_sub(1));
                count(group, membership, last, n.min(1));
            } else {
                count(group, membership, request.first, n);
            }
        }
    }
}

impl WindowCounts {
    /// Returns the counts of the window.
    #[must_use]
    pub fn counts(&self) -> FoldCounts {
        self.counts
    }

    /// Returns the groups that a second read of the window should count, if it has more than can be counted. Which of them
    /// this read counted depends on the order of the records.
    #[must_use]
    pub fn largest_groups(&self) -> Option<Arc<LargestGroups>> {
        self.largest.clone()
    }

    /// Returns the window.
    #[must_use]
    pub fn window(&self) -> Window {
        self.window
    }

    /// Returns the proxies that seem to hide the clients; see [`ProxyWatch::hidden_proxies`].
    #[must_use]
    pub fn hidden_proxies(&self) -> Vec<IpAddr> {
        self.proxies.hidden_proxies()
    }

    /// Returns how many rows (rule, group, minute) the window has.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.minutes.values().map(Rows::len).sum()
    }

    /// Splits a window with more than `rows_max` rows into parts of about as many, each for a commit of its own. The last part
    /// has the counts and the notice of the window, so that they are reported once even if it is read again from the begin.
    ///
    /// Groups with the same number in `order` stay together, ascending. Those without a source address are first: an account
    /// or a crowd is known before the addresses that it lists, which then are no incidents of their own.
    #[must_use]
    pub fn split(mut self, rows_max: usize, order: impl Fn(&GroupKey) -> u64) -> Vec<WindowCounts> {
        if self.rows() <= rows_max {
            return vec![self];
        }
        let place = |key: &CountKey| (key.group.source_ip().is_some(), order(&key.group));
        let mut sizes: BTreeMap<(bool, u64), usize> = BTreeMap::new();
        self.keys().for_each(|key| *sizes.entry(place(key)).or_default() += 1);
        // The place at which each part but the first begins.
        let (mut begins, mut rows) = (Vec::new(), 0);
        for (place, more) in sizes {
            if rows > 0 && rows + more > rows_max {
                begins.push(place);
                rows = 0;
            }
            rows += more;
        }
        let mut parts: Vec<BTreeMap<Minute, Rows>> = vec![BTreeMap::new(); begins.len() + 1];
        while let Some((minute, rows)) = self.minutes.pop_first() {
            for (key, tally) in rows {
                let part = begins.partition_point(|begin| *begin <= place(&key));
                parts[part].entry(minute).or_default().insert(key, tally);
            }
        }
        self.limits.follow_ups_max = self.limits.follow_ups_max.div_ceil(parts.len());
        let last = parts.pop().unwrap_or_default();
        let earlier = parts.into_iter().map(|minutes| WindowCounts {
            rules: self.rules.clone(),
            window: self.window,
            is_reread: self.is_reread,
            is_follow_up: self.is_follow_up,
            limits: self.limits,
            counts: FoldCounts::default(),
            minutes,
            overflow: None,
            proxies: ProxyWatch::default(),
            largest: None,
            is_earlier_part: true,
        });
        let mut parts: Vec<WindowCounts> = earlier.collect();
        parts.push(WindowCounts { minutes: last, ..self });
        parts
    }

    /// Returns whether the follow-ups are those of another part: in a reread, the last part looks for those of all groups.
    pub(super) fn leaves_follow_ups(&self) -> bool {
        self.is_reread && self.is_earlier_part
    }

    /// Returns the rules and groups with rows, once for each row.
    pub fn keys(&self) -> impl Iterator<Item = &CountKey> {
        self.minutes.values().flat_map(Rows::keys)
    }

    /// Joins the rows of this window with the stored ones of its log, takes nothing away from these, and leaves out the rows
    /// that stay as they are stored. Returns how many stored counts were larger.
    pub(super) fn join_stored(&self, minutes: &mut BTreeMap<Minute, Rows>, own: &HashMap<Minute, &Rows>) -> u64 {
        let mut retained = 0;
        for (minute, rows) in minutes.iter_mut() {
            let stored = own.get(minute);
            rows.retain(|key, tally| {
                tally.late |= self.is_reread;
                let Some(old) = stored.and_then(|stored| stored.get(key)) else { return true };
                if self.is_follow_up {
                    tally.join_seconds(old);
                } else {
                    retained += u64::from(tally.join(old));
                }
                tally != old
            });
        }
        minutes.retain(|_, rows| !rows.is_empty());
        retained
    }
}
