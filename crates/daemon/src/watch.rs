//! The watch: what `run`, `once` and `demo` share. A tick reads what is owed, then tells what is owed.
//!
//! Every log is read by a task of its own, windows in order, so that a slow or failing one delays no other. What they
//! find is closed and written by the one writer. When every log is done, or has had five minutes, destinations are
//! told, each by a task of its own. The daemon then leaves the slow ones to themselves and goes on.

use std::sync::Arc;
use std::time::Duration;

use indicatif::ProgressBar;
use stakeout_core::context::FindingContext;
use stakeout_core::context_query::ContextQuery;
use stakeout_core::finding::FindingKey;
use stakeout_core::fold::{Closed, Limits, WindowCounts};
use stakeout_core::notice::{Notice, NoticeKind};
use stakeout_core::progress::Progress;
use stakeout_core::rule::Rules;
use stakeout_core::time::{Second, Window};
use stakeout_notify::destination::Destination;
use stakeout_notify::notice;
use tokio::task::{JoinError, JoinSet};
use tracing::{error, info, warn};

use crate::budget::Budgets;
use crate::clock;
use crate::config::Config;
use crate::destination;
use crate::dispatch;
use crate::in_flight::Busy;
use crate::metric;
use crate::scan::{Log, Reader, Reading};
use crate::shutdown::Shutdown;
use crate::writer::{Ending, Scope, StateError, Writer};

/// How long logs may take until destinations are told of what was found so far, and how long the daemon waits for
/// slow logs and destinations before it lets them go on by themselves.
const WAIT_MAX: Duration = Duration::from_secs(5 * 60);

/// How long a tick waits for slow logs and destinations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Until all is done: `once` ends with it.
    UntilDone,
    /// For a while; then they go on by themselves, and the next tick passes them over until they are done.
    Limited,
}

/// A config in use.
pub(crate) struct Watch {
    config: Config,
    logs: Vec<Arc<Log>>,
    destinations: Vec<Arc<Destination>>,
    scope: Arc<Scope>,
    reader: Reader,
    writer: Writer,
    busy: Busy,
}

/// How a tick went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ticked {
    /// Windows that were committed, re-reads included.
    pub(crate) windows: usize,
    /// Logs that still owe a window.
    pub(crate) logs_owing: usize,
    /// Messages that destinations took.
    pub(crate) messages: usize,
    /// Messages that destinations are still owed.
    pub(crate) messages_owed: usize,
}

/// How reading one log went.
#[derive(Clone, Copy, Debug, Default)]
struct LogRead {
    windows: usize,
    is_owing: bool,
}

impl Ticked {
    /// Notes how reading one log went; what was wrong with the state is returned, and the other logs go on.
    fn note_read(&mut self, read: Result<Result<LogRead, StateError>, JoinError>) -> Option<StateError> {
        match read {
            Ok(Ok(read)) => {
                self.windows += read.windows;
                self.logs_owing += usize::from(read.is_owing);
                None
            }
            Ok(Err(fault)) => Some(fault),
            Err(fault) => {
                error!(%fault, "a log could not be read: this is a fault of the program");
                self.logs_owing += 1;
                None
            }
        }
    }

    /// Notes how telling one destination went.
    fn note_told(&mut self, told: Result<Result<dispatch::Told, StateError>, JoinError>) -> Result<(), StateError> {
        match told {
            Ok(told) => {
                let told = told?;
                self.messages += told.sent;
                self.messages_owed += told.owed;
            }
            Err(fault) => {
                error!(%fault, "a destination could not be told: this is a fault of the program");
                self.messages_owed += 1;
            }
        }
        Ok(())
    }
}

