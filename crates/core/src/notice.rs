//! Notices: what an operator must know of the watch itself, not of an attacker.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::day_report::DayReport;
use crate::time::{Second, Window};

/// Most sources or rules that a notice names: the largest.
pub const TOP_MAX: usize = 10;

/// A notice about the watch itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Notice {
    /// The source, by its name in the config; empty where it is about all of them.
    pub source: String,
    /// The cluster that it watches; empty where it is about all of them.
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
    /// The state was damaged, and begins again with a copy of an earlier time.
    StateRestored {
        /// The time of the copy.
        from: Second,
    },
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
    /// A day is over: what was read and found on it.
    Day(DayReport),
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

impl NoticeKind {
    fn and(&self, other: &NoticeKind) -> Option<NoticeKind> {
        match (self, other) {
            (
                NoticeKind::TooManyFindings { findings, requests, rules, top },
                NoticeKind::TooManyFindings {
                    findings: more,
                    requests: more_requests,
                    rules: more_rules,
                    top: more_top,
                },
            ) => Some(NoticeKind::TooManyFindings {
                findings: findings + more,
                requests: requests + more_requests,
                rules: largest(rules, more_rules),
                top: largest(top, more_top),
            }),
            (
                NoticeKind::Overflow { rows, requests, top },
                NoticeKind::Overflow { rows: more, requests: more_requests, top: more_top },
            ) => Some(NoticeKind::Overflow {
                rows: rows + more,
                requests: requests + more_requests,
                top: largest(top, more_top),
            }),
            (
                NoticeKind::NotFollowedUp { sources, reason },
                NoticeKind::NotFollowedUp { sources: more, reason: same },
            ) if reason == same => Some(NoticeKind::NotFollowedUp { sources: sources + more, reason: reason.clone() }),
            _ => None,
        }
    }
}

/// Returns the largest of two lists, with the sums of those that are in both.
fn largest(one: &[(String, u64)], other: &[(String, u64)]) -> Vec<(String, u64)> {
    let mut sums: BTreeMap<&String, u64> = BTreeMap::new();
    one.iter().chain(other).for_each(|(what, number)| *sums.entry(what).or_default() += number);
    let mut largest: Vec<(String, u64)> = sums.into_iter().map(|(what, number)| (what.clone(), number)).collect();
    largest.sort_by_key(|(_, number)| Reverse(*number));
    largest.truncate(TOP_MAX);
    largest
}

impl Notice {
    /// Returns a notice of both, if they are sums about the same window of one log: a window that is committed in parts has one
    /// for each part.
    #[must_use]
    pub fn and(&self, other: &Notice) -> Option<Notice> {
        let is_same = (&self.source, &self.cluster, self.window) == (&other.source, &other.cluster, other.window);
        let kind = self.kind.and(&other.kind).filter(|_| is_same)?;
        Some(Notice { kind, ..self.clone() })
    }

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
            | NoticeKind::StateRestored { .. }
            | NoticeKind::Day(_)
            | NoticeKind::DiscoveryFailed { .. }
            | NoticeKind::DiscoveryRecovered => false,
        }
    }
}
