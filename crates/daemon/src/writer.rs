//! The one task that writes state: windows close, commits and settlements are written, one after another.
//!
//! It is a thread of its own, because the disk blocks. Everything else asks it and waits for its answer, which comes
//! when what was asked for is durable.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use stakeout_core::context::FindingContext;
use stakeout_core::delivery::{Delivery, NotificationFilter, Settlement};
use stakeout_core::finding::{Finding, FindingKey};
use stakeout_core::fold::{CloseInput, Closed, WindowCounts};
use stakeout_core::group::CountKey;
use stakeout_core::hash::HashKey;
use stakeout_core::notice::Notice;
use stakeout_core::progress::Progress;
use stakeout_core::source::{LogId, Provider, Source, SourceId};
use stakeout_core::tally::StoredMinute;
use stakeout_core::time::{Minute, Second, Window};
use stakeout_ledger::{Ledger, LedgerError};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use crate::clock;
use crate::metric;
use crate::summary::Summary;

/// Records of expired minutes that one commit deletes at most: the engine's memory follows the keys of a batch.
const EXPIRED_CHUNKS_MAX: usize = 2048;
/// Requests that wait for the writer; each source and destination has one at a time.
const QUEUE_MAX: usize = 64;

/// What the state is read with: the logs of the config, and what the destinations want to hear.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    /// Every configured log, with where it begins when it was never read.
    pub(crate) logs: Vec<(LogId, Provider, i64)>,
    /// What the destinations want to hear.
    pub(crate) notification_filters: Vec<NotificationFilter>,
    /// How long, in seconds, requests of one episode can lie apart.
    pub(crate) reach_seconds: i64,
    /// How long a window is, in seconds.
    pub(crate) period_seconds: i64,
}

/// A window to close, or progress without one.
pub(crate) struct Ending {
    /// The source.
    pub(crate) source: Source,
    /// What was found.
    pub(crate) counted: WindowCounts,
    /// The window, which the stored minutes of this source are taken from.
    pub(crate) window: Window,
    /// How far the source has been read with it.
    pub(crate) progress: Progress,
    /// What there is to tell of the watch itself.
    pub(crate) notices: Vec<Notice>,
    /// What was found around stored findings.
    pub(crate) context: Vec<(FindingKey, FindingContext)>,
    /// The tick.
    pub(crate) at: Second,
    /// What the state is read with.
    pub(crate) scope: Arc<Scope>,
}

/// Why the state could not be read or written.
#[derive(Debug, Error)]
pub(crate) enum StateError {
    /// The ledger's own word.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The writer is gone: the process ends.
    #[error("the state is closed")]
    Closed,
}

/// What is asked of the writer.
enum Request {
    Close(Box<Ending>, oneshot::Sender<Result<Closed, StateError>>),
    Settle(Settlement, oneshot::Sender<Result<(), StateError>>),
    Owed(String, oneshot::Sender<Result<Vec<Delivery>, StateError>>),
    Findings(Vec<FindingKey>, oneshot::Sender<Result<HashMap<FindingKey, Finding>, StateError>>),
    Progress(oneshot::Sender<Result<Vec<Progress>, StateError>>),
    Summary(oneshot::Sender<Result<Summary, StateError>>),
}

/// The way to the writer.
#[derive(Clone)]
pub(crate) struct Writer {
    requests: mpsc::Sender<Request>,
    hash_key: HashKey,
}

impl Writer {
    /// Opens the state at `path` and starts the writer. It ends, and frees the state, when every `Writer` is dropped.
    pub(crate) fn start(path: PathBuf) -> Result<Writer, LedgerError> {
        let ledger = Ledger::open(&path)?;
        let hash_key = ledger.hash_key();
        let (requests, mut queue) = mpsc::channel(QUEUE_MAX);
        let mut desk = Desk { path, ledger: Some(ledger) };
        std::thread::Builder::new()
            .name("writer".to_owned())
            .spawn(move || {
                while let Some(request) = queue.blocking_recv() {
                    desk.answer(request);
                }
            })
            .map_err(|source| LedgerError::Failed { action: "start the writer".to_owned(), source })?;
        Ok(Writer { requests, hash_key })
    }

