//! The one write: everything that the windows of some logs change, in one batch.

use crate::day_report::Day;
use crate::delivery::{Delivery, DeliveryId};
use crate::finding::{Finding, FindingKey};
use crate::group::CountKey;
use crate::novelty::SeenChange;
use crate::progress::Progress;
use crate::source::SourceId;
use crate::tally::{Rows, StoredMinute};
use crate::time::{Minute, Second};

/// The changes of one log.
#[derive(Clone, Debug, PartialEq)]
pub struct LogCommit {
    /// The log.
    pub source: SourceId,
    /// Rows to write, by minute, ascending: each overwrites the stored row of its rule, group and minute.
    pub minutes: Vec<(Minute, Rows)>,
    /// How far the log has been read.
    pub progress: Progress,
}

/// A group that may have an episode as soon as everything before `until` is read: its rule has a repeat limit, and the span
/// that decides is not over.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WaitingGroup {
    /// The first second that the span does not need.
    pub until: Second,
    /// The rule and the group.
    pub key: CountKey,
}

/// The changes of the windows of some logs. The ledger writes all of them or none.
#[derive(Clone, Debug, PartialEq)]
pub struct Commit {
    /// The changes of each log, at most one for each.
    pub logs: Vec<LogCommit>,
    /// Rows of any log that are no longer needed.
    pub expired: Vec<StoredMinute>,
    /// After this commit, rows of rules that do not reach far are stored from here on only.
    pub near_rows_from: Minute,
    /// Findings to write, new or changed.
    pub findings: Vec<Finding>,
    /// Incidents without an open finding whose quiet time began before this are over.
    pub quiet_before: Second,
    /// Findings whose incidents are over and past every reread: they go to the archive as they are stored.
    pub archived: Vec<FindingKey>,
    /// Groups that wait from now on.
    pub waiting: Vec<WaitingGroup>,
    /// Groups that wait no more.
    pub judged: Vec<WaitingGroup>,
    /// What changes of the days on which groups were seen.
    pub seen: SeenChange,
    /// New deliveries.
    pub deliveries: Vec<Delivery>,
    /// The number that the next commit's first delivery will have.
    pub next_delivery: DeliveryId,
    /// How many notices about the watch it reports.
    pub notices: u64,
    /// The day whose line is among the deliveries, if one is: no earlier one is reported any more.
    pub day_reported: Option<Day>,
}

impl Commit {
    /// Returns a commit that changes nothing.
    #[must_use]
    pub fn empty(next_delivery: DeliveryId) -> Commit {
        Commit {
            logs: Vec::new(),
            expired: Vec::new(),
            near_rows_from: Minute(i64::MIN),
            findings: Vec::new(),
            quiet_before: Second(i64::MIN),
            archived: Vec::new(),
            waiting: Vec::new(),
            judged: Vec::new(),
            seen: SeenChange::default(),
            deliveries: Vec::new(),
            next_delivery,
            notices: 0,
            day_reported: None,
        }
    }

    /// Returns the commit with its deliveries split into parts of a bounded size, so that settling a message costs as much
    /// among thousands as among a few.
    #[must_use]
    pub fn with_split_deliveries(mut self) -> Commit {
        let Some(first) = self.deliveries.first().map(|delivery| delivery.id) else {
            return self;
        };
        self.next_delivery = first;
        for delivery in std::mem::take(&mut self.deliveries) {
            let parts = delivery.into_parts(self.next_delivery);
            self.next_delivery = DeliveryId(self.next_delivery.0 + parts.len() as u64);
            self.deliveries.extend(parts);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::{Activity, ENTRIES_MAX, Entry};

    #[test]
    fn parts_of_deliveries_are_numbered_from_the_first_delivery_on() {
        let entry = |key| Entry { finding: FindingKey(key), incident: None, activity: Activity::Create };
        let delivery = |id, destination: &str, keys: std::ops::Range<u128>| Delivery {
            id: DeliveryId(id),
            destination: destination.to_owned(),
            held_until: None,
            entries: keys.map(entry).collect(),
            notices: Vec::new(),
        };
        let commit = |deliveries, next| Commit { deliveries, ..Commit::empty(DeliveryId(next)) };
        let max = ENTRIES_MAX as u128;
        let whole = commit(vec![delivery(5, "bus", 0..max + 1), delivery(6, "secops", 0..1)], 7);
        let parts = vec![delivery(5, "bus", 0..max), delivery(6, "bus", max..max + 1), delivery(7, "secops", 0..1)];
        assert_eq!(whole.with_split_deliveries(), commit(parts, 8));
        assert_eq!(commit(Vec::new(), 9).with_split_deliveries(), commit(Vec::new(), 9));
    }
}
