//! The one write: everything that a window changes, in one batch.

use crate::delivery::{Delivery, DeliveryId};
use crate::finding::{Finding, FindingKey};
use crate::progress::Progress;
use crate::source::SourceId;
use crate::tally::Rows;
use crate::time::Minute;

/// The changes of a window. The ledger writes all of them or none.
#[derive(Clone, Debug, PartialEq)]
pub struct Commit {
    /// The log whose window it is.
    pub source: SourceId,
    /// Minutes of this log to overwrite, ascending.
    pub minutes: Vec<(Minute, Rows)>,
    /// Minutes of any log that are no longer needed.
    pub expired: Vec<(SourceId, Minute)>,
    /// How far the log has been read.
    pub progress: Progress,
    /// Findings to write, new or changed.
    pub findings: Vec<Finding>,
    /// Findings that are over and past every reread.
    pub forgotten: Vec<FindingKey>,
    /// New deliveries.
    pub deliveries: Vec<Delivery>,
    /// The number that the next commit's first delivery will have.
    pub next_delivery: DeliveryId,
}

impl Commit {
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
    use crate::source::LogId;
    use crate::time::Second;

    #[test]
    fn parts_of_deliveries_are_numbered_from_the_first_delivery_on() {
        let entry = |key| Entry { finding: FindingKey(key), activity: Activity::Create };
        let delivery = |id, destination: &str, keys: std::ops::Range<u128>| Delivery {
            id: DeliveryId(id),
            destination: destination.to_owned(),
            entries: keys.map(entry).collect(),
            notices: Vec::new(),
        };
        let commit = |deliveries, next| Commit {
            source: SourceId(0),
            minutes: Vec::new(),
            expired: Vec::new(),
            progress: Progress::new(LogId("file/x".to_owned()), Second(0)),
            findings: Vec::new(),
            forgotten: Vec::new(),
            deliveries,
            next_delivery: DeliveryId(next),
        };
        let max = ENTRIES_MAX as u128;
        let whole = commit(vec![delivery(5, "bus", 0..max + 1), delivery(6, "secops", 0..1)], 7);
        let parts = vec![delivery(5, "bus", 0..max), delivery(6, "bus", max..max + 1), delivery(7, "secops", 0..1)];
        assert_eq!(whole.with_split_deliveries(), commit(parts, 8));
        assert_eq!(commit(Vec::new(), 9).with_split_deliveries(), commit(Vec::new(), 9));
    }
}