impl Watch {
    /// Puts a config into use. Nothing is read or sent yet. `busy` outlives the config: what is at work goes on.
    pub(crate) async fn new(config: Config, rules: Rules, writer: Writer, busy: Busy) -> Result<Watch, anyhow::Error> {
        let mut budgets = Budgets::default();
        let mut logs = Vec::new();
        for source in &config.sources {
            logs.push(Arc::new(Log::open(source, &mut budgets).await?));
        }
        let mut destinations = Vec::new();
        for destination in &config.notify {
            destinations.push(Arc::new(destination::open(destination).await?));
        }
        let rules = Arc::new(rules);
        let scope = Scope {
            logs: logs.iter().map(|log| (log.source.log.clone(), log.source.provider, log.start_seconds)).collect(),
            notification_filters: destinations.iter().map(|destination| destination.notification_filter()).collect(),
            reach_seconds: rules.longest_reach_seconds(),
            period_seconds: config.schedule.latest_seconds - config.schedule.earliest_seconds,
        };
        let reader = Reader {
            prefilter: Arc::new(rules.prefilter()),
            follow_ups: None,
            rules,
            trusted: Arc::new(config.trusted_proxies.clone()),
            hash_key: writer.hash_key(),
            limits: Limits {
                rows_max: config.rows_max as usize,
                context_query_min: config.context_query_min,
                ..Limits::default()
            },
        };
        Ok(Watch { config, logs, destinations, scope: Arc::new(scope), reader, writer, busy })
    }

    /// Returns the config in use.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// Returns the active rules.
    pub(crate) fn rules(&self) -> &Rules {
        &self.reader.rules
    }

    /// Returns what is at work.
    pub(crate) fn busy(&self) -> &Busy {
        &self.busy
    }

    /// Returns the way to the state.
    pub(crate) fn writer(&self) -> &Writer {
        &self.writer
    }

    /// Reads and tells all that is owed at `at`. `bar` follows the windows.
    pub(crate) async fn tick(
        self: &Arc<Self>,
        at: Second,
        patience: Patience,
        shutdown: &Shutdown,
        bar: &ProgressBar,
    ) -> Result<Ticked, StateError> {
        let mut ticked = Ticked::default();
        let mut fault = None;
        let mut reads = self.begin_reads(at, shutdown, bar, &mut ticked);
        let told_early = {
            let limit = clock::sleep(WAIT_MAX);
            tokio::pin!(limit);
            loop {
                tokio::select! {
                    read = reads.join_next() => match read {
                        Some(read) => fault = ticked.note_read(read).or(fault),
                        None => break false,
                    },
                    () = &mut limit => break true,
                }
            }
        };
        if told_early {
            fault = self.tell(patience, shutdown, &mut ticked).await.err().or(fault);
        }
        match patience {
            Patience::Limited => {
                ticked.logs_owing += reads.len();
                reads.detach_all();
            }
            Patience::UntilDone => {
                while let Some(read) = reads.join_next().await {
                    fault = ticked.note_read(read).or(fault);
                }
            }
        }
        if !told_early || patience == Patience::UntilDone {
            fault = self.tell(patience, shutdown, &mut ticked).await.err().or(fault);
        }
        fault.map_or(Ok(ticked), Err)
    }

    /// Begins to read every log that nobody is at work on.
    fn begin_reads(
        self: &Arc<Self>,
        at: Second,
        shutdown: &Shutdown,
        bar: &ProgressBar,
        ticked: &mut Ticked,
    ) -> JoinSet<Result<LogRead, StateError>> {
        let mut reads = JoinSet::new();
        for log in &self.logs {
            let Some(guard) = self.busy.take(format!("log {}", log.source.log)) else {
                warn!(source = log.source.name, "log is still being read: it is passed over this time");
                ticked.logs_owing += 1;
                continue;
            };
            let (watch, log, shutdown, bar) = (self.clone(), log.clone(), shutdown.clone(), bar.clone());
            reads.spawn(async move {
                let read = watch.read_log(&log, at, &shutdown, &bar).await;
                drop(guard);
                if let Err(fault) = &read {
                    error!(source = log.source.name, %fault, "what was read of a log could not be written");
                }
                read
            });
        }
        reads
    }

    /// Tells every destination that nobody is at work on what it is owed.
    async fn tell(
        self: &Arc<Self>,
        patience: Patience,
        shutdown: &Shutdown,
        ticked: &mut Ticked,
    ) -> Result<(), StateError> {
        ticked.messages_owed = 0;
        let mut sends = JoinSet::new();
        for destination in &self.destinations {
            let Some(guard) = self.busy.take(format!("destination {}", destination.name())) else {
                warn!(destination = destination.name(), "destination is still being told: it is passed over this time");
                ticked.messages_owed += 1;
                continue;
            };
            let (destination, writer, shutdown) = (destination.clone(), self.writer.clone(), shutdown.clone());
            sends.spawn(async move {
                let told = dispatch::tell(&destination, &writer, &shutdown).await;
                drop(guard);
                told
            });
        }
        let limit = clock::sleep(WAIT_MAX);
        tokio::pin!(limit);
        loop {
            tokio::select! {
                told = sends.join_next() => match told {
                    Some(told) => ticked.note_told(told)?,
                    None => return Ok(()),
                },
                () = &mut limit, if patience == Patience::Limited => {
                    ticked.messages_owed += sends.len();
                    sends.detach_all();
                    return Ok(());
                }
            }
        }
    }

