//! Some of the findings that fit a query, the latest first. Only these are in memory.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stakeout_core::finding::{Finding, FindingKey};
use stakeout_core::finding_query::FindingQuery;
use stakeout_core::time::Second;
use stakeout_ledger::{ArchivedFindings, Ledger, LedgerError};

/// The answer to a query.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct FindingPage {
    /// The latest findings.
    pub(crate) findings: Vec<Finding>,
    /// How many fit.
    pub(crate) total: usize,
    /// Parts of the archive that could not be read.
    pub(crate) unreadable: usize,
}

/// A page that is being filled.
pub(crate) struct PageSearch {
    query: FindingQuery,
    limit: usize,
    latest: BTreeMap<(Reverse<Second>, FindingKey), Finding>,
    total: usize,
    unreadable: usize,
}

impl FindingPage {
    /// Returns the at most `limit` latest findings of `ledger` and of its archive.
    pub(crate) fn of_ledger(ledger: &Ledger, query: &FindingQuery, limit: usize) -> Result<FindingPage, LedgerError> {
        let (search, archive) = PageSearch::of_database(ledger, query.clone(), limit)?;
        Ok(search.with_archive(archive))
    }
}

impl PageSearch {
    /// Searches the findings outside of the archive, and returns the archive, which needs the ledger no more.
    pub(crate) fn of_database(
        ledger: &Ledger,
        query: FindingQuery,
        limit: usize,
    ) -> Result<(PageSearch, ArchivedFindings), LedgerError> {
        let mut search = PageSearch { query, limit, latest: BTreeMap::new(), total: 0, unreadable: 0 };
        ledger.each_finding(|finding| {
            search.add(finding);
            true
        })?;
        Ok((search, ledger.archive()?))
    }

    /// Searches the archive too, and returns the page.
    pub(crate) fn with_archive(mut self, archive: ArchivedFindings) -> FindingPage {
        if !self.query.is_open {
            let query = self.query.clone();
            for finding in archive.findings(move |key, last, level| query.may_match(key, last, level)) {
                match finding {
                    Ok(finding) => self.add(finding),
                    Err(error) => {
                        tracing::warn!(%error, "cannot read a part of the archive");
                        self.unreadable += 1;
                    }
                }
            }
        }
        FindingPage { findings: self.latest.into_values().collect(), total: self.total, unreadable: self.unreadable }
    }

    fn add(&mut self, finding: Finding) {
        if self.query.matches(&finding) {
            self.total += 1;
            self.latest.insert((Reverse(finding.episode.last), finding.key), finding);
            while self.latest.len() > self.limit {
                self.latest.pop_last();
            }
        }
    }
}
