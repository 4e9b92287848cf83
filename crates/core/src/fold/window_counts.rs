//! A window that takes no more observations: its rows, minute by minute, within the limit.
//!
//! Requests give the size of each group before any row is made, so what exceeds the limit never becomes a row.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::group_sizes::LargestGroups;
use super::hashed::{ByHash, ByNumber};
use super::memberships::Membership;
use super::row_limit::{self, RowOverflow};
use super::{Fold, FoldCounts, Group, Limits, MatchedRequest, WindowSamples};
use crate::evidence::SAMPLES_MAX;
use crate::group::CountKey;
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
}

impl Fold {
    /// Counts the requests into rows, and frees the memory that each request took.
    #[must_use]
    pub fn count(mut self) -> WindowCounts {
        let sources = std::mem::take(&mut self.overflow);
        // Some groups look larger than they are.
        let largest_max = self.limits.groups_max - self.limits.groups_max / 8;
        let RowOverflow { excluded, notice } = row_limit::limit_rows(&self, sources);
        WindowCounts {
            minutes: self.rows(&excluded),
            rules: self.rules,
            window: self.window,
            is_reread: self.is_reread,
            is_follow_up: self.follow_ups.is_some(),
            limits: self.limits,
            counts: self.counts,
            overflow: notice,
            proxies: self.proxies,
            largest: self.sizes.map(|sizes| Arc::new(sizes.largest(largest_max))),
        }
    }

    /// Returns the rows of the window minute by minute, but for the groups `excluded` from an hour.
    fn rows(&mut self, excluded: &HashSet<(i64, u32)>) -> BTreeMap<Minute, Rows> {
        let mut tallies: ByNumber<(Minute, u32), Box<Tally>> = ByNumber::default();
        // Sorted, requests of one group and minute follow each other and find their row in the cache.
        self.request_by_identity = ByHash::default();
        let mut requests = std::mem::take(&mut self.requests);
        requests.sort_unstable_by_key(|request| (request.first.minute(), request.membership_set));
        for request in &requests {
            self.each_count(request, |membership, at, n| {
                if excluded.contains(&(row_limit::hour(at.minute()), membership.group)) {
                    return;
                }
                let group = &self.groups[membership.group as usize];
                let tally = tallies.entry((at.minute(), membership.group)).or_insert_with(|| Box::new(tally_of(group)));
                let second = u8::try_from(at.0.rem_euclid(60)).expect("a remainder of 60 fits in 8 bits");
                if n > 0 {
                    tally.add(second, membership.referenced, membership.code, n);
                }
                self.values.add_to_row(tally, membership, request.received, second);
            });
        }
        drop(requests);
        let samples = std::mem::replace(&mut self.samples, WindowSamples::new(0));
        if samples.is_halved() {
            tallies.values_mut().for_each(|tally| tally.evidence.note_more());
        }
        for (group, sample, is_cut) in samples.into_samples() {
            if let Some(tally) = tallies.get_mut(&(sample.at.minute(), group)) {
                tally.evidence.add(sample, SAMPLES_MAX);
                if is_cut {
                    tally.evidence.note_more();
                }
            }
        }
        let mut minutes: BTreeMap<Minute, Vec<(CountKey, Tally)>> = BTreeMap::new();
        for ((minute, group), tally) in tallies {
            let key = self.groups[group as usize].key.clone();
            minutes.entry(minute).or_default().push((key, *tally));
        }
        minutes.into_iter().map(|(minute, rows)| (minute, rows.into_iter().collect())).collect()
    }

    /// Calls `count` with each membership of a request, with a time and the requests at it. Of several requests, the first
    /// and the last are counted at their own times.
    pub(super) fn each_count(&self, request: &MatchedRequest, mut count: impl FnMut(&Membership, Second, u32)) {
        let last = request.first.plus(i64::from(request.last_after_seconds));
        let memberships = self.memberships.of_set(request.membership_set);
        for (index, membership) in memberships.iter().enumerate() {
            // A request counts once for a group, even if several sources count as its sender.
            let n =
                if memberships[..index].iter().any(|other| other.group == membership.group) { 0 } else { request.n };
            if !self.is_followed(&self.groups[membership.group as usize].key, request.first) {
                continue;
            }
            if last != request.first && request.n > 1 && self.window.contains(last) {
                count(membership, request.first, n.saturating_sub(1));
                count(membership, last, n.min(1));
            } else {
                count(membership, request.first, n);
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

fn tally_of(group: &Group) -> Tally {
    let clusters = group.clusters.iter().map(|cluster| cluster.to_string()).collect();
    Tally { clusters, ..Tally::default() }
}
