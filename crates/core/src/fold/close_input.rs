//! The stored state that closing needs, of the closed logs and of others. It is read at the end, and never before.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::WindowCounts;
use super::log_change::{JoinedChange, LogChange};
use crate::commit::WaitingGroup;
use crate::context::FindingContext;
use crate::delivery::{DeliveryId, NotificationFilter, Subject};
use crate::finding::{Finding, FindingKey};
use crate::hash::HashKey;
use crate::novelty::Seen;
use crate::progress::Progress;
use crate::source::{Provider, Source, SourceId};
use crate::tally::StoredMinute;
use crate::time::{Minute, Second};

/// The number of everything that is stored and has a limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Findings, open or within reach of a late event.
    pub findings: usize,
    /// Rows (rule, group, minute).
    pub rows: usize,
    /// Pending entries and notices of each destination, held ones included.
    pub pending: BTreeMap<String, usize>,
    /// What each destination will hear of with the growth of a day.
    pub held: Arc<BTreeMap<String, HashSet<Subject>>>,
}

/// The changes to close, and the stored state that closing them needs.
pub struct CloseInput {
    /// The changes, at most one for each log.
    pub changes: Vec<JoinedChange>,
    /// The stored rows of [`keys_needed`](super::keys_needed) in [`spans_needed`](super::spans_needed).
    pub minutes: Vec<StoredMinute>,
    /// Rows that are not needed any more.
    pub expired: Vec<StoredMinute>,
    /// Without these, rows of rules that do not reach far are stored from here on only.
    pub near_rows_from: Minute,
    /// The stored findings of the groups of these rows and of the expired ones, those of the same sources, those that
    /// are due to close, and those of `context`, each once, ascending by key.
    pub findings: Vec<Finding>,
    /// Groups that waited until `judged_until` or less, with the rows and findings that they need.
    pub judged: Vec<WaitingGroup>,
    /// Everything before it has been read, as far as anything will be: repeat limits are judged up to there.
    pub judged_until: Second,
    /// The days on which groups were seen.
    pub seen: Arc<Seen>,
    /// New contexts of some findings.
    pub context: Vec<(FindingKey, FindingContext)>,
    /// The service that keeps each log.
    pub providers: HashMap<SourceId, Provider>,
    /// Everything before it has been read from every healthy log, these changes included.
    pub read_until: Second,
    /// What each destination receives.
    pub notification_filters: Vec<NotificationFilter>,
    /// The number of the next delivery.
    pub next_delivery: DeliveryId,
    /// How much is stored.
    pub stored: Stored,
}

impl CloseInput {
    /// Returns the input that closes one window of `source` without a ledger: everything before `read_until` has been
    /// read, `minutes` are all that is stored, and nothing more will be read.
    #[must_use]
    pub fn alone(
        source: Source,
        window: Option<WindowCounts>,
        minutes: Vec<StoredMinute>,
        read_until: Second,
    ) -> CloseInput {
        let progress = Progress::new(source.log.clone(), read_until);
        let change = LogChange {
            source,
            source_id: SourceId(0),
            window,
            progress,
            notices: Vec::new(),
            found_before: Vec::new(),
        };
        CloseInput {
            changes: vec![change.join(&minutes)],
            minutes,
            expired: Vec::new(),
            near_rows_from: Minute(i64::MIN),
            findings: Vec::new(),
            judged: Vec::new(),
            judged_until: Second(i64::MAX),
            seen: Arc::new(Seen::new(HashKey([0; 16]), [])),
            context: Vec::new(),
            providers: HashMap::new(),
            read_until,
            notification_filters: Vec::new(),
            next_delivery: DeliveryId(0),
            stored: Stored::default(),
        }
    }
}