    /// Reads what one log owes: new windows in order, then those to be looked at again.
    async fn read_log(
        &self,
        log: &Log,
        at: Second,
        shutdown: &Shutdown,
        bar: &ProgressBar,
    ) -> Result<LogRead, StateError> {
        let known = self.writer.progress().await?;
        let progress = known.into_iter().find(|progress| progress.log == log.source.log);
        if progress.as_ref().is_some_and(|progress| progress.cursor > at) {
            warn!(source = log.source.name, "the log was read further than the clock shows: is the clock right?");
        }
        let owed = self.config.schedule.owed(progress.as_ref(), log.start_seconds, at);
        bar.inc_length((owed.windows.len() + owed.rereads.len()) as u64);
        let start = owed.windows.first().map_or(at, Window::earliest);
        let mut progress = progress.unwrap_or_else(|| Progress::new(log.source.log.clone(), start));
        let mut read = LogRead::default();
        if let Some(gap) = owed.gap {
            let reason = "the window lies further back than max_backfill".to_owned();
            let kind = progress.note_gap(gap, reason);
            self.note_progress(log, gap, &mut progress, Some(kind), at).await?;
        }
        for window in owed.windows {
            if shutdown.is_asked() {
                return Ok(LogRead { is_owing: true, ..read });
            }
            if !self.read_window(log, window, &mut progress, at, false).await? {
                read.is_owing = true;
                break;
            }
            read.windows += 1;
            bar.inc(1);
            read.is_owing |= !self.follow_up(log, &mut progress, at, shutdown).await?;
        }
        for window in owed.rereads {
            if shutdown.is_asked() {
                return Ok(LogRead { is_owing: true, ..read });
            }
            if self.read_window(log, window, &mut progress, at, true).await? {
                read.windows += 1;
                bar.inc(1);
            } else if progress.is_reread_overdue(window, at) {
                progress.give_up_reread(window, at);
                self.note_progress(log, window, &mut progress, None, at).await?;
                warn!(source = log.source.name, %window, "window could not be read again in time, and is left as it is");
            } else {
                read.is_owing = true;
                break;
            }
        }
        read.is_owing |= !self.follow_up(log, &mut progress, at, shutdown).await?;
        if !shutdown.is_asked() {
            self.context_query(log, &mut progress, at).await?;
        }
        Ok(read)
    }

    /// Looks around the new findings, so that who is told of them now hears of both.
    async fn context_query(&self, log: &Log, progress: &mut Progress, at: Second) -> Result<(), StateError> {
        let looks: Vec<ContextQuery> =
            std::mem::take(&mut progress.context_queries).into_iter().map(|look| look.before(at)).collect();
        // No minute changes with it, so none need be known.
        let Some(window) = Window::new(progress.cursor.plus(-1), progress.cursor).filter(|_| !looks.is_empty()) else {
            return Ok(());
        };
        let keys: Vec<FindingKey> = looks.iter().map(|look| look.finding).collect();
        let arounds = log.context_query(looks, &self.reader).await;
        let context: Vec<(FindingKey, FindingContext)> = keys.into_iter().zip(arounds).collect();
        info!(source = log.source.name, findings = context.len(), "looked around new findings");
        let nothing = self.reader.nothing(window).count();
        self.close(log, window, nothing, progress, None, context, at).await.map(drop)
    }

    /// Reads and commits what is to be followed up and can be read by now; `false` where some of it is still owed.
    ///
    /// A follow-up that fails is tried again with the next tick: its source was tried for a minute already.
    async fn follow_up(
        &self,
        log: &Log,
        progress: &mut Progress,
        at: Second,
        shutdown: &Shutdown,
    ) -> Result<bool, StateError> {
        let cursor = progress.cursor;
        for parts in log.parts_at_once(progress.due_follow_ups()) {
            if shutdown.is_asked() {
                return Ok(false);
            }
            let (begun, window) = (clock::monotonic(), parts.window);
            match log.read_follow_ups(&parts, &self.reader).await {
                Ok(reading) => {
                    parts.follow_ups.iter().for_each(|part| progress.note_followed(part, cursor));
                    self.commit(log, window, reading, progress, None, at, begun.elapsed()).await?;
                }
                Err(unread) => {
                    metric::failed(&log.source.name);
                    warn!(source = log.source.name, %window, reason = unread.reason, "follow-up could not be read");
                    let kind = progress.note_follow_up_failure(&parts.follow_ups, cursor, &unread.reason);
                    let is_given_up = kind.is_some();
                    self.note_progress(log, window, progress, kind, at).await?;
                    if !is_given_up {
                        return Ok(false);
                    }
                }
            }
        }
        Ok(progress.due_follow_ups().is_empty())
    }

