//! Scans one window of one log: records in, counts out. `pages` asks a service page by page, `context_query` reads what
//! else the source of a new finding did, and `proxies` looks for a proxy that hides the clients.

mod context_query;
mod cost;
mod pages;
mod proxies;
mod shared;

use std::fmt;
use std::sync::Arc;

use anyhow::Context;
use ipnet::IpNet;
use jiff::Timestamp;
use stakeout_core::address::TrustedProxies;
use stakeout_core::check::{Check, Examination, Status};
use stakeout_core::event::AuditEvent;
use stakeout_core::fold::{self, Fold, LargestGroups, Limits, WindowCounts};
use stakeout_core::follow_up::FollowUp;
use stakeout_core::hash::HashKey;
use stakeout_core::observation::Observation;
use stakeout_core::prefilter::Prefilter;
use stakeout_core::record::RawRecord;
use stakeout_core::rule::Rules;
use stakeout_core::source::Source;
use stakeout_core::time::{Second, Window};
use stakeout_notify::console::Consoles;
use tracing::warn;

use crate::cloud::budget::Budgets;
use crate::cloud::{Client, Connection};
use crate::config::SourceConfig;
use crate::file_log::{FileFilter, FileLog};
use crate::outbound::Outbound;

pub(crate) use cost::ScanCost;
pub(crate) use pages::with_retries;
pub(crate) use shared::ClusterNews;
use shared::SharedLog;

/// Most undecodable records that the log names, per window.
const UNDECODABLE_NAMED_MAX: u64 = 3;

/// The options of a scan, which all windows of a tick share.
#[derive(Clone)]
pub(crate) struct ScanOptions {
    /// The active rules.
    pub(crate) rules: Arc<Rules>,
    /// The filter that the provider or the file reader applies before decoding.
    pub(crate) prefilter: Arc<Prefilter>,
    /// The follow-ups that are scanned for; `None` for a scan of all rules.
    pub(crate) follow_ups: Option<Arc<[FollowUp]>>,
    /// The groups that are counted, in the second read of a window that has too many.
    pub(crate) largest: Option<Arc<LargestGroups>>,
    /// The proxies whose forwarded addresses are believed.
    pub(crate) trusted_proxies: Arc<TrustedProxies>,
    /// The key that chooses the evidence.
    pub(crate) hash_key: HashKey,
    /// The limits of a window.
    pub(crate) limits: Limits,
}

/// A log that can be scanned.
pub(crate) struct Log {
    /// The source in the config.
    pub(crate) source: Source,
    /// How long after its end a window is read again.
    pub(crate) reread_seconds: Vec<i64>,
    /// The start of the very first window, relative to the tick.
    pub(crate) start_seconds: i64,
    /// How the log is read.
    pub(crate) connection: Connection,
    /// The cloud's own proxies in front of the API server.
    control_plane_proxies: Vec<IpNet>,
    /// What tells the clusters of the log apart, if it holds events of several.
    shared: Option<SharedLog>,
}

/// Follow-ups that one scan covers.
pub(crate) struct FollowUpBatch {
    /// The follow-ups.
    pub(crate) follow_ups: Vec<FollowUp>,
    /// The window that contains all their spans.
    pub(crate) window: Window,
}

/// A scanned window.
pub(crate) struct WindowScan {
    /// The counts of the window.
    pub(crate) counted: WindowCounts,
    /// The cost of the scan.
    pub(crate) cost: ScanCost,
    /// Whether the log has any record in the window; `None` if the provider did not say.
    pub(crate) has_records: Option<bool>,
    /// Whether stored minutes may change. A follow-up that matches nothing changes none.
    pub(crate) changes_minutes: bool,
    /// Files that may hold records of the window, and seconds of it, that could not be read, each with the reason.
    pub(crate) lost: Vec<String>,
}

/// Why a window could not be scanned.
#[derive(Debug)]
pub(crate) struct ScanError {
    /// The last error.
    pub(crate) reason: String,
    kind: ScanErrorKind,
}

/// What the caller of a failed scan may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ScanErrorKind {
    /// Try again later.
    Later,
    /// Begin the window again: the page token is gone.
    Restart,
    /// Scan a shorter window: the provider truncated its answer.
    Split,
}

