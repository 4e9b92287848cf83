//! Notices: what an operator must know of the watch itself, not of an attacker.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::time::Window;

/// A notice about the watch itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Notice {
    /// The source, by its name in the config.
    pub source: String,
    /// The cluster that it watches.
    pub cluster: String,
    /// The window of the notice.
    pub window: Window,
    /// What happened.
    pub kind: NoticeKind,
}

/// What can happen to the watch.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum NoticeKind {
    /// The window could not be read. It is a gap until a reread fills it.
    Gap {
        /// Why.
        reason: String,
    },
    /// A reread filled a gap.
    GapFilled,
    /// The log held no records for this many windows: is audit logging on?
    Silent {
        /// Windows in a row without a record.
        windows: u32,
    },
    /// The log has records again.
    SilenceOver,
    /// The follow-up of some sources was given up.
    NotFollowedUp {
        /// The number of sources.
        sources: usize,
        /// Why.
        reason: String,
    },
    /// More groups crossed a threshold than findings may be opened or stored. The most severe and the largest have one, the
    /// rest is a sum.
    TooManyFindings {
        /// Groups without a finding.
        findings: u64,
        /// Their requests. A request that several rules count is included several times.
        requests: u64,
        /// The rules with most of these groups, with the number of groups.
        rules: Vec<(String, u64)>,
        /// The largest sources among them, with their requests.
        top: Vec<(String, u64)>,
    },
    /// So many messages to a destination are pending that it does not get all of the following ones.
    TooManyPending {
        /// The destination.
        destination: String,
        /// Pending findings and notices.
        pending: usize,
    },
    /// The window has more groups than may be stored. The largest are counted exactly, the rest is a sum.
    Overflow {
        /// Rows (rule, group, minute) that are not stored.
        rows: u64,
        /// Requests in those rows.
        requests: u64,
        /// The largest sources among them, with their requests.
        top: Vec<(String, u64)>,
    },
    /// The log was read beyond the present, because the system clock was ahead. The window is read again.
    ClockWasAhead,
    /// The files of the state are gone. It begins anew with the window.
    StateGone,
    /// Nearly all requests seem to come from a few private addresses, before which public ones are named.
    HiddenProxy {
        /// The addresses, the one of most requests first.
        addresses: Vec<IpAddr>,
    },
    /// Some files or seconds of the window could not be read. The rest of it was. It is a gap until a reread fills it.
    PartialGap {
        /// The files or seconds, each with the reason.
        reason: String,
    },
    /// A log that discovery found is not written any more, or is gone: its cluster was probably deleted.
    Vanished,
    /// The audit log of a cluster that discovery found is switched off.
    AuditOff {
        /// The command that switches it on.
        command: String,
    },
    /// A log that vanished or was switched off is written again.
    Returned,
    /// The list of logs could not be read, or not all of it: new clusters are not found.
    DiscoveryFailed {
        /// Why.
        reason: String,
    },
    /// The list of logs can be read again.
    DiscoveryRecovered,
}

impl Notice {
    /// Returns whether it is about its log alone, not about the whole watch.
    #[must_use]
    pub fn is_about_a_log(&self) -> bool {
        match self.kind {
            NoticeKind::Gap { .. }
            | NoticeKind::PartialGap { .. }
            | NoticeKind::GapFilled
            | NoticeKind::Silent { .. }
            | NoticeKind::SilenceOver
            | NoticeKind::NotFollowedUp { .. }
            | NoticeKind::HiddenProxy { .. }
            | NoticeKind::Vanished
            | NoticeKind::AuditOff { .. }
            | NoticeKind::Returned => true,
            NoticeKind::TooManyFindings { .. }
            | NoticeKind::TooManyPending { .. }
            | NoticeKind::Overflow { .. }
            | NoticeKind::ClockWasAhead
            | NoticeKind::StateGone
            | NoticeKind::DiscoveryFailed { .. }
            | NoticeKind::DiscoveryRecovered => false,
        }
    }
}
