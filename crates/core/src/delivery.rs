//! What a commit owes a destination.

use serde::{Deserialize, Serialize};

use crate::finding::{Finding, FindingKey};
use crate::progress::Notice;
use crate::rule::Level;

/// What happened to a finding; the numbers are OCSF's `activity_id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Activity {
    /// It was opened.
    Create = 1,
    /// It grew.
    Update = 2,
    /// It is over, or was merged into another.
    Close = 3,
}

/// What a destination wants to hear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appetite {
    /// The destination's name from the config; owed deliveries are kept by it.
    pub destination: String,
    /// Findings below this level are not told.
    pub level_min: Level,
    /// Whether every update and every close is told (SNS, webhook, stdout), or only creates and the updates
    /// that add a cluster or raise the level (a Slack webhook, which cannot edit what it said).
    pub every_change: bool,
}

/// One thing to tell of one finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Entry {
    /// The finding.
    pub finding: FindingKey,
    /// What happened to it.
    pub activity: Activity,
}

/// The number of a delivery: commits count up, so a higher one is owed later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeliveryId(pub u64);

/// What one commit owes one destination: at most one entry for each finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Its number, unique in the ledger.
    pub id: DeliveryId,
    /// The destination that is owed.
    pub destination: String,
    /// What there is to tell of findings.
    pub entries: Vec<Entry>,
    /// What there is to tell of the watch itself.
    pub notices: Vec<Notice>,
}

/// What a destination took: these entries and notices of these deliveries are not owed any more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settlement {
    /// The entries that were taken.
    pub entries: Vec<(DeliveryId, Entry)>,
    /// The notices that were taken.
    pub notices: Vec<(DeliveryId, Notice)>,
}

impl Settlement {
    /// Tells whether nothing was taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.notices.is_empty()
    }
}

impl Appetite {
    /// Tells whether this destination wants to hear of `activity` on `finding`; `escalated` says that a cluster
    /// was added or the level rose.
    #[must_use]
    pub fn wants(&self, finding: &Finding, activity: Activity, escalated: bool) -> bool {
        finding.rule.level >= self.level_min
            && match activity {
                Activity::Create => true,
                Activity::Update => self.every_change || escalated,
                Activity::Close => self.every_change,
            }
    }
}
