//! The thread that owns the ledger and answers requests one at a time.

use std::collections::HashMap;
use std::path::PathBuf;

use stakeout_core::delivery::Delivery;
use stakeout_core::finding::{Finding, FindingKey};
use stakeout_ledger::{Ledger, LedgerError};
use tokio::sync::mpsc;

use super::close::close;
use super::{Request, StateError};
use crate::metric;
use crate::summary::Summary;

/// The thread that owns the ledger.
pub(super) struct WriterThread {
    path: PathBuf,
    /// `None` after a failed write, until the ledger can be opened again.
    ledger: Option<Ledger>,
}

impl WriterThread {
    /// Returns a thread that writes `ledger`, which is stored at `path`.
    pub(super) fn new(path: PathBuf, ledger: Ledger) -> WriterThread {
        WriterThread { path, ledger: Some(ledger) }
    }

    /// Answers requests until every sender of `queue` is dropped.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Request>) {
        while let Some(request) = queue.blocking_recv() {
            self.answer(request);
        }
    }

    fn answer(&mut self, request: Request) {
        // The caller may be gone by now. A commit stays all the same.
        match request {
            Request::Close(request, reply) => {
                drop(reply.send(self.with(|ledger| close(ledger, *request))));
                self.measure();
            }
            Request::Settle(settlement, reply) => {
                drop(reply.send(self.with(|ledger| ledger.settle_delivery(&settlement))));
            }
            Request::Deliveries(destination, reply) => {
                drop(reply.send(self.with(|ledger| deliveries(ledger, &destination))));
            }
            Request::Findings(keys, reply) => drop(reply.send(self.with(|ledger| findings(ledger, keys)))),
            Request::Summary(reply) => drop(reply.send(self.with(Summary::of))),
            Request::Progress(reply) => {
                let progress =
                    |ledger: &Ledger| Ok(ledger.progresses()?.into_iter().map(|(_, progress)| progress).collect());
                drop(reply.send(self.with(progress)));
            }
        }
    }

    /// Updates the metrics of the state's size. A failure to measure is ignored: the next commit measures again.
    fn measure(&self) {
        if let Some(ledger) = &self.ledger
            && let (Ok(bytes), Ok(blobs)) = (ledger.size_on_disk(), ledger.blobs())
        {
            metric::state(bytes, blobs);
        }
    }

    /// Runs `f` on the ledger, and opens the ledger again first if an earlier write failed.
    fn with<T>(&mut self, f: impl FnOnce(&Ledger) -> Result<T, LedgerError>) -> Result<T, StateError> {
        let ledger = match self.ledger.take() {
            Some(ledger) => ledger,
            None => Ledger::open(&self.path)?,
        };
        let answer = f(&ledger);
        if answer.is_ok() {
            self.ledger = Some(ledger);
        }
        Ok(answer?)
    }
}

fn deliveries(ledger: &Ledger, destination: &str) -> Result<Vec<Delivery>, LedgerError> {
    let mut deliveries = ledger.deliveries()?;
    deliveries.retain(|delivery| delivery.destination == destination);
    Ok(deliveries)
}

fn findings(ledger: &Ledger, keys: Vec<FindingKey>) -> Result<HashMap<FindingKey, Finding>, LedgerError> {
    let mut findings = HashMap::new();
    for key in keys {
        if !findings.contains_key(&key)
            && let Some(finding) = ledger.finding(&key)?
        {
            findings.insert(key, finding);
        }
    }
    Ok(findings)
}
