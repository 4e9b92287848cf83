//! Notices: what an operator must know of the watch itself, not of an attacker.

use serde::{Deserialize, Serialize};

use crate::time::Window;

/// Something to tell of the watch itself, not of an attacker.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Notice {
    /// The source, by its name in the config.
    pub source: String,
    /// The cluster that it watches.
    pub cluster: String,
    /// The window that it is about.
    pub window: Window,
    /// What there is to tell.
    pub kind: NoticeKind,
}

/// What can be wrong with the watch.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum NoticeKind {
    /// The window could not be read and is passed over; it is tried again with the re-reads.
    Gap {
        /// Why.
        reason: String,
    },
    /// A gap was read after all.
    GapFilled,
    /// The log held no record at all for this many windows: is audit logging on?
    Silent {
        /// Windows in a row without a record.
        windows: u32,
    },
    /// The log has records again.
    SilenceOver,
    /// Sources whose later requests were to be looked for, and were not.
    NotFollowedUp {
        /// How many.
        sources: usize,
        /// Why.
        reason: String,
    },
    /// More groups crossed a threshold than one commit may open findings for: the largest have one, the rest is a sum.
    TooManyFindings {
        /// Groups that have none.
        findings: u64,
        /// Their requests; one that several rules count is in it several times.
        requests: u64,
        /// The largest sources among them, with their requests.
        top: Vec<(String, u64)>,
    },
    /// More groups than a window may store: the largest are counted exactly, the rest is told as a sum.
    Overflow {
        /// Rows (rule, group, minute) that are not stored.
        rows: u64,
        /// Requests in those rows.
        requests: u64,
        /// The largest sources among them, with their requests.
        top: Vec<(String, u64)>,
    },
}
