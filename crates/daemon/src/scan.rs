//! Reading one window of one log: records in, a fold out. How pages are asked for is in `paging`.

use std::sync::Arc;

use anyhow::Context;
use jiff::Timestamp;
use stakeout_core::address::TrustedProxies;
use stakeout_core::check::{Check, Status};
use stakeout_core::decode::EventFilter;
use stakeout_core::event::AuditEvent;
use stakeout_core::fold::{self, Fold, Limits, WindowCounts};
use stakeout_core::follow_up::FollowUp;
use stakeout_core::hash::HashKey;
use stakeout_core::observation::Observation;
use stakeout_core::prefilter::Prefilter;
use stakeout_core::record::RawRecord;
use stakeout_core::rule::Rules;
use stakeout_core::source::Source;
use stakeout_core::time::{Second, Window};
use tracing::warn;

use crate::budget::Budgets;
use crate::cloud::{Client, Connection};
use crate::config::SourceConfig;
use crate::file_log::FileLog;

/// Records of one page that are named in the log where they are no audit event.
const UNDECODABLE_NAMED_MAX: u64 = 3;

/// What every window of a tick is read with.
#[derive(Clone)]
pub(crate) struct Reader {
    /// The active rules.
    pub(crate) rules: Arc<Rules>,
    /// What the provider may leave out.
    pub(crate) prefilter: Arc<Prefilter>,
    /// What is followed up; `None` where all else is looked for.
    pub(crate) follow_ups: Option<Arc<[FollowUp]>>,
    /// Whose word about the address before them counts.
    pub(crate) trusted: Arc<TrustedProxies>,
    /// What chooses the evidence.
    pub(crate) hash_key: HashKey,
    /// What a window may hold.
    pub(crate) limits: Limits,
}

/// A log that can be read.
pub(crate) struct Log {
    /// What it is.
    pub(crate) source: Source,
    /// How long after its end a window is read again.
    pub(crate) reread_seconds: Vec<i64>,
    /// Where the very first window begins, counted from the tick.
    pub(crate) start_seconds: i64,
    /// How it is read.
    pub(crate) connection: Connection,
}

/// Follow-ups that are read at once.
pub(crate) struct FollowUps {
    /// What is followed up.
    pub(crate) follow_ups: Vec<FollowUp>,
    /// The window that holds all of it.
    pub(crate) window: Window,
}

/// A window that was read.
pub(crate) struct Reading {
    /// What was found.
    pub(crate) counted: WindowCounts,
    /// The window whose stored minutes it may change.
    pub(crate) changes: Window,
    /// What it took.
    pub(crate) cost: Cost,
    /// Whether the log held any record at all in the window; `None` where nobody could tell.
    pub(crate) has_records: Option<bool>,
}

/// What it took to read a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    /// Pages.
    pub(crate) pages: u64,
    /// Records.
    pub(crate) records: u64,
    /// Bytes of record text.
    pub(crate) bytes: u64,
    /// Answers that asked for fewer requests.
    pub(crate) throttled: u64,
    /// Other failures that were tried again.
    pub(crate) retried: u64,
    /// Times that a part of the window was halved, because the provider answered with a part only.
    pub(crate) halved: u64,
    /// Records that are no audit event.
    pub(crate) undecodable: u64,
    /// Records that were cut off or damaged.
    pub(crate) truncated: u64,
}

/// Why a window could not be read.
#[derive(Debug)]
pub(crate) struct Unread {
    /// The last error.
    pub(crate) reason: String,
    /// Whether the window must be begun again.
    pub(crate) is_token_gone: bool,
    /// Whether a shorter window could be read.
    pub(crate) is_partial: bool,
}

impl Log {
    /// Opens a log; nothing is asked of the provider yet.
    pub(crate) async fn open(config: &SourceConfig, budgets: &mut Budgets) -> anyhow::Result<Log> {
        let connection = config
            .settings
            .connect(budgets)
            .await
            .with_context(|| format!("cannot set up the source {}", config.source.name))?;
        Ok(Log {
            source: config.source.clone(),
            reread_seconds: config.reread_seconds.clone(),
            start_seconds: config.start_seconds,
            connection,
        })
    }

    /// Reads `window` once. What fails is tried again for about a minute, then the window is left for later.
    pub(crate) async fn read(&self, window: Window, is_reread: bool, reader: &Reader) -> Result<Reading, Unread> {
        match &self.connection {
            Connection::File(file) => self.read_file(file.clone(), window, is_reread, reader.clone()).await,
            Connection::Service { client, budget } => self.read_window(client, budget, window, is_reread, reader).await,
        }
    }

    /// Reads once what all of `parts` follow up; see [`Log::parts_at_once`].
    pub(crate) async fn read_follow_ups(&self, parts: &FollowUps, reader: &Reader) -> Result<Reading, Unread> {
        let reading = self.read(parts.window, false, &reader.following(&parts.follow_ups)).await?;
        if reading.counted.counts().matched > 0 {
            return Ok(reading);
        }
        // Nobody came back, so no minute changes. After a flood its rows fill memory: as few as can be are read again.
        let latest = parts.window.latest();
        Ok(Reading { changes: Window::new(latest.plus(-1), latest).unwrap_or(parts.window), ..reading })
    }