    /// Returns the key that chooses the evidence.
    pub(crate) fn hash_key(&self) -> HashKey {
        self.hash_key
    }

    /// Closes a window and returns when it is durable.
    pub(crate) async fn close(&self, ending: Ending) -> Result<Closed, StateError> {
        self.ask(|reply| Request::Close(Box::new(ending), reply)).await
    }

    /// Takes off what a destination took, and returns when that is durable.
    pub(crate) async fn settle(&self, settlement: Settlement) -> Result<(), StateError> {
        self.ask(|reply| Request::Settle(settlement, reply)).await
    }

    /// Returns all that `destination` is owed, ascending.
    pub(crate) async fn owed(&self, destination: &str) -> Result<Vec<Delivery>, StateError> {
        self.ask(|reply| Request::Owed(destination.to_owned(), reply)).await
    }

    /// Returns those of the findings that are stored.
    pub(crate) async fn findings(&self, keys: Vec<FindingKey>) -> Result<HashMap<FindingKey, Finding>, StateError> {
        self.ask(|reply| Request::Findings(keys, reply)).await
    }

    /// Returns how far every log was read.
    pub(crate) async fn progress(&self) -> Result<Vec<Progress>, StateError> {
        self.ask(Request::Progress).await
    }

    /// Returns what the state holds, in short.
    pub(crate) async fn summary(&self) -> Result<Summary, StateError> {
        self.ask(Request::Summary).await
    }

    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T, StateError>>) -> Request,
    ) -> Result<T, StateError> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(request(reply)).await.map_err(|_| StateError::Closed)?;
        answer.await.map_err(|_| StateError::Closed)?
    }
}

/// The writer's own side.
struct Desk {
    path: PathBuf,
    /// `None` after a failed write, until it could be opened again.
    ledger: Option<Ledger>,
}

impl Desk {
    fn answer(&mut self, request: Request) {
        // Who asked may be gone by now; what was written stays written.
        match request {
            Request::Close(ending, reply) => {
                drop(reply.send(self.with(|ledger| close(ledger, *ending))));
                self.measure();
            }
            Request::Settle(settlement, reply) => {
                drop(reply.send(self.with(|ledger| ledger.settle_delivery(&settlement))));
            }
            Request::Owed(destination, reply) => drop(reply.send(self.with(|ledger| owed(ledger, &destination)))),
            Request::Findings(keys, reply) => drop(reply.send(self.with(|ledger| findings(ledger, keys)))),
            Request::Summary(reply) => drop(reply.send(self.with(Summary::of))),
            Request::Progress(reply) => {
                let progress =
                    |ledger: &Ledger| Ok(ledger.progresses()?.into_iter().map(|(_, progress)| progress).collect());
                drop(reply.send(self.with(progress)));
            }
        }
    }

    /// Shows how large the state is. What cannot be measured is not worth failing for.
    fn measure(&self) {
        if let Some(ledger) = &self.ledger
            && let (Ok(bytes), Ok(blobs)) = (ledger.size_on_disk(), ledger.blobs())
        {
            metric::state(bytes, blobs);
        }
    }

