//! The summary that `state show` prints: the progress of each log, open findings and pending messages.

use std::cmp::Reverse;
use std::fmt;

use serde::{Deserialize, Serialize};
use stakeout_core::progress::Progress;
use stakeout_core::text::visible;
use stakeout_ledger::{Ledger, LedgerError};
use stakeout_notify::text::finding_line;

/// Most open findings that the text form lists, the most severe first.
const LINES_MAX: usize = 20;

/// A summary of the state.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Summary {
    /// The progress of each log.
    pub(crate) logs: Vec<Progress>,
    /// Open findings, one line each.
    pub(crate) open: Vec<String>,
    /// Closed findings, which are kept until no late event can join them.
    pub(crate) closed: usize,
    /// Pending entries and notices, by destination.
    pub(crate) pending: Vec<(String, usize)>,
    /// Values that the engine moved into separate files; always 0 in a healthy state.
    pub(crate) blobs: usize,
    /// The size of the state on the disk in bytes.
    pub(crate) bytes: u64,
}

impl Summary {
    /// Returns the summary of `ledger`.
    pub(crate) fn of(ledger: &Ledger) -> Result<Summary, LedgerError> {
        let findings = ledger.findings()?;
        let mut open: Vec<_> = findings.iter().filter(|finding| finding.is_open()).collect();
        open.sort_by_key(|finding| (Reverse(finding.rule.level), finding.episode.first, finding.key));
        let mut pending: Vec<(String, usize)> = Vec::new();
        for delivery in ledger.deliveries()? {
            let n = delivery.entries.len() + delivery.notices.len();
            match pending.iter_mut().find(|(destination, _)| *destination == delivery.destination) {
                Some((_, pending)) => *pending += n,
                None => pending.push((delivery.destination, n)),
            }
        }
        Ok(Summary {
            logs: ledger.progresses()?.into_iter().map(|(_, progress)| progress).collect(),
            closed: findings.len() - open.len(),
            open: open.into_iter().map(finding_line).collect(),
            pending,
            blobs: ledger.blobs()?,
            bytes: ledger.size_on_disk()?,
        })
    }
}

/// Writes the text form.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "logs")?;
        for progress in &self.logs {
            writeln!(f, "  {}: read until {}", visible(&progress.log.0), progress.cursor)?;
            if let Some(failing) = &progress.failing {
                writeln!(f, "    failing since {}: {}", failing.since, visible(&failing.reason))?;
            }
            if progress.silent_windows > 0 {
                writeln!(f, "    {} windows in a row without a record", progress.silent_windows)?;
            }
            for reread in &progress.rereads {
                let due: Vec<String> =
                    reread.after_seconds.iter().map(|after| reread.window.latest().plus(*after).to_string()).collect();
                writeln!(f, "    reread of {} due at {}", reread.window, due.join(", "))?;
            }
            for gap in &progress.gaps {
                writeln!(f, "    GAP {}: {}", gap.window, visible(&gap.reason))?;
            }
        }
        writeln!(f, "open findings: {} (and {} closed)", self.open.len(), self.closed)?;
        for line in self.open.iter().take(LINES_MAX) {
            writeln!(f, "  {line}")?;
        }
        if self.open.len() > LINES_MAX {
            writeln!(f, "  and {} more: --json lists all", self.open.len() - LINES_MAX)?;
        }
        writeln!(f, "pending messages")?;
        for (destination, n) in &self.pending {
            writeln!(f, "  {}: {n}", visible(destination))?;
        }
        writeln!(f, "{} bytes on the disk, {} blobs", self.bytes, self.blobs)
    }
}
