//! The writer: the only thread that reads and writes the state. It closes windows and commits changes one at a time.
//!
//! The writer is a thread because the disk blocks. Each caller waits for its answer, which arrives when the change is
//! durable.

mod close;
mod day;
mod incidents;
mod least_progress;
mod parts;
mod thread;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use stakeout_core::day_report::{Day, DayReport};
use stakeout_core::delivery::{Delivery, Settlement};
use stakeout_core::finding::{Finding, FindingKey};
use stakeout_core::fold::{Closed, ClosedLog, Stored};
use stakeout_core::hash::HashKey;
use stakeout_core::incident::{Incident, IncidentKey, IncidentOptions};
use stakeout_core::lease::Lease;
use stakeout_core::progress::Progress;
use stakeout_core::shown::ShownIncident;
use stakeout_core::silence::Silences;
use stakeout_core::source::LogId;
use stakeout_core::time::Second;
use stakeout_ledger::{ArchivedFindings, LedgerError, Location, Stay};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use crate::finding_page::PageSearch;
use crate::incident_page::IncidentSearch;
use crate::summary::Summary;

pub(crate) use close::{Change, CloseRequest, EngineConfig};
use thread::WriterThread;

/// Most requests that wait for the writer. Each log and each destination has at most one.
const QUEUE_MAX: usize = 256;

/// Why the state could not be read or written.
#[derive(Clone, Debug, Error)]
pub(crate) enum StateError {
    /// The ledger failed. All changes that were closed at once share the error.
    #[error(transparent)]
    Ledger(Arc<LedgerError>),
    /// The writer thread has ended, because the process ends.
    #[error("the state is closed")]
    Closed,
}

impl StateError {
    /// Returns whether trying soon may help: of a database that is down, and of a write that another replica was faster with,
    /// or that was about another log too, which this process has lost.
    pub(crate) fn is_unavailable(&self) -> bool {
        let StateError::Ledger(error) = self else { return false };
        matches!(**error, LedgerError::Unavailable { .. } | LedgerError::Conflict { .. } | LedgerError::Fenced { .. })
    }
}

impl From<LedgerError> for StateError {
    fn from(error: LedgerError) -> StateError {
        StateError::Ledger(Arc::new(error))
    }
}

/// A change that was closed and is durable, maybe with those of other logs.
pub(crate) struct ClosedChange {
    closed: Arc<Closed>,
    index: usize,
}

impl ClosedChange {
    /// Returns what was committed, of all changes that were closed at once.
    pub(crate) fn closed(&self) -> &Closed {
        &self.closed
    }

    /// Returns what is known of this change.
    pub(crate) fn log(&self) -> &ClosedLog {
        &self.closed.logs[self.index]
    }

    /// Returns how far the log is read.
    pub(crate) fn progress(&self) -> &Progress {
        &self.closed.commit.logs[self.index].progress
    }
}

/// A question about incidents, for a destination.
#[derive(Debug)]
pub(crate) struct AskedIncidents {
    /// Each with a finding of it.
    pub(crate) asked: Vec<(IncidentKey, FindingKey)>,
    /// The destination.
    pub(crate) destination: String,
    /// How incidents are joined.
    pub(crate) options: IncidentOptions,
    /// What people do not want to hear of.
    pub(crate) silences: Arc<Silences>,
    /// When the answer is sent.
    pub(crate) now: Second,
}

/// The line of a day.
#[derive(Debug)]
pub(crate) struct DayLine {
    /// The day.
    pub(crate) day: Day,
    /// What there is to say, but for the notices, which the writer counts.
    pub(crate) report: DayReport,
    /// The destinations that get it.
    pub(crate) destinations: Vec<String>,
}

/// The current state of incidents, by the keys that were asked for.
#[derive(Debug, Default)]
pub(crate) struct ReportedIncidents {
    pub(crate) incidents: HashMap<IncidentKey, Incident>,
    /// Those that are silenced.
    pub(crate) silenced: HashSet<IncidentKey>,
    /// What the destination shows of them.
    pub(crate) shown: HashMap<IncidentKey, ShownIncident>,
}

/// A request to the writer thread, with the channel for its answer.
enum Request {
    Close(Box<CloseRequest>, oneshot::Sender<Result<ClosedChange, StateError>>),
    Settle(Settlement, Option<Lease>, oneshot::Sender<Result<(), StateError>>),
    Deliveries(String, oneshot::Sender<Result<Vec<Delivery>, StateError>>),
    Pending(oneshot::Sender<Result<BTreeMap<String, usize>, StateError>>),
    Findings(Vec<FindingKey>, oneshot::Sender<Result<HashMap<FindingKey, Finding>, StateError>>),
    Incidents(Box<AskedIncidents>, oneshot::Sender<Result<ReportedIncidents, StateError>>),
    Progress(LogId, oneshot::Sender<Result<Option<Progress>, StateError>>),
    Progresses(oneshot::Sender<Result<(Vec<Progress>, Stored), StateError>>),
    DayReported(oneshot::Sender<Result<Option<Day>, StateError>>),
    ReportDay(Box<DayLine>, oneshot::Sender<Result<bool, StateError>>),
    Check(oneshot::Sender<Result<(), StateError>>),
    Search(Box<PageSearch>, oneshot::Sender<Result<(PageSearch, Option<ArchivedFindings>), StateError>>),
    SearchIncidents(
        Box<IncidentSearch>,
        oneshot::Sender<Result<(IncidentSearch, Option<ArchivedFindings>), StateError>>,
    ),
    Summary(oneshot::Sender<Result<Summary, StateError>>),
}

