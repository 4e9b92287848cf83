//! How far the configured logs are read, taken together: kept from commit to commit, not read again from the state.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use stakeout_core::progress::Progress;
use stakeout_core::source::{LogId, Provider, SourceId};
use stakeout_core::time::Second;
use stakeout_ledger::{Ledger, LedgerError};

use super::close::EngineConfig;

/// The least progress of the configured logs.
pub(super) struct LeastProgress {
    config: Arc<EngineConfig>,
    /// The version of the progress that it was read from.
    version: u64,
    /// The index of each configured log.
    index_of: HashMap<LogId, usize>,
    /// What is known of each configured log; `None` before its first commit.
    known: Vec<Option<Known>>,
    /// The cursors of all known logs with their indices.
    cursors: BTreeSet<(Second, usize)>,
    /// The earliest second that each known log will still read.
    due: BTreeSet<(Second, usize)>,
    /// The first seconds of unknown logs, relative to the tick.
    starts: BTreeSet<(i64, usize)>,
    providers: HashMap<SourceId, Provider>,
}

#[derive(Clone, Copy)]
struct Known {
    cursor: Second,
    due: Second,
    is_failing: bool,
}

impl LeastProgress {
    /// Reads the progress of the logs of `config`.
    pub(super) fn read(config: &Arc<EngineConfig>, ledger: &Ledger) -> Result<LeastProgress, LedgerError> {
        let logs = &config.logs;
        let mut least = LeastProgress {
            config: config.clone(),
            version: ledger.progress_version()?,
            index_of: logs.iter().enumerate().map(|(index, (log, ..))| (log.clone(), index)).collect(),
            known: vec![None; logs.len()],
            cursors: BTreeSet::new(),
            due: BTreeSet::new(),
            starts: logs.iter().enumerate().map(|(index, (.., start_seconds))| (*start_seconds, index)).collect(),
            providers: HashMap::new(),
        };
        for (source, progress) in ledger.progresses()? {
            least.note(source, &progress);
        }
        Ok(least)
    }

    /// Reads the progress again where another process has changed it.
    pub(super) fn refresh(&mut self, ledger: &Ledger) -> Result<(), LedgerError> {
        if ledger.progress_version()? != self.version {
            *self = LeastProgress::read(&self.config.clone(), ledger)?;
        }
        Ok(())
    }

    /// Returns whether it is about this config.
    pub(super) fn is_of(&self, config: &Arc<EngineConfig>) -> bool {
        Arc::ptr_eq(&self.config, config)
    }

    /// Notes how far a log is read now.
    pub(super) fn note(&mut self, source: SourceId, progress: &Progress) {
        let Some(index) = self.index_of.get(&progress.log).copied() else { return };
        let (_, provider, start_seconds) = &self.config.logs[index];
        self.providers.insert(source, *provider);
        self.starts.remove(&(*start_seconds, index));
        let (cursor, due) = (progress.cursor, progress.earliest_due());
        if let Some(before) = self.known[index].replace(Known { cursor, due, is_failing: progress.failing.is_some() }) {
            self.cursors.remove(&(before.cursor, index));
            self.due.remove(&(before.due, index));
        }
        // A log that nothing writes to is read no further, and holds up nothing.
        if progress.retired.is_none() {
            self.cursors.insert((cursor, index));
        }
        self.due.insert((due, index));
    }

    /// Returns the second up to which every healthy log is read at the tick `at`. A log that has failed for two windows holds
    /// up nothing, unless all have.
    pub(super) fn read_until(&self, at: Second) -> Second {
        let lost_before = at.plus(-2 * self.config.period_seconds);
        let is_healthy = |(cursor, index): &(Second, usize)| {
            *cursor >= lost_before || self.known[*index].is_none_or(|known| !known.is_failing)
        };
        let healthy = self.cursors.iter().copied().find(is_healthy).or_else(|| self.cursors.first().copied());
        let read = healthy.map(|(cursor, _)| cursor);
        read.into_iter().chain(self.first_start(at)).min().unwrap_or(at)
    }

    /// Returns the earliest second that any log will still read at the tick `at`.
    pub(super) fn due_from(&self, at: Second) -> Second {
        let due = self.due.first().map(|(due, _)| *due);
        due.into_iter().chain(self.first_start(at)).min().unwrap_or(at).min(at)
    }

    /// Returns the service that keeps the log.
    pub(super) fn provider(&self, source: SourceId) -> Option<Provider> {
        self.providers.get(&source).copied()
    }

    fn first_start(&self, at: Second) -> Option<Second> {
        self.starts.first().map(|(start_seconds, _)| at.plus(*start_seconds))
    }
}