    /// Returns follow-ups in such parts as are read at once. A service is asked for few sources at a time, because filters
    /// have a greatest length; a file is read from its beginning, whoever is looked for.
    pub(crate) fn parts_at_once(&self, due: Vec<(FollowUp, Window)>) -> Vec<FollowUps> {
        let parts = due.into_iter().map(|(follow_up, window)| FollowUps { follow_ups: vec![follow_up], window });
        match self.connection {
            Connection::Service { .. } => parts.collect(),
            Connection::File(_) => parts.reduce(FollowUps::and).into_iter().collect(),
        }
    }

    /// Asks what a doctor asks of a log, over a window that is over.
    pub(crate) async fn checks(&self, window: Window, prefilter: &Prefilter, now: Timestamp) -> Vec<Check> {
        match &self.connection {
            Connection::Service { client, .. } => client.checks(window, prefilter, now.as_millisecond()).await,
            Connection::File(file) => {
                let (file, now) = (file.clone(), Second::from(now));
                let looked = tokio::task::spawn_blocking(move || file.checks(window, now)).await;
                looked.unwrap_or_else(|fault| {
                    let fix = "report this: it is a fault of the program";
                    vec![Check::of("log", Status::Unknown, fault.to_string(), fix)]
                })
            }
        }
    }

    /// Counts one record.
    pub(crate) fn observe(
        &self,
        client: &Client,
        record: &RawRecord,
        reader: &Reader,
        fold: &mut Fold,
        cost: &mut Cost,
    ) {
        cost.records += 1;
        let decoded = match client.decode(record) {
            Ok(decoded) => decoded,
            Err(fault) => {
                cost.undecodable += 1;
                if cost.undecodable <= UNDECODABLE_NAMED_MAX {
                    warn!(source = self.source.name, record = record.record_id, %fault, "record is no audit event");
                }
                return;
            }
        };
        cost.truncated += u64::from(decoded.is_truncated);
        if let Some(observation) = self.observation(record, decoded.event, reader) {
            fold.observe(&observation);
        }
    }

    /// Returns the request that a decoded record tells of, if it tells of one.
    pub(crate) fn observation(&self, record: &RawRecord, event: AuditEvent, reader: &Reader) -> Option<Observation> {
        let at = Second::of_millis(record.time_ms);
        Observation::of_event(&self.source, &reader.trusted, event, at, || record.record_id.clone())
    }

    async fn read_file(
        &self,
        file: Arc<FileLog>,
        window: Window,
        is_reread: bool,
        reader: Reader,
    ) -> Result<Reading, Unread> {
        let source = self.source.clone();
        let screen = EventFilter::new(&reader.prefilter);
        let read = tokio::task::spawn_blocking(move || {
            let mut fold = reader.open(window, is_reread);
            let read = file.read(window, &screen, |event, at, record_id| {
                if let Some(observation) = Observation::of_event(&source, &reader.trusted, event, at, record_id) {
                    fold.observe(&observation);
                }
            });
            if let Ok(read) = &read {
                (0..read.passed_over).for_each(|_| fold.pass_over());
            }
            // What the requests took is free for the rows here, and hardly in another thread.
            (fold.count(), read)
        });
        let (counted, read) = read.await.map_err(|fault| Unread::of(fault.to_string()))?;
        let read = read.map_err(|fault| Unread::of(format!("cannot read the log file: {fault}")))?;
        if read.shrunk > 0 {
            warn!(source = self.source.name, files = read.shrunk, "log file is shorter than it was: lines are gone");
        }
        let cost = Cost {
            pages: read.files,
            records: read.lines,
            bytes: read.bytes,
            undecodable: read.undecodable,
            truncated: read.truncated,
            ..Cost::default()
        };
        Ok(Reading { counted, changes: window, cost, has_records: Some(read.lines > 0) })
    }
}

impl FollowUps {
    fn and(mut self, other: FollowUps) -> FollowUps {
        self.follow_ups.extend(other.follow_ups);
        FollowUps { window: self.window.and(other.window), ..self }
    }
}

impl Unread {
    /// Returns a failure that only time may fix.
    pub(crate) fn of(reason: String) -> Unread {
        Unread { reason, is_token_gone: false, is_partial: false }
    }
}

impl Reader {
    /// Returns a reader that looks for what `follow_ups` say and nothing else.
    fn following(&self, follow_ups: &[FollowUp]) -> Reader {
        let prefilters = follow_ups.iter().map(|follow_up| follow_up.prefilter(&self.rules)).collect();
        Reader {
            prefilter: Arc::new(Prefilter::Or(prefilters).simplified()),
            follow_ups: Some(follow_ups.into()),
            ..self.clone()
        }
    }

    /// Opens a window in which nothing is looked for.
    pub(crate) fn nothing(&self, window: Window) -> Fold {
        fold::open(self.rules.clone(), window, false, self.hash_key, self.limits)
    }

    /// Opens a window.
    pub(crate) fn open(&self, window: Window, is_reread: bool) -> Fold {
        let (rules, hash_key, limits) = (self.rules.clone(), self.hash_key, self.limits);
        match &self.follow_ups {
            None => fold::open(rules, window, is_reread, hash_key, limits),
            Some(follow_ups) => fold::open_follow_ups(rules, window, follow_ups.to_vec(), hash_key, limits),
        }
    }
}
