//! The thread that owns the ledger. It answers requests one at a time, but closes at once what waits to be closed.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use stakeout_core::address::SourceIp;
use stakeout_core::finding::{Finding, FindingKey};
use stakeout_core::fold::Stored;
use stakeout_core::progress::Progress;
use stakeout_core::time::Second;
use stakeout_ledger::{Compaction, Ledger, LedgerError, Location, Stay};
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, error, info, warn};

use super::close::CloseRequest;
use super::day;
use super::incidents;
use super::least_progress::LeastProgress;
use super::parts::close_in_parts;
use super::{ClosedChange, Request, StateError};
use crate::clock;
use crate::metric;
use crate::summary::Summary;

/// Most changes that are closed at once.
const BATCH_MAX: usize = 256;
/// Most rows of changes that are closed at once, if there is more than one: they are in memory together.
const BATCH_ROWS_MAX: usize = 40_000;
/// Most source addresses of changes that are closed at once, if there is more than one. Each may have findings of its own, and
/// whatever a batch of the engine touches is in memory until it is applied.
const BATCH_SOURCES_MAX: usize = 128;

/// How long the writer waits for the changes of other logs that are being read, and how often.
const WAIT: Duration = Duration::from_millis(5);
const WAITS_MAX: usize = 20;

/// How long after a damaged state began again with a copy another damage needs a person, in seconds.
const RESTORE_EVERY_SECONDS: i64 = 24 * 3_600;

/// A change that waits to be closed, with the channel for its answer.
type Waiting = (Box<CloseRequest>, oneshot::Sender<Result<ClosedChange, StateError>>);

/// The thread that owns the ledger.
pub(super) struct WriterThread {
    location: Location,
    stay: Stay,
    /// `None` after a failed write, until the ledger can be opened again.
    ledger: Option<Ledger>,
    /// `None` before the first close, and after a failed one.
    least: Option<LeastProgress>,
    /// The size of the database over which it is compacted.
    compact_over_bytes: u64,
    /// How many logs are being read.
    logs_running: Arc<AtomicUsize>,
}

impl WriterThread {
    /// Returns a thread that writes `ledger`, which is stored at `location`.
    pub(super) fn new(location: Location, stay: Stay, ledger: Ledger, logs_running: Arc<AtomicUsize>) -> WriterThread {
        WriterThread { location, stay, ledger: Some(ledger), least: None, compact_over_bytes: 0, logs_running }
    }

