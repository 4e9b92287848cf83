//! The outcome of a tick.

use stakeout_core::delivery::Subject;
use tokio::task::JoinError;
use tracing::error;

use crate::log_task::LogSummary;
use crate::writer::StateError;

/// The outcome of a tick.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TickSummary {
    /// Windows that were committed, rereads included.
    pub(crate) windows: usize,
    /// Why a log is not read as it should be: it fails, has a new gap or no records.
    pub(crate) troubles: Vec<String>,
    /// Logs that still have due windows.
    pub(crate) logs_pending: usize,
    /// Why clusters are not discovered as they should be: a list cannot be read, or finds none.
    pub(crate) discovery_failures: usize,
    /// Messages that destinations accepted.
    pub(crate) messages: usize,
    /// Messages that are still pending.
    pub(crate) messages_pending: usize,
    /// Why the file with silences is bad, if it is: those that were good before are in force.
    pub(crate) silences_error: Option<String>,
}

impl TickSummary {
    /// Returns whether every due window was read and every pending message was sent.
    pub(crate) fn is_complete(&self) -> bool {
        self.logs_pending == 0 && self.discovery_failures == 0 && self.messages_pending == 0
    }

    /// Adds the outcome of one log task, and returns its new findings and incidents that do not wait for other logs. Fails with an error of
    /// the state; the other logs go on.
    pub(crate) fn add_log(
        &mut self,
        task: Result<Result<LogSummary, StateError>, JoinError>,
    ) -> Result<Vec<Subject>, StateError> {
        match task {
            Ok(log) => {
                let log = log?;
                self.windows += log.windows;
                self.troubles.extend(log.trouble);
                self.logs_pending += usize::from(log.is_pending);
                Ok(log.urgent)
            }
            Err(error) => {
                error!(%error, "the task of a log crashed: this is a bug, please report it");
                self.logs_pending += 1;
                Ok(Vec::new())
            }
        }
    }
}
