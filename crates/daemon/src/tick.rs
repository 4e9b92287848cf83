//! The outcome of a tick, and how long a tick waits for slow logs and destinations.

use std::time::Duration;

use tokio::task::JoinError;
use tracing::error;

use crate::dispatch::DispatchSummary;
use crate::log_task::LogSummary;
use crate::writer::StateError;

/// How long a tick waits for slow logs and destinations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitPolicy {
    /// Until all are done; `once` ends after that.
    UntilDone,
    /// For five minutes. Slow tasks then go on by themselves, and later ticks skip them until they are done.
    Limited,
}

impl WaitPolicy {
    /// Returns `limit` where there is one.
    pub(crate) fn limited_to(self, limit: Duration) -> Option<Duration> {
        (self == WaitPolicy::Limited).then_some(limit)
    }
}

/// The outcome of a tick.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TickSummary {
    /// Windows that were committed, rereads included.
    pub(crate) windows: usize,
    /// Logs that still have due windows.
    pub(crate) logs_pending: usize,
    /// Messages that destinations accepted.
    pub(crate) messages: usize,
    /// Messages that are still pending.
    pub(crate) messages_pending: usize,
}

impl TickSummary {
    /// Returns whether every due window was read and every pending message was sent.
    pub(crate) fn is_complete(&self) -> bool {
        self.logs_pending == 0 && self.messages_pending == 0
    }

    /// Adds the outcome of one log task. Returns an error of the state; the other logs go on.
    pub(crate) fn add_log(&mut self, task: Result<Result<LogSummary, StateError>, JoinError>) -> Option<StateError> {
        match task {
            Ok(Ok(log)) => {
                self.windows += log.windows;
                self.logs_pending += usize::from(log.is_pending);
                None
            }
            Ok(Err(error)) => Some(error),
            Err(error) => {
                error!(%error, "the task of a log crashed: this is a bug, please report it");
                self.logs_pending += 1;
                None
            }
        }
    }

    /// Adds the outcome of one destination's task.
    pub(crate) fn add_dispatch(
        &mut self,
        task: Result<Result<DispatchSummary, StateError>, JoinError>,
    ) -> Result<(), StateError> {
        match task {
            Ok(dispatch) => {
                let dispatch = dispatch?;
                self.messages += dispatch.sent;
                self.messages_pending += dispatch.pending;
            }
            Err(error) => {
                error!(%error, "the task of a destination crashed: this is a bug, please report it");
                self.messages_pending += 1;
            }
        }
        Ok(())
    }
}