impl Log {
    /// Opens a log. Nothing is asked of the provider yet. A log of several clusters adds their `consoles` when it sees them.
    pub(crate) fn open(
        config: &SourceConfig,
        budgets: &mut Budgets,
        outbound: &Outbound,
        consoles: &Consoles,
    ) -> anyhow::Result<Log> {
        let connection = config
            .settings
            .connect(budgets, outbound)
            .with_context(|| format!("cannot set up the source {}", config.source.name))?;
        Ok(Log {
            source: config.source.clone(),
            reread_seconds: config.reread_seconds.clone(),
            start_seconds: config.start_seconds,
            connection,
            control_plane_proxies: config.settings.control_plane_proxies(),
            shared: SharedLog::of(config, consoles),
        })
    }

    /// Scans `window`, and once more where memory does not hold it: then only the largest groups take part. Failed requests are
    /// retried for about a minute; after that the window is left for later.
    pub(crate) async fn scan(
        &self,
        window: Window,
        is_reread: bool,
        options: &ScanOptions,
    ) -> Result<WindowScan, ScanError> {
        let scan = self.scan_once(window, is_reread, options).await?;
        let Some(largest) = scan.counted.largest_groups() else { return Ok(scan) };
        let cost = scan.cost;
        // Its rows take much memory.
        drop(scan);
        let source = &self.source.name;
        warn!(source, %window, "window has too many kinds of requests: it is read again to count the largest groups");
        let second =
            self.scan_once(window, is_reread, &ScanOptions { largest: Some(largest), ..options.clone() }).await?;
        Ok(WindowScan { cost: cost.and_reading_again(second.cost), ..second })
    }

    async fn scan_once(&self, window: Window, is_reread: bool, options: &ScanOptions) -> Result<WindowScan, ScanError> {
        let options = &options.with_proxies(&self.control_plane_proxies);
        match &self.connection {
            Connection::File(file) => self.scan_files(file.clone(), window, is_reread, options.clone()).await,
            Connection::Service { client, budget } => self.scan_pages(client, budget, window, is_reread, options).await,
        }
    }

    /// Scans the follow-ups of one batch; see [`Log::follow_up_batches`].
    pub(crate) async fn scan_follow_ups(
        &self,
        batch: &FollowUpBatch,
        options: &ScanOptions,
    ) -> Result<WindowScan, ScanError> {
        let scan = self.scan(batch.window, false, &options.for_follow_ups(&batch.follow_ups)).await?;
        Ok(WindowScan { changes_minutes: scan.counted.counts().matched > 0, ..scan })
    }

    /// Returns the due follow-ups in batches that one scan covers. A service is asked for few sources at a time, because
    /// a filter has a greatest length. A file is read from its beginning anyway, so one scan covers all its follow-ups.
    pub(crate) fn follow_up_batches(&self, due: Vec<(FollowUp, Window)>) -> Vec<FollowUpBatch> {
        let single = due.into_iter().map(|(follow_up, window)| FollowUpBatch { follow_ups: vec![follow_up], window });
        match self.connection {
            Connection::Service { .. } => single.collect(),
            Connection::File(_) => single.reduce(FollowUpBatch::and).into_iter().collect(),
        }
    }

    /// Runs the checks of `doctor` on the log, over a window that is over.
    pub(crate) async fn checks(&self, window: Window, prefilter: &Prefilter, now: Timestamp) -> Vec<Check> {
        match &self.connection {
            Connection::Service { client, .. } => {
                let Examination { mut checks, cost } = client.checks(window, prefilter, now.as_millisecond()).await;
                checks.extend(cost.map(|cost| cost.estimate(window, 1 + self.reread_seconds.len())));
                checks
            }
            Connection::File(file) => {
                let (file, now) = (file.clone(), Second::from(now));
                let longest = self.reread_seconds.iter().max().copied().unwrap_or_default();
                let since = window.earliest().plus(-longest);
                let checks = tokio::task::spawn_blocking(move || file.checks(window, since, now)).await;
                checks.unwrap_or_else(|error| {
                    vec![Check::of("log", Status::Unknown, error.to_string(), "report this: it is a bug")]
                })
            }
        }
    }

    /// Counts one record.
    fn observe(
        &self,
        client: &Client,
        record: &RawRecord,
        options: &ScanOptions,
        fold: &mut Fold,
        cost: &mut ScanCost,
    ) {
        cost.records += 1;
        let (decoded, cluster) = match client.decode(record) {
            Ok(decoded) => decoded,
            Err(error) => {
                cost.undecodable += 1;
                if cost.undecodable <= UNDECODABLE_NAMED_MAX {
                    let source = &self.source.name;
                    warn!(source, record = record.record_id, %error, "record is not an audit event");
                }
                return;
            }
        };
        cost.truncated += u64::from(decoded.is_truncated);
        if self.shared.is_some() && cluster.is_none() {
            cost.undecodable += 1;
            return;
        }
        if let Some(observation) = self.observation(record, decoded.event, cluster, options) {
            fold.observe(&observation);
        }
    }

