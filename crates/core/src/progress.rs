//! How far a log has been read: its cursor, the windows that will be looked at again, the gaps, and what
//! there is to tell of them.

use serde::{Deserialize, Serialize};

use crate::source::LogId;
use crate::time::{Second, Window};

/// Everything the ledger knows of one log beside its minutes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The log.
    pub log: LogId,
    /// All before it was read, or is a recorded gap.
    pub cursor: Second,
    /// Windows that are still to be looked at again, oldest first.
    pub relooks: Vec<Relook>,
    /// Windows that could not be read, oldest first.
    pub gaps: Vec<Gap>,
    /// Since when the window at the cursor has been failing, and why.
    pub failing: Option<Failing>,
    /// How many windows in a row held no record at all.
    pub silent_windows: u32,
    /// Whether the silence was told; a record ends it.
    pub silence_told: bool,
}

impl Progress {
    /// Returns the progress of a log of which nothing was read yet: it begins at `cursor`.
    #[must_use]
    pub fn new(log: LogId, cursor: Second) -> Progress {
        Progress {
            log,
            cursor,
            relooks: Vec::new(),
            gaps: Vec::new(),
            failing: None,
            silent_windows: 0,
            silence_told: false,
        }
    }

    /// Returns the earliest second that may be read again, or for the first time.
    #[must_use]
    pub fn earliest_owed(&self) -> Second {
        let relooks = self.relooks.iter().map(|relook| relook.window.earliest());
        relooks.chain([self.cursor]).min().unwrap_or(self.cursor)
    }
}

/// A window that is read again, because every provider delivers late.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relook {
    /// The window.
    pub window: Window,
    /// When, in seconds after the window's end, it is still to be read again; ascending, never empty.
    pub after_seconds: Vec<i64>,
}

/// A window that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The window.
    pub window: Window,
    /// Why.
    pub reason: String,
}

/// A window at the cursor that fails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failing {
    /// The first failed attempt.
    pub since: Second,
    /// The last attempt's error, bounded.
    pub reason: String,
}

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
    /// The window could not be read and is passed over; it is tried again with the re-looks.
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
