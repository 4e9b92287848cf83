//! The numbers of everything that is stored, kept with every batch, so that nothing is counted by reading it.

use serde::{Deserialize, Serialize};
use stakeout_core::day_report::Day;
use stakeout_core::delivery::DeliveryId;
use stakeout_core::time::{Minute, Second};

use crate::embedded::ArchivePosition;

/// The numbers of a ledger, after some batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Totals {
    /// Batches since the ledger was made.
    pub(crate) writes: u64,
    /// The id of the next delivery.
    pub(crate) next_delivery: DeliveryId,
    /// Findings outside of the archive.
    pub(crate) findings: usize,
    /// Those of them that go on.
    pub(crate) findings_open: usize,
    /// Rows (rule, group, minute).
    pub(crate) rows: usize,
    /// Rows of rules that do not reach far are stored from here on only.
    pub(crate) near_rows_from: Minute,
    /// Incidents without an open finding whose quiet time began before this are over.
    pub(crate) quiet_before: Second,
    /// Up to where the archive is valid.
    pub(crate) archive: ArchivePosition,
    /// Whether the ledger began in place of one whose files are gone, and nothing was committed since.
    pub(crate) is_anew: bool,
    /// The time of the copy that the ledger began with again, if nothing was committed since.
    #[serde(default)]
    pub(crate) restored_from: Option<Second>,
    /// The last day whose line was committed; `None` also in a state of an earlier version.
    #[serde(default)]
    pub(crate) day_reported: Option<Day>,
    /// Notices since then.
    #[serde(default)]
    pub(crate) notices: u64,
    /// The number of the last batch that deleted days of groups; 0 also in a state of an earlier version.
    #[serde(default)]
    pub(crate) groups_forgotten_at: u64,
}

impl Totals {
    /// Returns the numbers of an empty ledger.
    pub(crate) const EMPTY: Totals = Totals {
        writes: 0,
        next_delivery: DeliveryId(0),
        findings: 0,
        findings_open: 0,
        rows: 0,
        near_rows_from: Minute(i64::MIN),
        quiet_before: Second(i64::MIN),
        archive: ArchivePosition { segment: 0, bytes: 0 },
        is_anew: false,
        restored_from: None,
        day_reported: None,
        notices: 0,
        groups_forgotten_at: 0,
    };
}
