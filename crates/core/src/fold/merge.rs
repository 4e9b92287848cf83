//! Merges two folds of one window: the result is as if one fold had seen all records.
//!
//! A request of which both saw a record counts once, at its earliest time, as it does in one fold. Limits hold for both
//! together; which requests exceed them depends on the order, as it does in one fold.

use super::{Fold, FoldCounts, MatchedRequest, Membership, WindowValues};
use crate::time::Second;

impl Fold {
    /// Adds the requests of `other`. Both must have been opened with the same rules, window, key and limits.
    pub fn merge(&mut self, other: Fold) {
        self.counts.add(&other.counts);
        self.overflow.join(other.overflow);
        self.proxies.join(&other.proxies);
        let groups: Vec<u32> = other.groups.into_iter().map(|group| self.merge_group(group)).collect();
        self.samples.join(other.samples, &groups);
        let sets: Vec<u32> =
            other.memberships.iter().map(|set| self.translate_set(set, &other.values, &groups)).collect();
        self.values.join(other.values, &groups);
        for (identity, index) in other.request_by_identity {
            let request = other.requests[index as usize];
            let membership_set = sets[request.membership_set as usize];
            self.merge_request(identity, MatchedRequest { membership_set, ..request });
        }
    }

    /// Returns the time of the last matched request.
    #[must_use]
    pub fn last_matched(&self) -> Option<Second> {
        self.requests.iter().map(|request| request.first.plus(i64::from(request.last_after_seconds))).max()
    }

    fn translate_set(&mut self, set: &[Membership], values: &WindowValues, groups: &[u32]) -> u32 {
        let translated: Vec<Membership> =
            set.iter().map(|membership| self.values.translate(membership, values, groups)).collect();
        self.memberships.number_of(&translated)
    }

    fn merge_request(&mut self, identity: u64, request: MatchedRequest) {
        if let Some(index) = self.request_by_identity.get(&identity) {
            self.requests[*index as usize].join(request.first, request.n);
            self.counts.matched -= 1;
            self.counts.duplicates += 1;
        } else if self.requests.len() >= self.limits.requests_max {
            self.counts.matched -= 1;
            self.counts.over_limit += u64::from(request.n);
            self.overflow.add_requests(None, u64::from(request.n));
        } else {
            self.add_request(identity, request);
        }
    }
}

impl FoldCounts {
    pub(super) fn add(&mut self, other: &FoldCounts) {
        self.observed += other.observed;
        self.matched += other.matched;
        self.duplicates += other.duplicates;
        self.outside += other.outside;
        self.unattributed += other.unattributed;
        self.over_limit += other.over_limit;
    }
}
