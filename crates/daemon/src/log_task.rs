//! One log during one tick: its due windows, rereads, follow-ups and context queries, in this order. Each is committed
//! before the next begins.

use std::sync::Arc;
use std::time::Duration;

use indicatif::ProgressBar;
use stakeout_core::context::FindingContext;
use stakeout_core::context_query::ContextQuery;
use stakeout_core::delivery::Subject;
use stakeout_core::finding::FindingKey;
use stakeout_core::notice::{Notice, NoticeKind};
use stakeout_core::progress::Progress;
use stakeout_core::rule::Level;
use stakeout_core::time::{Second, Window};
use stakeout_notify::notice;
use tracing::{info, warn};

use crate::clock;
use crate::metric;
use crate::replica::Right;
use crate::scan::{ClusterNews, Log, ScanCost, ScanOptions, WindowScan};
use crate::schedule::DueWindows;
use crate::shutdown::Shutdown;
use crate::source_page::CostLog;
use crate::writer::{Change, CloseRequest, ClosedChange, EngineConfig, StateError, Writer};

/// One log during one tick.
pub(crate) struct LogTask<'a> {
    log: &'a Log,
    /// How far the log is read, as of the last commit.
    progress: Progress,
    /// The tick.
    at: Second,
    options: &'a ScanOptions,
    writer: &'a Writer,
    engine: &'a Arc<EngineConfig>,
    /// The right to read the log.
    right: &'a Right,
    /// The new findings and incidents so far that do not wait for other logs.
    urgent: Vec<Subject>,
    /// What the last window took that was read for the first time.
    last_cost: Option<ScanCost>,
}

/// The outcome of a log task.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogSummary {
    /// Windows that were committed, rereads included.
    pub(crate) windows: usize,
    /// Whether some windows, rereads or follow-ups are still due.
    pub(crate) is_pending: bool,
    /// New findings and incidents of level high and above.
    pub(crate) urgent: Vec<Subject>,
    /// Why the log is not read as it should be, if it is not.
    pub(crate) trouble: Option<String>,
}

/// Why a window is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Read {
    /// It is due at this tick for the first time.
    InTime,
    /// It was due at an earlier tick.
    Late,
    /// For events that were delivered late.
    Again,
}

