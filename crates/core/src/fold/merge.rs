//! Two folds of one window into one: what each saw of it is as if one had seen all.
//!
//! A request of which both saw a record counts once, at its earliest time, as it does in one fold. Limits hold for both
//! together; which requests lie beyond them depends on the order, as it does in one fold.

use super::{Counts, Fold, Member, Seen, Values};
use crate::time::Second;

impl Fold {
    /// Adds what `other` saw. Both must have been opened with the same rules, window, key and limits.
    pub fn merge(&mut self, other: Fold) {
        self.counts.add(&other.counts);
        self.beyond.join(other.beyond);
        let places: Vec<u32> = other.groups.into_iter().map(|group| self.place_of_group(group)).collect();
        self.samples.join(other.samples, &places);
        let sets: Vec<u32> =
            other.sets.iter().map(|members| self.set_of_members(members, &other.values, &places)).collect();
        self.values.join(other.values, &places);
        for (identity, place) in other.seen {
            let seen = other.requests[place as usize];
            self.join_seen(identity, Seen { set: sets[seen.set as usize], ..seen });
        }
    }

    /// Returns the time of the last request that matched.
    #[must_use]
    pub fn last_matched(&self) -> Option<Second> {
        self.requests.iter().map(|seen| seen.first.plus(i64::from(seen.last_after_seconds))).max()
    }

    fn set_of_members(&mut self, members: &[Member], values: &Values, places: &[u32]) -> u32 {
        let moved: Vec<Member> = members.iter().map(|member| self.values.moved(member, values, places)).collect();
        self.sets.number_of(&moved)
    }

    fn join_seen(&mut self, identity: u64, seen: Seen) {
        if let Some(place) = self.seen.get(&identity) {
            self.requests[*place as usize].note_again(seen.first, seen.n);
            self.counts.matched -= 1;
            self.counts.duplicates += 1;
        } else if self.requests.len() >= self.limits.requests_max {
            self.counts.matched -= 1;
            self.counts.beyond_limit += u64::from(seen.n);
            self.beyond.add_requests(None, u64::from(seen.n));
        } else {
            self.note(identity, seen);
        }
    }
}

impl Counts {
    fn add(&mut self, other: &Counts) {
        self.observed += other.observed;
        self.matched += other.matched;
        self.duplicates += other.duplicates;
        self.outside += other.outside;
        self.unattributed += other.unattributed;
        self.beyond_limit += other.beyond_limit;
    }
}
