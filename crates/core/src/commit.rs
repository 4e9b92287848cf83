//! The one write: everything that a window changes, in one batch.

use crate::delivery::{Delivery, DeliveryId};
use crate::finding::{Finding, FindingKey};
use crate::progress::Progress;
use crate::source::SourceId;
use crate::tally::Rows;
use crate::time::Minute;

/// What a window changes. The ledger writes all of it or nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Commit {
    /// The source whose window it is.
    pub source: SourceId,
    /// Minutes of this source to overwrite, ascending.
    pub minutes: Vec<(Minute, Rows)>,
    /// Minutes of any source that are not needed any more.
    pub expired: Vec<(SourceId, Minute)>,
    /// How far the source has been read.
    pub progress: Progress,
    /// Findings to write, new or changed.
    pub findings: Vec<Finding>,
    /// Findings that are over and past every re-look.
    pub forgotten: Vec<FindingKey>,
    /// What is owed to destinations now.
    pub deliveries: Vec<Delivery>,
    /// The number that the next commit's first delivery will have.
    pub next_delivery: DeliveryId,
}
