//! A window that takes no more observations: its rows, minute by minute, as many as may be stored.
//!
//! What is beyond the limit never becomes a row: the size of each group is known from the requests before any is made.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::hashed::{ByHash, ByNumber};
use super::row_limit::{self, Beyond};
use super::sets::Member;
use super::{Counts, Fold, Group, Limits, Samples, Seen};
use crate::evidence::SAMPLES_MAX;
use crate::finding::Finding;
use crate::group::CountKey;
use crate::notice::NoticeKind;
use crate::rule::Rules;
use crate::tally::{Rows, StoredMinute, Tally};
use crate::time::{Minute, Second, Window};

/// A window that takes no more observations.
pub struct WindowCounts {
    pub(super) rules: Arc<Rules>,
    pub(super) window: Window,
    pub(super) is_reread: bool,
    /// Whether only what is followed up was looked for.
    pub(super) is_follow_up: bool,
    pub(super) limits: Limits,
    pub(super) counts: Counts,
    pub(super) minutes: BTreeMap<Minute, Rows>,
    /// What is told of the rows that are not stored.
    pub(super) overflow: Option<NoticeKind>,
}

impl Fold {
    /// Counts what was seen, and frees the memory that every single request took.
    #[must_use]
    pub fn count(mut self) -> WindowCounts {
        let largest = std::mem::take(&mut self.beyond);
        let Beyond { parts, notice } = row_limit::cap(&self, largest);
        WindowCounts {
            minutes: self.rows(&parts),
            rules: self.rules,
            window: self.window,
            is_reread: self.is_reread,
            is_follow_up: self.follow_ups.is_some(),
            limits: self.limits,
            counts: self.counts,
            overflow: notice,
        }
    }

    /// Returns the rows of the window without those parts of groups, minute by minute.
    fn rows(&mut self, without: &HashSet<(i64, u32)>) -> BTreeMap<Minute, Rows> {
        let mut tallies: ByNumber<(Minute, u32), Box<Tally>> = ByNumber::default();
        // Those of one group and minute come one after another, so that what they count to is at hand.
        self.seen = ByHash::default();
        let mut requests = std::mem::take(&mut self.requests);
        requests.sort_unstable_by_key(|seen| (seen.first.minute(), seen.set));
        for seen in &requests {
            self.each_count(seen, |member, at, n| {
                if without.contains(&(row_limit::hour(at.minute()), member.place)) {
                    return;
                }
                let group = &self.groups[member.place as usize];
                let tally = tallies.entry((at.minute(), member.place)).or_insert_with(|| Box::new(tally_of(group)));
                let second = u8::try_from(at.0.rem_euclid(60)).expect("a remainder of 60 fits in 8 bits");
                if n > 0 {
                    tally.add(second, member.legs, member.code, n);
                }
                self.values.mark(tally, member, seen.received, second);
            });
        }
        drop(requests);
        let samples = std::mem::replace(&mut self.samples, Samples::new(0));
        if samples.is_halved() {
            tallies.values_mut().for_each(|tally| tally.evidence.note_more());
        }
        for (place, sample, is_cut) in samples.into_samples() {
            if let Some(tally) = tallies.get_mut(&(sample.at.minute(), place)) {
                tally.evidence.add(sample, SAMPLES_MAX);
                if is_cut {
                    tally.evidence.note_more();
                }
            }
        }
        let mut minutes: BTreeMap<Minute, Vec<(CountKey, Tally)>> = BTreeMap::new();
        for ((minute, place), tally) in tallies {
            let key = self.groups[place as usize].key.clone();
            minutes.entry(minute).or_default().push((key, *tally));
        }
        minutes.into_iter().map(|(minute, rows)| (minute, rows.into_iter().collect())).collect()
    }

    /// Calls `count` with each group that a request counts for, and when how many of it came. The first and the last of
    /// several are told apart.
    pub(super) fn each_count(&self, seen: &Seen, mut count: impl FnMut(&Member, Second, u32)) {
        let last = seen.first.plus(i64::from(seen.last_after_seconds));
        let members = self.sets.members_of(seen.set);
        for (number, member) in members.iter().enumerate() {
            // A request counts once for a group, whoever sent it.
            let n = if members[..number].iter().any(|other| other.place == member.place) { 0 } else { seen.n };
            if !self.is_followed(&self.groups[member.place as usize].key, seen.first) {
                continue;
            }
            if last != seen.first && seen.n > 1 && self.window.contains(last) {
                count(member, seen.first, n.saturating_sub(1));
                count(member, last, n.min(1));
            } else {
                count(member, seen.first, n);
            }
        }
    }
}

impl WindowCounts {
    /// Returns what was seen.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Returns the rules and groups whose minutes must be known to close: those that have rows, those that were
    /// `found_before` and are followed up, and those of told findings that lose minutes with `expired`.
    #[must_use]
    pub fn keys_needed<'a>(
        &'a self,
        found_before: &'a [StoredMinute],
        expired: &'a [StoredMinute],
        findings: &[Finding],
    ) -> HashSet<&'a CountKey> {
        let mut needed: HashSet<&CountKey> = self.minutes.values().flat_map(Rows::keys).collect();
        needed.extend(found_before.iter().flat_map(|minute| minute.rows.keys()));
        needed.extend(leaving(&self.rules, expired, findings.iter()));
        needed
    }
}

/// Returns the rules and groups of told findings that lose minutes with `expired`.
pub(super) fn leaving<'a, 'f>(
    rules: &Rules,
    expired: &'a [StoredMinute],
    findings: impl Iterator<Item = &'f Finding>,
) -> Vec<&'a CountKey> {
    let leaving: HashSet<&CountKey> = expired.iter().flat_map(|minute| minute.rows.keys()).collect();
    if leaving.is_empty() {
        return Vec::new();
    }
    let keys = findings.filter_map(|finding| {
        let rule = rules.named(&finding.rule.name)?;
        let key = CountKey { rule: rule.key, group: finding.group.clone() };
        leaving.get(&key).copied()
    });
    keys.collect()
}

fn tally_of(group: &Group) -> Tally {
    let clusters = group.clusters.iter().map(|cluster| cluster.to_string()).collect();
    Tally { clusters, ..Tally::default() }
}