    /// Runs `f` on the ledger, which is opened again where an earlier write failed.
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

fn owed(ledger: &Ledger, destination: &str) -> Result<Vec<Delivery>, LedgerError> {
    let mut owed = ledger.deliveries()?;
    owed.retain(|delivery| delivery.destination == destination);
    Ok(owed)
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

fn close(ledger: &Ledger, ending: Ending) -> Result<Closed, LedgerError> {
    let carried = carry(ledger, &ending)?;
    let closed = ending.counted.close(&ending.source, carried, clock::now());
    let mut closed = Closed { commit: closed.commit.with_parted_deliveries(), ..closed };
    ledger.commit_window(&mut closed.commit)?;
    Ok(closed)
}

/// Reads what must be known of other windows and sources to close this one.
fn carry(ledger: &Ledger, ending: &Ending) -> Result<CloseInput, LedgerError> {
    let source_id = ledger.source_id_for(&ending.source.log)?;
    let mut progress: HashMap<LogId, Progress> = HashMap::new();
    let mut providers: HashMap<SourceId, Provider> = HashMap::new();
    for (id, known) in ledger.progresses()? {
        let log = ending.scope.logs.iter().find(|(log, ..)| *log == known.log);
        providers.extend(log.map(|(_, provider, _)| (id, *provider)));
        progress.insert(known.log.clone(), known);
    }
    progress.insert(ending.source.log.clone(), ending.progress.clone());
    let reach = Reach::of(&progress, ending);
    let findings = ledger.findings()?;
    let mut expired = ledger.expired(reach.keep_from.minute(), EXPIRED_CHUNKS_MAX)?;
    drop_last_minute(&mut expired);
    // A finding is kept as long as a minute of its episode is stored: the episode would be told again. One commit may
    // delete a part only of what expired, oldest first.
    let stored_from = expired.last().map_or(reach.keep_from.minute(), |last| last.minute).start();
    let mut found_before = Vec::new();
    if let Some(window) = ending.counted.followed_from() {
        let (first, last) = minutes_of(window);
        let is_followed = |source, key: &CountKey| source == source_id && ending.counted.has_follow_ups(key.rule);
        found_before = ledger.minutes(first, last, is_followed)?;
    }
    let needed = ending.counted.keys_needed(&found_before, &expired, &findings);
    let (first, last) = minutes_of(ending.window);
    let own = ledger.minutes(first, last, |source, _| source == source_id)?;
    let mut minutes = Vec::new();
    if !needed.is_empty() {
        // A flood's rows fill memory: those of `own` are not read twice.
        let others = |source, key: &CountKey| source != source_id && needed.contains(key);
        minutes.extend(ledger.minutes(Minute(i64::MIN), first, |_, key| needed.contains(key))?);
        minutes.extend(ledger.minutes(first, last, others)?);
        minutes.extend(ledger.minutes(last, Minute(i64::MAX), |_, key| needed.contains(key))?);
    }
    drop(needed);
    let deliveries = ledger.deliveries()?;
    let owed: BTreeSet<FindingKey> =
        deliveries.iter().flat_map(|delivery| &delivery.entries).map(|entry| entry.finding).collect();
    Ok(CloseInput {
        source_id,
        progress: ending.progress.clone(),
        own,
        found_before,
        minutes,
        expired,
        findings,
        context: ending.context.clone(),
        owed,
        providers,
        read_until: reach.read_until,
        forget_before: stored_from,
        notification_filters: ending.scope.notification_filters.clone(),
        notices: ending.notices.clone(),
        next_delivery: ledger.next_delivery(),
    })
}

/// Returns the first minute of `window`, and the first behind it.
fn minutes_of(window: Window) -> (Minute, Minute) {
    (window.earliest().minute(), window.latest().plus(59).minute())
}

/// Leaves the latest minute for the next commit: where the limit cut the list, it may lack some sources, and of an
/// episode's minutes the whole of each must go at once.
fn drop_last_minute(expired: &mut Vec<StoredMinute>) {
    if let [first, .., last] = &expired[..]
        && first.minute != last.minute
    {
        let last = last.minute;
        expired.retain(|stored| stored.minute != last);
    }
}

/// How far the configured logs have been read, together.
struct Reach {
    /// All before it was read from every healthy source.
    read_until: Second,
    /// Minutes before it are not needed any more.
    keep_from: Second,
}

impl Reach {
    fn of(progress: &HashMap<LogId, Progress>, ending: &Ending) -> Reach {
        let scope = &ending.scope;
        // The window itself counts as owed: what this commit writes it must not delete as well.
        let own_owed_from = ending.progress.earliest_due().min(ending.window.earliest());
        let (mut read_until, mut owed_from) = (ending.progress.cursor, own_owed_from);
        for (log, _, start_seconds) in &scope.logs {
            let Some(known) = progress.get(log) else {
                let start = ending.at.plus(*start_seconds);
                (read_until, owed_from) = (read_until.min(start), owed_from.min(start));
                continue;
            };
            owed_from = owed_from.min(known.earliest_due());
            // A log that fails for two windows is not waited for.
            let is_lost = known.failing.is_some() && known.cursor.plus(2 * scope.period_seconds) < ending.at;
            if !is_lost {
                read_until = read_until.min(known.cursor);
            }
        }
        Reach { read_until, keep_from: owed_from.plus(-scope.reach_seconds) }
    }
}

#[cfg(test)]
mod property;
