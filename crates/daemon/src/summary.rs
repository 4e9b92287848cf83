//! The summary that `state show` prints: the progress of each log, open findings and pending messages.

mod log;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use stakeout_core::finding::{Finding, FindingKey};
use stakeout_core::rule::Level;
use stakeout_core::text::{counted, visible};
use stakeout_core::time::Second;
use stakeout_ledger::{Ledger, LedgerError};
use stakeout_notify::ocsf;
use stakeout_notify::text::finding_line;

use crate::printed::{Format, Printed};
use log::LogProgress;

/// Most open findings that the text form lists, the most severe first.
const LINES_MAX: usize = 20;
/// Most open findings that the JSON form lists; `stakeout findings list` shows the others.
const OPEN_MAX: usize = 1000;

/// An open finding.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct OpenFinding {
    pub(crate) uid: String,
    pub(crate) rule: String,
    /// The name of its level.
    pub(crate) level: String,
    /// RFC 3339.
    pub(crate) first_seen: String,
    /// RFC 3339.
    pub(crate) last_seen: String,
    /// Its requests.
    pub(crate) count: u64,
    /// The source that it groups by, if it does.
    pub(crate) source: Option<String>,
    /// The fields that it groups by, with their values.
    pub(crate) group: BTreeMap<String, String>,
    pub(crate) clusters: Vec<String>,
    /// The finding on one line, for the text form.
    #[serde(skip)]
    pub(crate) line: String,
}

impl PendingMessages {
    pub(crate) fn of((destination, messages): (String, usize)) -> PendingMessages {
        PendingMessages { destination, messages }
    }
}

impl OpenFinding {
    fn of(finding: &Finding) -> OpenFinding {
        OpenFinding {
            uid: finding.key.to_string(),
            rule: finding.rule.name.clone(),
            level: finding.rule.level.to_string(),
            first_seen: finding.episode.first.to_string(),
            last_seen: finding.episode.last.to_string(),
            count: finding.episode.count,
            source: finding.source_ip().map(|source| source.to_string()),
            group: finding.group_fields().map(|(field, value)| (field.to_owned(), value.to_string())).collect(),
            clusters: finding.clusters.iter().cloned().collect(),
            line: finding_line(finding),
        }
    }
}

/// What a destination has not taken yet.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PendingMessages {
    pub(crate) destination: String,
    /// Entries of findings, and notices.
    pub(crate) messages: usize,
}

/// What the database holds of one kind.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct KindSize {
    pub(crate) kind: String,
    /// Values of at most 4 KiB.
    pub(crate) records: u64,
    pub(crate) bytes: u64,
}

/// A summary of the state.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Summary {
    /// The progress of each log.
    pub(crate) logs: Vec<LogProgress>,
    /// Open findings, the most severe first, at most [`OPEN_MAX`].
    pub(crate) open: Vec<OpenFinding>,
    /// How many findings are open.
    pub(crate) open_total: usize,
    /// Closed findings, which are kept until no late event can join them.
    pub(crate) closed: usize,
    /// Pending messages, by destination.
    pub(crate) pending: Vec<PendingMessages>,
    /// Values that the engine moved into separate files; always 0 in a healthy state.
    pub(crate) blobs: usize,
    /// The size of the database on the disk in bytes.
    pub(crate) bytes: u64,
    /// What the database holds.
    pub(crate) holds: Vec<KindSize>,
    /// Rows (rule, group, minute).
    pub(crate) rows: usize,
    /// The size of the archive in bytes.
    pub(crate) archive_bytes: u64,
}

impl Summary {
    /// Returns the summary of `ledger`.
    pub(crate) fn of(ledger: &Ledger) -> Result<Summary, LedgerError> {
        let stored = ledger.stored()?;
        let holds = ledger.live_bytes()?;
        let mut open: BTreeMap<(Reverse<Level>, Second, FindingKey), OpenFinding> = BTreeMap::new();
        ledger.each_open_finding(|finding| {
            let order = (Reverse(finding.rule.level), finding.episode.first, finding.key);
            open.insert(order, OpenFinding::of(&finding));
            while open.len() > OPEN_MAX {
                open.pop_last();
            }
        })?;
        let open_total = ledger.findings_open()?;
        Ok(Summary {
            logs: ledger.progresses()?.iter().map(|(_, progress)| LogProgress::of(progress)).collect(),
            closed: stored.findings.saturating_sub(open_total),
            open_total,
            open: open.into_values().collect(),
            pending: stored.pending.into_iter().map(PendingMessages::of).collect(),
            blobs: ledger.blobs()?,
            bytes: ledger.size_on_disk()?,
            holds: holds.into_iter().map(|(kind, records, bytes)| KindSize { kind, records, bytes }).collect(),
            rows: stored.rows,
            archive_bytes: ledger.archive_bytes()?,
        })
    }

    /// Returns what `state show` prints.
    pub(crate) fn printed(&self, format: Format) -> Printed {
        let text = match format {
            Format::Text => self.to_string(),
            Format::Json => ocsf::to_lines(self) + "\n",
        };
        Printed { text, notes: Vec::new() }
    }
}

/// Writes the text form.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "logs")?;
        self.logs.iter().try_for_each(|log| write!(f, "{log}"))?;
        writeln!(f, "open findings: {} (and {} closed)", self.open_total, self.closed)?;
        for finding in self.open.iter().take(LINES_MAX) {
            writeln!(f, "  {}", finding.line)?;
        }
        if self.open_total > LINES_MAX {
            writeln!(f, "  and {} more: stakeout findings list --open", self.open_total - LINES_MAX)?;
        }
        writeln!(f, "pending messages")?;
        for PendingMessages { destination, messages } in &self.pending {
            writeln!(f, "  {}: {messages}", visible(destination))?;
        }
        let live: u64 = self.holds.iter().map(|kind| kind.bytes).sum();
        let (bytes, blobs) = (counted(self.bytes, "byte"), counted(self.blobs, "blob"));
        writeln!(f, "database: {bytes} on the disk, {live} of them live, {blobs}")?;
        for KindSize { kind, records, bytes } in &self.holds {
            writeln!(f, "  {kind}: {} in {}", counted(*bytes, "byte"), counted(*records, "record"))?;
        }
        writeln!(f, "archive of findings: {}", counted(self.archive_bytes, "byte"))
    }
}
