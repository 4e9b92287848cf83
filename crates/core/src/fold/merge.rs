//! Merges two folds of one window: the result is as if one fold had seen all records.
//!
//! A request of which both saw a record counts once, at its earliest time, as it does in one fold. Limits hold for both
//! together; which requests exceed them depends on the order, as it does in one fold.

use super::samples::SampleKey;
use super::sources::Sender;
use super::{Fold, FoldCounts, MatchedRequest};
use crate::time::Second;

impl Fold {
    /// Adds the requests of `other`. Both must have been opened with the same rules, window, key and limits.
    pub fn merge(&mut self, other: Fold) {
        self.counts.add(&other.counts);
        self.overflow.join(other.overflow);
        self.proxies.join(&other.proxies);
        let sources = self.sources.join(&other.sources);
        let sets = self.memberships.join(&other.memberships, &sources);
        let here = |source: Sender| source.index().map_or(source, |index| sources[index]);
        let memberships = &self.memberships;
        self.samples.join(other.samples, |key| SampleKey {
            groups: memberships.facts(sets[key.groups as usize]).groups,
            source: here(key.source),
            ..key
        });
        for (identity, index) in other.request_by_identity {
            let request = other.requests[index as usize];
            let (set, source) = (sets[request.set as usize], here(request.source));
            self.merge_request(identity, MatchedRequest { set, source, ..request });
        }
    }

    /// Returns the time of the last matched request.
    #[must_use]
    pub fn last_matched(&self) -> Option<Second> {
        self.requests.iter().map(|request| request.first.plus(i64::from(request.last_after_seconds))).max()
    }

    fn merge_request(&mut self, identity: u64, request: MatchedRequest) {
        if let Some(index) = self.request_by_identity.get(&identity) {
            self.requests[*index as usize].join(request.first, request.n);
            self.counts.matched -= 1;
            self.counts.duplicates += 1;
        } else if self.requests.len() >= self.limits.requests_max {
            self.counts.matched -= 1;
            self.counts.over_limit += u64::from(request.n);
            self.overflow.add_requests(self.sources.get(request.source), u64::from(request.n));
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
