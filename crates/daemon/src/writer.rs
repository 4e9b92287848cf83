//! The writer: the only thread that reads and writes the state. It closes windows and commits changes one at a time.
//!
//! The writer is a thread because the disk blocks. Each caller waits for its answer, which arrives when the change is
//! durable.

mod close;
mod thread;

use std::collections::HashMap;
use std::path::PathBuf;

use stakeout_core::delivery::{Delivery, Settlement};
use stakeout_core::finding::{Finding, FindingKey};
use stakeout_core::fold::Closed;
use stakeout_core::hash::HashKey;
use stakeout_core::progress::Progress;
use stakeout_ledger::{Ledger, LedgerError};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use crate::summary::Summary;

pub(crate) use close::{Change, CloseRequest, EngineConfig};
use thread::WriterThread;

/// Most requests that wait for the writer. Each log and each destination has at most one.
const QUEUE_MAX: usize = 64;

/// Why the state could not be read or written.
#[derive(Debug, Error)]
pub(crate) enum StateError {
    /// The ledger failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The writer thread has ended, because the process ends.
    #[error("the state is closed")]
    Closed,
}

/// A request to the writer thread, with the channel for its answer.
enum Request {
    Close(Box<CloseRequest>, oneshot::Sender<Result<Closed, StateError>>),
    Settle(Settlement, oneshot::Sender<Result<(), StateError>>),
    Deliveries(String, oneshot::Sender<Result<Vec<Delivery>, StateError>>),
    Findings(Vec<FindingKey>, oneshot::Sender<Result<HashMap<FindingKey, Finding>, StateError>>),
    Progress(oneshot::Sender<Result<Vec<Progress>, StateError>>),
    Summary(oneshot::Sender<Result<Summary, StateError>>),
}

/// A handle of the writer thread.
#[derive(Clone)]
pub(crate) struct Writer {
    requests: mpsc::Sender<Request>,
    hash_key: HashKey,
}

impl Writer {
    /// Opens the state at `path` and starts the writer thread. The thread ends and releases the state when every
    /// `Writer` is dropped.
    pub(crate) fn start(path: PathBuf) -> Result<Writer, LedgerError> {
        let ledger = Ledger::open(&path)?;
        let hash_key = ledger.hash_key();
        let (requests, queue) = mpsc::channel(QUEUE_MAX);
        let thread = WriterThread::new(path, ledger);
        std::thread::Builder::new()
            .name("writer".to_owned())
            .spawn(move || thread.run(queue))
            .map_err(|source| LedgerError::Failed { action: "start the writer".to_owned(), source })?;
        Ok(Writer { requests, hash_key })
    }

    /// Returns the key that chooses the evidence.
    pub(crate) fn hash_key(&self) -> HashKey {
        self.hash_key
    }

    /// Closes a window or another change, and returns when the commit is durable.
    pub(crate) async fn close(&self, request: CloseRequest) -> Result<Closed, StateError> {
        self.request(|reply| Request::Close(Box::new(request), reply)).await
    }

    /// Removes what a destination accepted from the pending deliveries, and returns when that is durable.
    pub(crate) async fn settle(&self, settlement: Settlement) -> Result<(), StateError> {
        self.request(|reply| Request::Settle(settlement, reply)).await
    }

    /// Returns the pending deliveries of `destination`, ascending.
    pub(crate) async fn deliveries(&self, destination: &str) -> Result<Vec<Delivery>, StateError> {
        self.request(|reply| Request::Deliveries(destination.to_owned(), reply)).await
    }

    /// Returns those findings of `keys` that are stored.
    pub(crate) async fn findings(&self, keys: Vec<FindingKey>) -> Result<HashMap<FindingKey, Finding>, StateError> {
        self.request(|reply| Request::Findings(keys, reply)).await
    }

    /// Returns the progress of every log.
    pub(crate) async fn progress(&self) -> Result<Vec<Progress>, StateError> {
        self.request(Request::Progress).await
    }

    /// Returns a summary of the state.
    pub(crate) async fn summary(&self) -> Result<Summary, StateError> {
        self.request(Request::Summary).await
    }

    async fn request<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T, StateError>>) -> Request,
    ) -> Result<T, StateError> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(request(reply)).await.map_err(|_| StateError::Closed)?;
        answer.await.map_err(|_| StateError::Closed)?
    }
}

#[cfg(test)]
mod property;