/// A handle of the writer thread.
#[derive(Clone)]
pub(crate) struct Writer {
    requests: mpsc::Sender<Request>,
    hash_key: HashKey,
    /// How many logs are being read.
    logs_running: Arc<AtomicUsize>,
}

/// Counts a log as being read until it is dropped.
pub(crate) struct RunningLog(Arc<AtomicUsize>);

impl Drop for RunningLog {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Writer {
    /// Opens the state at `location` for a process that `stay`s as long, and starts the writer thread. The thread ends and
    /// releases the state when every `Writer` is dropped.
    pub(crate) fn start(location: Location, stay: Stay) -> Result<Writer, LedgerError> {
        let ledger = thread::open(&location, stay)?;
        let hash_key = ledger.hash_key();
        let (requests, queue) = mpsc::channel(QUEUE_MAX);
        let logs_running = Arc::new(AtomicUsize::new(0));
        let thread = WriterThread::new(location, stay, ledger, logs_running.clone());
        std::thread::Builder::new()
            .name("writer".to_owned())
            .spawn(move || thread.run(queue))
            .map_err(|source| LedgerError::Failed { action: "start the writer".to_owned(), source })?;
        Ok(Writer { requests, hash_key, logs_running })
    }

    /// Returns the key that chooses the evidence.
    pub(crate) fn hash_key(&self) -> HashKey {
        self.hash_key
    }

    /// Notes that a log is being read: the writer waits a moment for what it closes, to close it with that of others.
    pub(crate) fn note_running(&self) -> RunningLog {
        self.logs_running.fetch_add(1, Ordering::Relaxed);
        RunningLog(self.logs_running.clone())
    }

    /// Closes a window or another change, and returns when the commit is durable.
    pub(crate) async fn close(&self, request: CloseRequest) -> Result<ClosedChange, StateError> {
        self.request(|reply| Request::Close(Box::new(request), reply)).await
    }

    /// Removes what a destination accepted from the pending deliveries, and returns when that is durable. Under a `lease`, it fails
    /// where another replica has taken over.
    pub(crate) async fn settle(&self, settlement: Settlement, lease: Option<Lease>) -> Result<(), StateError> {
        self.request(|reply| Request::Settle(settlement, lease, reply)).await
    }

    /// Returns the pending deliveries of `destination`, ascending.
    pub(crate) async fn deliveries(&self, destination: &str) -> Result<Vec<Delivery>, StateError> {
        self.request(|reply| Request::Deliveries(destination.to_owned(), reply)).await
    }

    /// Returns the number of pending entries and notices of each destination that has any.
    pub(crate) async fn pending(&self) -> Result<BTreeMap<String, usize>, StateError> {
        self.request(Request::Pending).await
    }

    /// Returns those findings of `keys` that are stored.
    pub(crate) async fn findings(&self, keys: Vec<FindingKey>) -> Result<HashMap<FindingKey, Finding>, StateError> {
        self.request(|reply| Request::Findings(keys, reply)).await
    }

    /// Returns the incidents that these findings are a part of now, by the keys that are asked for; those of findings that are
    /// stored. An incident with another key is one that the asked one was joined with.
    pub(crate) async fn incidents(&self, question: AskedIncidents) -> Result<ReportedIncidents, StateError> {
        self.request(|reply| Request::Incidents(Box::new(question), reply)).await
    }

    /// Returns how far `log` is read, or `None` before its first commit.
    pub(crate) async fn progress(&self, log: &LogId) -> Result<Option<Progress>, StateError> {
        self.request(|reply| Request::Progress(log.clone(), reply)).await
    }

    /// Returns how far every log is read, and the numbers of what is stored.
    pub(crate) async fn progresses(&self) -> Result<(Vec<Progress>, Stored), StateError> {
        self.request(Request::Progresses).await
    }

    /// Returns the last day whose line was committed.
    pub(crate) async fn day_reported(&self) -> Result<Option<Day>, StateError> {
        self.request(Request::DayReported).await
    }

    /// Commits the line of a day as pending, and returns whether it was not committed before, when that is durable.
    pub(crate) async fn report_day(&self, line: DayLine) -> Result<bool, StateError> {
        self.request(|reply| Request::ReportDay(Box::new(line), reply)).await
    }

    /// Returns whether the writer answers and has its state open.
    pub(crate) async fn check(&self) -> Result<(), StateError> {
        self.request(Request::Check).await
    }

    /// Searches the findings outside of the archive, and returns the search with the archive, which is still to be searched.
    /// Other requests are answered meanwhile.
    pub(crate) async fn search(&self, mut search: PageSearch) -> Result<(PageSearch, ArchivedFindings), StateError> {
        loop {
            let (stepped, archive) = self.request(|reply| Request::Search(Box::new(search), reply)).await?;
            match archive {
                Some(archive) => return Ok((stepped, archive)),
                None => search = stepped,
            }
        }
    }

    /// Reads the findings outside of the archive for a search for incidents, and returns it with the archive, which is still
    /// to be read. Other requests are answered meanwhile.
    pub(crate) async fn search_incidents(
        &self,
        mut search: IncidentSearch,
    ) -> Result<(IncidentSearch, ArchivedFindings), StateError> {
        loop {
            let (stepped, archive) = self.request(|reply| Request::SearchIncidents(Box::new(search), reply)).await?;
            match archive {
                Some(archive) => return Ok((stepped, archive)),
                None => search = stepped,
            }
        }
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
