//! What `state show` shows: how far each log was read, what is open, what is owed.

use std::fmt;

use serde::{Deserialize, Serialize};
use stakeout_core::progress::Progress;
use stakeout_core::text::visible;
use stakeout_ledger::{Ledger, LedgerError};
use stakeout_notify::text::finding_line;

/// Open findings that people are shown one by one, the most severe first.
const LINES_MAX: usize = 20;

/// The state in short.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Summary {
    /// How far each log was read.
    pub(crate) logs: Vec<Progress>,
    /// Open findings, one line each.
    pub(crate) open: Vec<String>,
    /// Findings that are over, and are kept until no late event can join them.
    pub(crate) closed: usize,
    /// (destination, entries and notices) that are still owed.
    pub(crate) owed: Vec<(String, usize)>,
    /// Values that the engine put aside into files; it must stay 0.
    pub(crate) blobs: usize,
    /// Bytes on the disk.
    pub(crate) bytes: u64,
}

impl Summary {
    /// Returns what `ledger` holds, in short.
    pub(crate) fn of(ledger: &Ledger) -> Result<Summary, LedgerError> {
        let findings = ledger.findings()?;
        let mut open: Vec<_> = findings.iter().filter(|finding| finding.is_open()).collect();
        open.sort_by_key(|finding| (std::cmp::Reverse(finding.rule.level), finding.episode.first, finding.key));
        let mut owed: Vec<(String, usize)> = Vec::new();
        for delivery in ledger.deliveries()? {
            let n = delivery.entries.len() + delivery.notices.len();
            match owed.iter_mut().find(|(destination, _)| *destination == delivery.destination) {
                Some((_, owed)) => *owed += n,
                None => owed.push((delivery.destination, n)),
            }
        }
        Ok(Summary {
            logs: ledger.progresses()?.into_iter().map(|(_, progress)| progress).collect(),
            closed: findings.len() - open.len(),
            open: open.into_iter().map(finding_line).collect(),
            owed,
            blobs: ledger.blobs()?,
            bytes: ledger.size_on_disk()?,
        })
    }
}

/// Writes the summary for people.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "logs")?;
        for progress in &self.logs {
            writeln!(f, "  {}: read until {}", visible(&progress.log.0), progress.cursor)?;
            if let Some(failing) = &progress.failing {
                writeln!(f, "    failing since {}: {}", failing.since, visible(&failing.reason))?;
            }
            if progress.silent_windows > 0 {
                writeln!(f, "    {} windows without any record", progress.silent_windows)?;
            }
            for reread in &progress.rereads {
                let due: Vec<String> =
                    reread.after_seconds.iter().map(|after| reread.window.latest().plus(*after).to_string()).collect();
                writeln!(f, "    {} will be read again at {}", reread.window, due.join(", "))?;
            }
            for gap in &progress.gaps {
                writeln!(f, "    GAP {}: {}", gap.window, visible(&gap.reason))?;
            }
        }
        writeln!(f, "open findings: {} ({} more are over)", self.open.len(), self.closed)?;
        for line in self.open.iter().take(LINES_MAX) {
            writeln!(f, "  {line}")?;
        }
        if self.open.len() > LINES_MAX {
            writeln!(f, "  and {} more: --json lists all", self.open.len() - LINES_MAX)?;
        }
        writeln!(f, "owed")?;
        for (destination, n) in &self.owed {
            writeln!(f, "  {}: {n}", visible(destination))?;
        }
        writeln!(f, "{} bytes on the disk, {} blobs", self.bytes, self.blobs)
    }
}
