//! Findings on their way into the archive and out of it: the archive itself does not know what a finding is.

use stakeout_core::finding::{Finding, FindingKey};
use stakeout_core::rule::{HeadKey, Level};
use stakeout_core::time::Second;

use crate::archive::ArchiveReader;
use crate::archived_finding::{ArchivedFinding, FindingHead};
use crate::embedded::ArchiveOrder;
use crate::error::{LedgerError, Result};
use crate::rows::encoded;
use crate::rule_meta::RuleMetaStore;

/// The archive as it was when [`Ledger::archive`](crate::Ledger::archive) was called. It needs the ledger no more.
#[derive(Debug)]
pub struct ArchivedFindings {
    reader: ArchiveReader,
    rule_meta: RuleMetaStore,
}

impl ArchivedFindings {
    pub(crate) fn new(reader: ArchiveReader, rule_meta: RuleMetaStore) -> ArchivedFindings {
        ArchivedFindings { reader, rule_meta }
    }

    /// Returns the findings that `wants` accepts by their key, last second and level; the last archived first. What is damaged
    /// is an error, and the others still come.
    pub fn findings(self, wants: impl Fn(FindingKey, Second, Level) -> bool) -> impl Iterator<Item = Result<Finding>> {
        let wanted = move |head: &FindingHead| wants(head.key, head.last, level_of(head.level));
        let rule_meta = self.rule_meta;
        self.reader.findings(ArchiveOrder::NewestFirst, wanted).map(move |archived| {
            let archived = archived?;
            let finding: Finding<HeadKey> = postcard::from_bytes(&archived.body)
                .map_err(|error| LedgerError::damaged(format!("an archived finding cannot be read: {error}")))?;
            rule_meta.complete(finding)
        })
    }
}

/// Returns the archived form of a finding.
pub(crate) fn archived(finding: &Finding<HeadKey>, rule_meta: &RuleMetaStore) -> Result<ArchivedFinding> {
    let level = rule_meta.complete(finding.clone())?.rule.level;
    let head =
        FindingHead { key: finding.key, first: finding.episode.first, last: finding.episode.last, level: level as u8 };
    Ok(ArchivedFinding { head, body: encoded(finding)? })
}

fn level_of(number: u8) -> Level {
    Level::ALL.into_iter().find(|level| *level as u8 == number).unwrap_or(Level::Critical)
}