    /// Returns the request that a decoded record of `cluster` describes, or `None` if the record is not the end of a request,
    /// or of a cluster that is not watched.
    fn observation(
        &self,
        record: &RawRecord,
        event: AuditEvent,
        cluster: Option<String>,
        options: &ScanOptions,
    ) -> Option<Observation> {
        let at = Second::of_millis(record.time_ms);
        let cluster = match &self.shared {
            Some(shared) => Some(shared.name_of(&cluster?, at)?),
            None => None,
        };
        let source = cluster.map(|cluster| Source { cluster, ..self.source.clone() });
        let source = source.as_ref().unwrap_or(&self.source);
        Observation::of_event(source, &options.trusted_proxies, event, at, || record.record_id.clone())
    }

    async fn scan_files(
        &self,
        file: Arc<FileLog>,
        window: Window,
        is_reread: bool,
        options: ScanOptions,
    ) -> Result<WindowScan, ScanError> {
        let source = self.source.clone();
        // The first read of the window has counted all of its lines.
        let filter = match &options.follow_ups {
            None => FileFilter::counting_all(&options.prefilter),
            Some(_) => FileFilter::skipping_others(&options.prefilter),
        };
        let task = tokio::task::spawn_blocking(move || {
            let mut fold = options.open(window, is_reread);
            let read = file.read(window, &filter, |event, at, record_id| {
                let proxies = &options.trusted_proxies;
                if let Some(observation) = Observation::of_event(&source, proxies, event, at, record_id) {
                    fold.observe(&observation);
                }
            });
            if let Ok(read) = &read {
                (0..read.filtered_out).for_each(|_| fold.pass_over());
            }
            // Counting in this thread frees the memory of the requests for the rows. Another thread could hardly reuse it.
            (fold.count(), read)
        });
        let (counted, read) = task.await.map_err(|error| ScanError::later(error.to_string()))?;
        let read = read.map_err(|error| ScanError::later(format!("cannot read the log file: {error}")))?;
        let lost: Vec<String> = read.lost.iter().map(ToString::to_string).collect();
        let cost = ScanCost {
            pages: read.files,
            records: read.lines,
            bytes: read.bytes,
            undecodable: read.undecodable,
            truncated: read.truncated,
            ..ScanCost::default()
        };
        // A lost file may hold records where the others have none.
        let has_records = if lost.is_empty() || read.lines > 0 { Some(read.lines > 0) } else { None };
        Ok(WindowScan { counted, cost, has_records, changes_minutes: true, lost })
    }
}

impl FollowUpBatch {
    fn and(mut self, other: FollowUpBatch) -> FollowUpBatch {
        self.follow_ups.extend(other.follow_ups);
        FollowUpBatch { window: self.window.and(other.window), ..self }
    }
}

impl ScanError {
    /// Returns an error that may go away with time.
    fn later(reason: String) -> ScanError {
        ScanError { reason, kind: ScanErrorKind::Later }
    }
}

impl fmt::Display for ScanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl ScanOptions {
    /// Returns the options of a log with proxies of its own.
    fn with_proxies(&self, proxies: &[IpNet]) -> ScanOptions {
        ScanOptions { trusted_proxies: Arc::new(self.trusted_proxies.and(proxies)), ..self.clone() }
    }

    /// Returns the options of a scan for `follow_ups` only.
    fn for_follow_ups(&self, follow_ups: &[FollowUp]) -> ScanOptions {
        let prefilters = follow_ups.iter().map(|follow_up| follow_up.prefilter(&self.rules)).collect();
        ScanOptions {
            prefilter: Arc::new(Prefilter::Or(prefilters).simplified()),
            follow_ups: Some(follow_ups.into()),
            ..self.clone()
        }
    }

    /// Opens a window.
    fn open(&self, window: Window, is_reread: bool) -> Fold {
        let (rules, hash_key, limits) = (self.rules.clone(), self.hash_key, self.limits);
        match (&self.follow_ups, &self.largest) {
            (Some(follow_ups), _) => fold::open_follow_ups(rules, window, follow_ups.to_vec(), hash_key, limits),
            (None, Some(largest)) => fold::open_largest(rules, window, is_reread, largest.clone(), hash_key, limits),
            (None, None) => fold::open(rules, window, is_reread, hash_key, limits),
        }
    }
}
