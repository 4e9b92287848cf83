//! The ids that the ledger gives to logs.
//!
//! They are in memory while the ledger is open; a commit writes those that it uses.

use std::collections::BTreeMap;

use stakeout_core::commit::{Commit, LogCommit};
use stakeout_core::delivery::DeliveryId;
use stakeout_core::progress::Progress;
use stakeout_core::source::{LogId, SourceId};

use crate::error::{LedgerError, Result};

/// The allocated ids.
#[derive(Debug)]
pub(crate) struct IdAllocator {
    sources: BTreeMap<LogId, SourceId>,
}

impl IdAllocator {
    /// Returns the allocator of a ledger that holds `stored`.
    pub(crate) fn new(stored: &BTreeMap<SourceId, Progress>) -> Result<IdAllocator> {
        let mut sources = BTreeMap::new();
        for (source, progress) in stored {
            if let Some(other) = sources.insert(progress.log.clone(), *source) {
                let log = &progress.log;
                return Err(LedgerError::damaged(format!("{log} has two ids, {} and {}", other.0, source.0)));
            }
        }
        Ok(IdAllocator { sources })
    }

    pub(crate) fn source(&self, log: &LogId) -> Option<SourceId> {
        self.sources.get(log).copied()
    }

    /// Returns the id of `log`; a new log gets the next one and keeps it while the ledger is open.
    pub(crate) fn source_for(&mut self, log: &LogId) -> Result<SourceId> {
        if let Some(known) = self.source(log) {
            return Ok(known);
        }
        let next = match self.sources.values().max() {
            None => 0,
            Some(last) => last.0.checked_add(1).ok_or_else(|| LedgerError::refused("all log ids are in use"))?,
        };
        self.sources.insert(log.clone(), SourceId(next));
        Ok(SourceId(next))
    }

    /// Refuses a commit with a log twice, with the id of another log, or with delivery ids that are not the next ones.
    pub(crate) fn check(&self, commit: &Commit, next_delivery: DeliveryId) -> Result<()> {
        let mut checked: BTreeMap<SourceId, &LogId> = BTreeMap::new();
        for LogCommit { source, progress, .. } in &commit.logs {
            let (source, log) = (*source, &progress.log);
            let is_known = self.source(log) == Some(source);
            let is_taken = || self.sources.contains_key(log) || self.sources.values().any(|taken| *taken == source);
            let is_twice = checked.insert(source, log).is_some();
            if (!is_known && is_taken()) || is_twice {
                return Err(LedgerError::refused(format!("{} is not the id of {log}", source.0)));
            }
        }
        let new = next_delivery..commit.next_delivery;
        if new.start > new.end {
            return Err(LedgerError::refused(format!("the next delivery id is {}, not {}", new.start.0, new.end.0)));
        }
        match commit.deliveries.iter().find(|one| !new.contains(&one.id)) {
            Some(wrong) => {
                Err(LedgerError::refused(format!("delivery {} is not in {}..{}", wrong.id.0, new.start.0, new.end.0)))
            }
            None => Ok(()),
        }
    }

    /// Remembers the ids of a commit that was written.
    pub(crate) fn note(&mut self, commit: &Commit) {
        self.sources.extend(commit.logs.iter().map(|log| (log.progress.log.clone(), log.source)));
    }
}