    /// Reads and commits one window; `false` where it could not be read, which is written as well.
    async fn read_window(
        &self,
        log: &Log,
        window: Window,
        progress: &mut Progress,
        at: Second,
        is_reread: bool,
    ) -> Result<bool, StateError> {
        let begun = clock::monotonic();
        match log.read(window, is_reread, &self.reader).await {
            Ok(reading) => {
                let kind = if is_reread {
                    progress.note_reread(window, at)
                } else {
                    progress.note_read(window, at, &log.reread_seconds, reading.has_records)
                };
                self.commit(log, window, reading, progress, kind, at, begun.elapsed()).await?;
                Ok(true)
            }
            Err(unread) => {
                metric::failed(&log.source.name);
                warn!(source = log.source.name, %window, reason = unread.reason, "window could not be read");
                if is_reread {
                    return Ok(false);
                }
                let kind = progress.note_failure(window, at, &log.reread_seconds, &unread.reason);
                let is_passed = kind.is_some();
                self.note_progress(log, window, progress, kind, at).await?;
                Ok(is_passed)
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one call, and every one of them is another thing")]
    async fn commit(
        &self,
        log: &Log,
        window: Window,
        reading: Reading,
        progress: &mut Progress,
        kind: Option<NoticeKind>,
        at: Second,
        took: Duration,
    ) -> Result<(), StateError> {
        let Reading { counted, changes, cost, .. } = reading;
        let closed = self.close(log, changes, counted, progress, kind, Vec::new(), at).await?;
        metric::window(&log.source.name, &cost, &closed);
        let lag_seconds = clock::now().as_second() - window.latest().0;
        info!(
            source = log.source.name,
            %window,
            pages = cost.pages,
            records = cost.records,
            bytes = cost.bytes,
            throttled = cost.throttled,
            halved = cost.halved,
            undecodable = cost.undecodable,
            truncated = cost.truncated,
            requests = closed.counts.observed,
            matched = closed.counts.matched,
            unattributed = closed.counts.unattributed,
            changes = closed.changes.len(),
            lag_seconds,
            took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            "window committed"
        );
        Ok(())
    }

    /// Writes progress without a window: an empty fold closes, so that it goes the one way that state is written.
    async fn note_progress(
        &self,
        log: &Log,
        window: Window,
        progress: &mut Progress,
        kind: Option<NoticeKind>,
        at: Second,
    ) -> Result<(), StateError> {
        let nothing = self.reader.nothing(window).count();
        self.close(log, window, nothing, progress, kind, Vec::new(), at).await.map(drop)
    }

    #[expect(clippy::too_many_arguments, reason = "the one way to the writer, and every one of them is another thing")]
    async fn close(
        &self,
        log: &Log,
        window: Window,
        counted: WindowCounts,
        progress: &mut Progress,
        kind: Option<NoticeKind>,
        context: Vec<(FindingKey, FindingContext)>,
        at: Second,
    ) -> Result<Closed, StateError> {
        let (source, cluster) = (log.source.name.clone(), log.source.cluster.to_string());
        let notices = kind.map(|kind| Notice { source, cluster, window, kind }).into_iter().collect();
        let ending = Ending {
            source: log.source.clone(),
            counted,
            window,
            progress: progress.clone(),
            notices,
            context,
            at,
            scope: self.scope.clone(),
        };
        let closed = self.writer.close(ending).await?;
        // The commit may owe follow-ups.
        progress.clone_from(&closed.commit.progress);
        for told in &closed.notices {
            metric::notice(told);
            warn!(source = told.source, %window, "{}: {}", notice::title(told), notice::explanation(told));
        }
        metric::progress(&log.source.name, progress);
        Ok(closed)
    }
}