impl<'a> LogTask<'a> {
    /// Returns a task that continues at `progress`.
    pub(crate) fn new(
        log: &'a Log,
        progress: Progress,
        at: Second,
        options: &'a ScanOptions,
        writer: &'a Writer,
        engine: &'a Arc<EngineConfig>,
        right: &'a Right,
    ) -> LogTask<'a> {
        log.remember(&progress.clusters);
        LogTask { log, progress, at, options, writer, engine, right, urgent: Vec::new(), last_cost: None }
    }

    /// Reads and commits what is due, and notes in `costs` what the last window took. `bar` counts the windows. A shutdown ends the task after the current window.
    pub(crate) async fn run(
        mut self,
        due: DueWindows,
        costs: &CostLog,
        shutdown: &Shutdown,
        bar: &ProgressBar,
    ) -> Result<LogSummary, StateError> {
        let read_before = self.progress.cursor;
        let summary = self.read(due, shutdown, bar).await?;
        if let Some(cost) = self.last_cost {
            costs.note(&self.log.source.log, cost);
        }
        let trouble = self.trouble(read_before);
        Ok(LogSummary { urgent: self.urgent, trouble, ..summary })
    }

    /// Returns why the log is not read as it should be, if it is not. Gaps before `read_before` were reported then.
    fn trouble(&self, read_before: Second) -> Option<String> {
        let Progress { failing, gaps, .. } = &self.progress;
        let trouble = match () {
            () if failing.is_some() => "cannot be read",
            () if gaps.iter().any(|gap| gap.window.latest() > read_before) => "has a new gap",
            () if self.progress.is_silent() => "has no records",
            () => return None,
        };
        Some(format!("log {} {trouble}", self.log.source.name))
    }

    async fn read(
        &mut self,
        due: DueWindows,
        shutdown: &Shutdown,
        bar: &ProgressBar,
    ) -> Result<LogSummary, StateError> {
        let mut summary = LogSummary::default();
        if let Some((ahead, kind)) = due.go_back_to.and_then(|until| self.progress.go_back(until)) {
            self.commit_progress(ahead, Some(kind)).await?;
        }
        if let Some(gap) = due.gap {
            let kind = self.progress.note_gap(gap, "the window is older than max_backfill".to_owned());
            self.commit_progress(gap, Some(kind)).await?;
        }
        for window in due.windows {
            if self.is_stopped(shutdown) {
                return Ok(LogSummary { is_pending: true, ..summary });
            }
            let is_late = window.latest() <= due.late_until;
            if !self.read_window(window, if is_late { Read::Late } else { Read::InTime }).await? {
                summary.is_pending = true;
                break;
            }
            summary.windows += 1;
            bar.inc(1);
            summary.is_pending |= !self.follow_up(shutdown).await?;
        }
        for window in due.rereads {
            if self.is_stopped(shutdown) {
                return Ok(LogSummary { is_pending: true, ..summary });
            }
            if self.read_window(window, Read::Again).await? {
                summary.windows += 1;
                bar.inc(1);
            } else if self.progress.retired.is_some() || self.progress.is_reread_overdue(window, self.at) {
                self.progress.give_up_reread(window, self.at);
                self.commit_progress(window, None).await?;
                warn!(source = self.log.source.name, %window, "giving up a reread that failed for too long, or whose log is gone");
            } else {
                summary.is_pending = true;
                break;
            }
        }
        summary.is_pending |= !self.follow_up(shutdown).await?;
        if !self.is_stopped(shutdown) {
            self.query_context().await?;
        }
        Ok(summary)
    }

    /// Returns whether to end here: the process ends, or another replica goes on with the log.
    fn is_stopped(&self, shutdown: &Shutdown) -> bool {
        shutdown.is_requested() || self.right.is_to_pass()
    }

    /// Reads and commits one window. Returns `false` if the window could not be read and is still due; the failure is
    /// committed too.
    async fn read_window(&mut self, window: Window, read: Read) -> Result<bool, StateError> {
        let (log, at, is_reread) = (self.log, self.at, read == Read::Again);
        let begun = clock::monotonic();
        match log.scan(window, is_reread, self.options).await {
            Ok(scan) => {
                let mut clusters = ClusterNews::default();
                let kinds = if is_reread {
                    [self.progress.note_reread(window, at, &scan.lost), None, None]
                } else {
                    self.last_cost = Some(scan.cost);
                    clusters = log.census(window).await;
                    let has_records = scan.has_records.or(clusters.has_records);
                    let silence = self.progress.note_read(window, at, &log.reread_seconds, has_records);
                    if read == Read::Late {
                        self.progress.note_late(window);
                    }
                    let lost = self.progress.note_lost(window, at, &log.reread_seconds, &scan.lost);
                    [silence, lost, self.progress.note_hidden_proxies(scan.counted.hidden_proxies())]
                };
                let notices = self.notices(window, kinds.into_iter().flatten()).into_iter();
                let of_cluster = |(cluster, kind)| Notice { source: log.source.name.clone(), cluster, window, kind };
                let notices = notices.chain(clusters.changes.into_iter().map(of_cluster)).collect();
                self.commit_window(window, scan, notices, begun.elapsed()).await?;
                Ok(true)
            }
            Err(error) => {
                metric::window_failed(&log.source.name);
                warn!(source = log.source.name, %window, %error, "cannot read a window");
                if is_reread {
                    return Ok(false);
                }
                let kind = self.progress.note_failure(window, at, &log.reread_seconds, &error.reason);
                let is_gap = kind.is_some();
                self.commit_progress(window, kind).await?;
                Ok(is_gap)
            }
        }
    }

    /// Reads and commits the due follow-ups. Returns `false` if some of them are still due.
    ///
    /// The next tick retries a follow-up that fails: the scan already retried for a minute.
    async fn follow_up(&mut self, shutdown: &Shutdown) -> Result<bool, StateError> {
        let cursor = self.progress.cursor;
        for batch in self.log.follow_up_batches(self.progress.due_follow_ups()) {
            if self.is_stopped(shutdown) {
                return Ok(false);
            }
            let (begun, window) = (clock::monotonic(), batch.window);
            match self.log.scan_follow_ups(&batch, self.options).await {
                Ok(scan) => {
                    batch.follow_ups.iter().for_each(|follow_up| self.progress.note_followed(follow_up, cursor));
                    let sources = batch.follow_ups.iter().map(|follow_up| follow_up.sources.len()).sum();
                    let lost = self.progress.unreported(&scan.lost);
                    let kind = lost.map(|reason| NoticeKind::NotFollowedUp { sources, reason });
                    self.commit_window(window, scan, self.notices(window, kind), begun.elapsed()).await?;
                }
                Err(error) => {
                    metric::window_failed(&self.log.source.name);
                    warn!(source = self.log.source.name, %window, %error, "cannot read a follow-up");
                    let kind = self.progress.note_follow_up_failure(&batch.follow_ups, cursor, &error.reason);
                    let is_given_up = kind.is_some();
                    self.commit_progress(window, kind).await?;
                    if !is_given_up {
                        return Ok(false);
                    }
                }
            }
        }
        Ok(self.progress.due_follow_ups().is_empty())
    }

    /// Runs the context queries of new findings, so that the first message of a finding has its context.
    async fn query_context(&mut self) -> Result<(), StateError> {
        let queries: Vec<ContextQuery> =
            std::mem::take(&mut self.progress.context_queries).into_iter().map(|query| query.before(self.at)).collect();
        if queries.is_empty() {
            return Ok(());
        }
        let keys: Vec<FindingKey> = queries.iter().map(|query| query.finding).collect();
        let contexts = self.log.query_context(queries, self.options).await;
        let contexts: Vec<(FindingKey, FindingContext)> = keys.into_iter().zip(contexts).collect();
        info!(source = self.log.source.name, findings = contexts.len(), "context of new findings queried");
        self.commit(Change::Context(contexts), Vec::new()).await.map(drop)
    }

    async fn commit_window(
        &mut self,
        window: Window,
        scan: WindowScan,
        notices: Vec<Notice>,
        took: Duration,
    ) -> Result<(), StateError> {
        let WindowScan { counted, cost, changes_minutes, lost, .. } = scan;
        let counts = counted.counts();
        // After a flood the stored rows of a window fill the memory, so they are not read for nothing.
        let change = if changes_minutes { Change::Window(Box::new(counted)) } else { Change::Progress };
        let closed = self.commit(change, notices).await?;
        metric::window(&self.log.source.name, &cost, &counts, closed.log().rows_retained);
        let lag_seconds = clock::now().as_second() - window.latest().0;
        info!(
            source = self.log.source.name,
            %window,
            pages = cost.pages,
            records = cost.records,
            bytes = cost.bytes,
            throttled = cost.throttled,
            splits = cost.splits,
            undecodable = cost.undecodable,
            truncated = cost.truncated,
            lost = lost.len(),
            requests = counts.observed,
            matched = counts.matched,
            unattributed = counts.unattributed,
            changes = closed.closed().changes.len(),
            lag_seconds,
            took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            "window committed"
        );
        if cost.undecodable > 0 {
            let records = cost.undecodable;
            warn!(source = self.log.source.name, %window, records, "records are not audit events and were not counted");
        }
        Ok(())
    }

    /// Commits the progress without a window. `window` is the one that a notice names.
    async fn commit_progress(&mut self, window: Window, kind: Option<NoticeKind>) -> Result<(), StateError> {
        self.commit(Change::Progress, self.notices(window, kind)).await.map(drop)
    }

    fn notices(&self, window: Window, kinds: impl IntoIterator<Item = NoticeKind>) -> Vec<Notice> {
        let (source, cluster) = (&self.log.source.name, &self.log.source.cluster);
        let notice = |kind| Notice { source: source.clone(), cluster: cluster.to_string(), window, kind };
        kinds.into_iter().map(notice).collect()
    }

    async fn commit(&mut self, change: Change, notices: Vec<Notice>) -> Result<ClosedChange, StateError> {
        if let Some(clusters) = self.log.known_clusters() {
            self.progress.clusters = clusters;
        }
        let request = CloseRequest {
            source: self.log.source.clone(),
            change,
            progress: self.progress.clone(),
            notices,
            at: self.at,
            config: self.engine.clone(),
            lease: self.right.lease(),
        };
        let closed = self.writer.close(request).await?;
        // A commit can add follow-ups and context queries.
        self.progress.clone_from(closed.progress());
        self.urgent.extend(closed.closed().opened(Level::High));
        for notice in &closed.log().notices {
            metric::notice(notice);
            let (window, reason) = (notice.window, notice::reason(notice));
            warn!(source = notice.source, %window, reason, "{}: {}", notice::title(notice), notice::explanation(notice));
        }
        metric::progress(&self.log.source.name, &self.progress);
        Ok(closed)
    }
}
