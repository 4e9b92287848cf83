//! Reading one window of one log: records in, a fold out. How pages are asked for is in `paging`.

use std::sync::Arc;

use stakeout_core::address::TrustedProxies;
use stakeout_core::decode::decode;
use stakeout_core::evidence::SampleKey;
use stakeout_core::fold::{self, Fold, Limits};
use stakeout_core::observation::Observation;
use stakeout_core::prefilter::Prefilter;
use stakeout_core::progress::FollowUp;
use stakeout_core::record::RawRecord;
use stakeout_core::rule::Rules;
use stakeout_core::source::Source;
use stakeout_core::time::{Second, Window};
use tracing::warn;

use crate::budget::Budgets;
use crate::config::{SourceConfig, SourceKind};
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
    pub(crate) follow_up: Option<Arc<FollowUp>>,
    /// Whose word about the address before them counts.
    pub(crate) trusted: Arc<TrustedProxies>,
    /// What chooses the evidence.
    pub(crate) sample_key: SampleKey,
    /// What a window may hold.
    pub(crate) limits: Limits,
}

/// A log that can be read.
pub(crate) struct Log {
    /// What it is.
    pub(crate) source: Source,
    /// How long after its end a window is read again.
    pub(crate) relook_seconds: Vec<i64>,
    /// Where the very first window begins, counted from the tick.
    pub(crate) start_seconds: i64,
    kind: LogKind,
}

enum LogKind {
    #[cfg(feature = "aws")]
    Cloudwatch {
        client: Box<stakeout_cloudwatch::CloudWatch>,
        budget: Arc<crate::budget::Budget>,
    },
    File(Arc<FileLog>),
}

/// A window that was read.
pub(crate) struct Reading {
    /// What was found.
    pub(crate) fold: Fold,
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
}

impl Log {
    /// Opens a log; nothing is asked of the provider yet.
    pub(crate) async fn open(config: &SourceConfig, budgets: &mut Budgets) -> Log {
        let kind = match &config.kind {
            SourceKind::File { path } => LogKind::File(Arc::new(FileLog::new(path.clone()))),
            #[cfg(not(feature = "aws"))]
            SourceKind::Cloudwatch(_) => {
                let _ = budgets;
                unreachable!("the config refuses CloudWatch in a build without it")
            }
            #[cfg(feature = "aws")]
            SourceKind::Cloudwatch(cloudwatch) => {
                let config = crate::setup::cloudwatch(cloudwatch);
                let per_second = stakeout_cloudwatch::requests_per_second(&config.access.region);
                let budget = budgets.of(config.budget_key(), per_second);
                LogKind::Cloudwatch { client: Box::new(stakeout_cloudwatch::CloudWatch::new(config).await), budget }
            }
        };
        Log {
            source: config.source.clone(),
            relook_seconds: config.relook_seconds.clone(),
            start_seconds: config.start_seconds,
            kind,
        }
    }

    /// Reads `window` once. What fails is tried again for about a minute, then the window is left for later.
    pub(crate) async fn read(&self, window: Window, is_relook: bool, reader: &Reader) -> Result<Reading, Unread> {
        match &self.kind {
            LogKind::File(file) => self.read_file(file.clone(), window, is_relook, reader.clone()).await,
            #[cfg(feature = "aws")]
            LogKind::Cloudwatch { client, budget } => self.read_window(client, budget, window, is_relook, reader).await,
        }
    }

    /// Counts one record.
    pub(crate) fn observe(&self, record: &RawRecord, reader: &Reader, fold: &mut Fold, cost: &mut Cost) {
        cost.records += 1;
        let decoded = match decode(record.body.as_bytes()) {
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
        let at = Second::of_millis(record.time_ms);
        let record_id = || record.record_id.clone();
        if let Some(observation) = Observation::of_event(&self.source, &reader.trusted, decoded.event, at, record_id) {
            fold.observe(&observation);
        }
    }

    async fn read_file(
        &self,
        file: Arc<FileLog>,
        window: Window,
        is_relook: bool,
        reader: Reader,
    ) -> Result<Reading, Unread> {
        let source = self.source.clone();
        let read = tokio::task::spawn_blocking(move || {
            let mut fold = reader.open(window, is_relook);
            let read = file.read(window, |event, at, record_id| {
                if let Some(observation) = Observation::of_event(&source, &reader.trusted, event, at, || record_id) {
                    fold.observe(&observation);
                }
            });
            (fold, read)
        });
        let unread = |reason: String| Unread { reason, is_token_gone: false };
        let (fold, read) = read.await.map_err(|fault| unread(fault.to_string()))?;
        let read = read.map_err(|fault| unread(format!("cannot read the log file: {fault}")))?;
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
        Ok(Reading { fold, cost, has_records: Some(read.lines > 0) })
    }
}

impl Reader {
    /// Returns a reader that looks for what `follow_up` says and nothing else.
    pub(crate) fn following(&self, follow_up: &FollowUp) -> Reader {
        Reader {
            prefilter: Arc::new(self.rules.follow_up_prefilter(follow_up)),
            follow_up: Some(Arc::new(follow_up.clone())),
            ..self.clone()
        }
    }

    /// Opens a window.
    pub(crate) fn open(&self, window: Window, is_relook: bool) -> Fold {
        match &self.follow_up {
            None => fold::open(self.rules.clone(), window, is_relook, self.sample_key, self.limits),
            Some(follow_up) => {
                let follow_ups = vec![FollowUp::clone(follow_up)];
                fold::open_follow_ups(self.rules.clone(), window, follow_ups, self.sample_key, self.limits)
            }
        }
    }
}
