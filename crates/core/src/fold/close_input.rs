//! What must be known of other windows and sources to close one. It is asked for at the end, and never before.

use std::collections::{BTreeSet, HashMap};

use crate::context::FindingContext;
use crate::delivery::{DeliveryId, NotificationFilter};
use crate::finding::{Finding, FindingKey};
use crate::notice::Notice;
use crate::progress::Progress;
use crate::source::{LogId, Provider, SourceId};
use crate::tally::StoredMinute;
use crate::time::Second;

/// What must be known of other windows and sources to close one.
#[derive(Clone, Debug)]
pub struct CloseInput {
    /// The number of the source that was read.
    pub source_id: SourceId,
    /// How far the source has been read with this window.
    pub progress: Progress,
    /// The stored minutes of this source inside the window, with all their rows.
    pub own: Vec<StoredMinute>,
    /// The stored minutes of this source in [`Fold::followed_from`](super::WindowCounts::followed_from), with the rows of rules
    /// that [have follow-ups](super::WindowCounts::has_follow_ups).
    pub found_before: Vec<StoredMinute>,
    /// All stored minutes, with the rows of [`WindowCounts::keys_needed`](super::WindowCounts::keys_needed).
    pub minutes: Vec<StoredMinute>,
    /// Minutes that are not needed any more, with all their rows.
    pub expired: Vec<StoredMinute>,
    /// Every stored finding.
    pub findings: Vec<Finding>,
    /// What was found around some of them.
    pub context: Vec<(FindingKey, FindingContext)>,
    /// Findings that some destination is still owed.
    pub owed: BTreeSet<FindingKey>,
    /// The service that keeps each source's log.
    pub providers: HashMap<SourceId, Provider>,
    /// All before it was read from every healthy source, this window included.
    pub read_until: Second,
    /// No source will be read again before it, and no minute before it is stored.
    pub forget_before: Second,
    /// What the destinations want to hear.
    pub notification_filters: Vec<NotificationFilter>,
    /// What there is to tell of the watch itself.
    pub notices: Vec<Notice>,
    /// The number of the next delivery.
    pub next_delivery: DeliveryId,
}

impl CloseInput {
    /// Returns what is known where there is no ledger: nothing but that all before `read_until` was read.
    #[must_use]
    pub fn nothing(log: LogId, read_until: Second) -> CloseInput {
        CloseInput {
            source_id: SourceId(0),
            progress: Progress::new(log, read_until),
            own: Vec::new(),
            found_before: Vec::new(),
            minutes: Vec::new(),
            expired: Vec::new(),
            findings: Vec::new(),
            context: Vec::new(),
            owed: BTreeSet::new(),
            providers: HashMap::new(),
            read_until,
            forget_before: read_until,
            notification_filters: Vec::new(),
            notices: Vec::new(),
            next_delivery: DeliveryId(0),
        }
    }
}
