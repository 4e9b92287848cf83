//! The stored state that closing a window needs, of its own log and of others. It is read at the end, and never before.

use std::collections::{BTreeSet, HashMap};

use crate::context::FindingContext;
use crate::delivery::{DeliveryId, NotificationFilter};
use crate::finding::{Finding, FindingKey};
use crate::notice::Notice;
use crate::progress::Progress;
use crate::source::{LogId, Provider, SourceId};
use crate::tally::StoredMinute;
use crate::time::Second;

/// The stored state that closing a window needs.
#[derive(Clone, Debug)]
pub struct CloseInput {
    /// The number of the log that was read.
    pub source_id: SourceId,
    /// How far the log has been read with this window.
    pub progress: Progress,
    /// The stored minutes of this log inside the window, with all their rows.
    pub own: Vec<StoredMinute>,
    /// The stored minutes of this log in [`WindowCounts::followed_from`](super::WindowCounts::followed_from), with the rows of rules
    /// that [have follow-ups](super::WindowCounts::has_follow_ups).
    pub found_before: Vec<StoredMinute>,
    /// All stored minutes, with the rows of [`WindowCounts::keys_needed`](super::WindowCounts::keys_needed).
    pub minutes: Vec<StoredMinute>,
    /// Minutes that are not needed any more, with all their rows.
    pub expired: Vec<StoredMinute>,
    /// Every stored finding.
    pub findings: Vec<Finding>,
    /// New contexts of some findings.
    pub context: Vec<(FindingKey, FindingContext)>,
    /// Findings with pending deliveries.
    pub pending: BTreeSet<FindingKey>,
    /// The service that keeps each log.
    pub providers: HashMap<SourceId, Provider>,
    /// Everything before it has been read from every healthy log, this window included.
    pub read_until: Second,
    /// No log will be read again before it, and no minute before it is stored.
    pub forget_before: Second,
    /// What each destination receives.
    pub notification_filters: Vec<NotificationFilter>,
    /// Notices about the watch itself.
    pub notices: Vec<Notice>,
    /// The number of the next delivery.
    pub next_delivery: DeliveryId,
}

impl CloseInput {
    /// Returns the input without a ledger: everything before `read_until` has been read, and nothing is stored.
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
            pending: BTreeSet::new(),
            providers: HashMap::new(),
            read_until,
            forget_before: read_until,
            notification_filters: Vec::new(),
            notices: Vec::new(),
            next_delivery: DeliveryId(0),
        }
    }
}