    /// Answers requests until every sender of `queue` is dropped.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Request>) {
        let mut waiting: Vec<Waiting> = Vec::new();
        while let Some(request) = queue.blocking_recv() {
            self.accept(request, &mut waiting);
            // Other logs are about to close the same window. One commit for all of them reads once what they share.
            for _ in 0..WAITS_MAX {
                while waiting.len() < BATCH_MAX
                    && let Ok(request) = queue.try_recv()
                {
                    self.accept(request, &mut waiting);
                }
                let rows: usize = waiting.iter().map(|(request, _)| request.rows()).sum();
                let is_complete = waiting.len() >= self.logs_running.load(Ordering::Relaxed).min(BATCH_MAX);
                if waiting.is_empty() || is_complete || rows >= BATCH_ROWS_MAX {
                    break;
                }
                clock::block_for(WAIT);
            }
            while !waiting.is_empty() {
                let batch = next_batch(&mut waiting);
                self.close(batch);
            }
            self.back_up();
            self.compact();
        }
    }

    /// Copies the state beside itself where the last copy is an hour old. What fails is tried again after the next commit.
    fn back_up(&self) {
        let Some(ledger) = &self.ledger else { return };
        match ledger.back_up(now()) {
            Ok(None) => {}
            Ok(Some(bytes)) => debug!(bytes, "state copied"),
            Err(error) => warn!(%error, "cannot copy the state: if it is damaged, an older copy takes its place"),
        }
    }

    /// Answers a request, or adds it to those that wait to be closed.
    fn accept(&mut self, request: Request, waiting: &mut Vec<Waiting>) {
        match request {
            Request::Close(request, reply) => waiting.push((request, reply)),
            other => self.answer(other),
        }
    }

    /// Compacts the database where it has grown by half since it was compacted or found to be compact. What fails is tried
    /// again when it has grown as much again, or when the daemon starts.
    fn compact(&mut self) {
        if let Location::Postgres(_) = self.location {
            return;
        }
        let bytes = self.ledger.as_ref().and_then(|ledger| ledger.size_on_disk().ok()).unwrap_or(0);
        if bytes <= self.compact_over_bytes {
            return;
        }
        self.compact_over_bytes = bytes + bytes / 2;
        if bytes <= Ledger::COMPACT_OVER_BYTES {
            self.compact_over_bytes = Ledger::COMPACT_OVER_BYTES;
            return;
        }
        // Nobody may have it open; the next request opens it again.
        self.ledger = None;
        match compact(&self.location) {
            Ok(Some(bytes)) => self.compact_over_bytes = bytes + bytes / 2,
            Ok(None) => {}
            Err(error) => warn!(%error, "cannot compact the database"),
        }
    }

    /// Closes changes under one config, and answers each of them. The callers may be gone by now; the commit stays all the
    /// same.
    fn close(&mut self, batch: Vec<Waiting>) {
        let (mut requests, replies): (VecDeque<CloseRequest>, Vec<_>) =
            batch.into_iter().map(|(request, reply)| (*request, reply)).unzip();
        let Some(first) = requests.pop_front() else { return };
        let config = first.config.clone();
        let mut least = self.least.take().filter(|least| least.is_of(&config));
        let closed = self.with(|ledger| {
            let mut known = match least.take() {
                Some(known) => known,
                None => LeastProgress::read(&config, ledger)?,
            };
            let closed = close_in_parts(ledger, &mut known, &config, first, requests.into())?;
            least = Some(known);
            Ok(closed)
        });
        self.least = least;
        match closed {
            Ok(closed) => {
                let closed = Arc::new(closed);
                for (index, reply) in replies.into_iter().enumerate() {
                    drop(reply.send(Ok(ClosedChange { closed: closed.clone(), index })));
                }
            }
            Err(error) => replies.into_iter().for_each(|reply| drop(reply.send(Err(error.clone())))),
        }
        self.measure();
    }

    fn answer(&mut self, request: Request) {
        match request {
            Request::Close(request, reply) => self.close(vec![(request, reply)]),
            Request::Settle(settlement, lease, reply) => {
                let settled = self.with(|ledger| ledger.settle_delivery(&settlement, lease.as_slice()));
                drop(reply.send(settled));
            }
            Request::Deliveries(destination, reply) => {
                drop(reply.send(self.read(|ledger| ledger.deliveries(&destination, Second(clock::now().as_second())))));
            }
            Request::Pending(reply) => drop(reply.send(self.read(|ledger| Ok(ledger.stored()?.pending)))),
            Request::Findings(keys, reply) => drop(reply.send(self.read(|ledger| findings(ledger, keys)))),
            Request::Incidents(question, reply) => {
                drop(reply.send(self.read(|ledger| incidents::reported(ledger, &question))));
            }
            Request::Search(mut search, reply) => {
                let archive = self.read(|ledger| search.step(ledger));
                drop(reply.send(archive.map(|archive| (*search, archive))));
            }
            Request::SearchIncidents(mut search, reply) => {
                let archive = self.read(|ledger| search.step(ledger));
                drop(reply.send(archive.map(|archive| (*search, archive))));
            }
            Request::Summary(reply) => drop(reply.send(self.read(Summary::of))),
            Request::Progress(log, reply) => {
                let progress = |ledger: &Ledger| Ok(ledger.progress(&log)?.map(|(_, progress)| progress));
                drop(reply.send(self.read(progress)));
            }
            Request::Progresses(reply) => drop(reply.send(self.read(progresses))),
            Request::DayReported(reply) => drop(reply.send(self.read(|ledger| Ok(ledger.day_reported()?.0)))),
            Request::ReportDay(line, reply) => drop(reply.send(self.with(|ledger| day::report(ledger, *line)))),
            Request::Check(reply) => drop(reply.send(self.read(|_| Ok(())))),
        }
    }

    /// Updates the metrics of the state's size. A failure to measure is ignored: the next commit measures again.
    fn measure(&self) {
        if let Some(ledger) = &self.ledger
            && let (Ok(bytes), Ok(blobs), Ok(stored)) = (ledger.size_on_disk(), ledger.blobs(), ledger.stored())
        {
            metric::state(bytes, blobs, &stored);
        }
    }

    /// Runs `f`, which only reads, on one state of the ledger.
    fn read<T>(&mut self, f: impl FnOnce(&Ledger) -> Result<T, LedgerError>) -> Result<T, StateError> {
        self.with(|ledger| ledger.snapshot(f))
    }

    /// Runs `f` on the ledger, and opens the ledger again first if an earlier write failed.
    fn with<T>(&mut self, f: impl FnOnce(&Ledger) -> Result<T, LedgerError>) -> Result<T, StateError> {
        let ledger = match self.ledger.take() {
            Some(ledger) => ledger,
            None => open(&self.location, self.stay)?,
        };
        let answer = f(&ledger);
        if matches!(answer, Err(LedgerError::Damaged { .. })) {
            // What waits for the answer is read again with the next tick.
            drop(ledger);
            restore(&self.location)?;
            return Ok(answer?);
        }
        // A write that is fenced was not begun.
        if matches!(answer, Ok(_) | Err(LedgerError::Fenced { .. })) {
            self.ledger = Some(ledger);
        }
        Ok(answer?)
    }
}

/// Opens the state, after compacting it where that is worth it. One that is damaged begins again with its last whole copy.
pub(super) fn open(location: &Location, stay: Stay) -> Result<Ledger, LedgerError> {
    let opened = || {
        compact(location)?;
        Ledger::open_for(location.clone(), stay)
    };
    match opened() {
        Err(damaged @ (LedgerError::Damaged { .. } | LedgerError::Unfinished)) => {
            if restore(location)? {
                opened()
            } else {
                Err(damaged)
            }
        }
        outcome => outcome,
    }
}

/// Puts the last whole copy of a damaged state in its place, and returns whether it did: not where there is none, and not twice
/// within a day, because what is damaged again so soon needs a person.
fn restore(location: &Location) -> Result<bool, LedgerError> {
    let Location::Directory(dir) = location else { return Ok(false) };
    let now = now();
    if Ledger::restored_at(dir)?.is_some_and(|at| at.plus(RESTORE_EVERY_SECONDS) > now) {
        return Ok(false);
    }
    match Ledger::restore(dir, now) {
        Ok(from) => {
            error!(%from, dir = %dir.display(), "the state was damaged: going on with its copy, and reading again from there");
            Ok(true)
        }
        Err(LedgerError::Damaged { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

fn now() -> Second {
    Second(clock::now().as_second())
}

/// Compacts the state at `location` if that is worth it, and returns the size of its database if so.
pub(super) fn compact(location: &Location) -> Result<Option<u64>, LedgerError> {
    let compacted = Ledger::compact(location.clone())?;
    if let Some(Compaction { bytes_before, bytes_after }) = compacted {
        info!(bytes_before, bytes_after, "database compacted");
    }
    Ok(compacted.map(|compaction| compaction.bytes_after))
}

/// Takes the changes that are closed at once: those of the first's window under its config, as far as their rows and what they
/// change of the state fit in memory together.
fn next_batch(waiting: &mut Vec<Waiting>) -> Vec<Waiting> {
    let Some((first, _)) = waiting.first() else { return Vec::new() };
    let (config, window) = (first.config.clone(), first.window());
    let mut rows = 0;
    let mut sources: HashSet<SourceIp> = HashSet::new();
    let mut taken = 0;
    let batch: Vec<Waiting> = waiting
        .extract_if(.., |(request, _)| {
            if request.window() != window || !Arc::ptr_eq(&request.config, &config) {
                return false;
            }
            let more: HashSet<SourceIp> = request.sources().filter(|source| !sources.contains(source)).collect();
            let fits = rows + request.rows() <= BATCH_ROWS_MAX && sources.len() + more.len() <= BATCH_SOURCES_MAX;
            let is_taken = taken == 0 || fits;
            if is_taken {
                rows += request.rows();
                sources.extend(more);
                taken += 1;
            }
            is_taken
        })
        .collect();
    batch
}

fn progresses(ledger: &Ledger) -> Result<(Vec<Progress>, Stored), LedgerError> {
    Ok((ledger.progresses()?.into_iter().map(|(_, progress)| progress).collect(), ledger.stored()?))
}

fn findings(ledger: &Ledger, keys: Vec<FindingKey>) -> Result<HashMap<FindingKey, Finding>, LedgerError> {
    let findings = ledger.findings(&keys.into_iter().collect())?;
    Ok(findings.into_iter().map(|finding| (finding.key, finding)).collect())
}
