//! Reading one window of one log: pages in, a fold out. Waiting and trying again is done here, and only here.

use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use stakeout_core::address::TrustedProxies;
use stakeout_core::decode::decode;
use stakeout_core::evidence::SampleKey;
use stakeout_core::fold::{self, Fold, Limits};
use stakeout_core::observation::Observation;
use stakeout_core::prefilter::Prefilter;
use stakeout_core::record::{FetchError, RawRecord};
use stakeout_core::rule::Rules;
use stakeout_core::source::Source;
use stakeout_core::time::{Second, Window};
use tracing::{debug, warn};

use crate::config::{SourceConfig, SourceKind};
use crate::file_log::FileLog;
use crate::setup;

/// First wait after a failure; it doubles up to [`WAIT_MAX`], and each is spread at random.
const WAIT_MIN: Duration = Duration::from_millis(500);
const WAIT_MAX: Duration = Duration::from_secs(30);
/// Failures of one page in a row until the window is left for later.
const FAILURES_MAX: usize = 5;
/// Throttled answers for one page in a row until the window is left for later.
const THROTTLES_MAX: usize = 12;
/// How often a window is begun again because its page token was lost.
const RESTARTS_MAX: usize = 3;
/// Records of one page that are named in the log where they are no audit event.
const UNDECODABLE_NAMED_MAX: u64 = 3;

/// What every window of a tick is read with.
#[derive(Clone)]
pub(crate) struct Reader {
    /// The active rules.
    pub(crate) rules: Arc<Rules>,
    /// What the provider may leave out.
    pub(crate) prefilter: Arc<Prefilter>,
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
        budget: Arc<Budget>,
    },
    File(Arc<FileLog>),
}

/// How many requests may be sent in a second, shared by all that draw on one quota.
pub(crate) type Budget = DefaultDirectRateLimiter;

/// A window that was read.
pub(crate) struct Reading {
    /// What was found.
    pub(crate) fold: Fold,
    /// What it took.
    pub(crate) cost: Cost,
    /// Whether the log held any record at all in the window.
    pub(crate) has_records: bool,
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
    is_token_gone: bool,
}

/// Budgets by what they are for.
#[derive(Default)]
pub(crate) struct Budgets(std::collections::HashMap<(String, String), Arc<Budget>>);

impl Budgets {
    /// Returns the budget of `key`, made for `per_second` requests where it is new.
    pub(crate) fn of(&mut self, key: (String, String), per_second: u32) -> Arc<Budget> {
        let quota = Quota::per_second(per_second.try_into().unwrap_or(std::num::NonZeroU32::MIN));
        self.0.entry(key).or_insert_with(|| Arc::new(RateLimiter::direct(quota))).clone()
    }
}

impl Log {
    /// Opens a log; nothing is asked of the provider yet.
    pub(crate) async fn open(config: &SourceConfig, budgets: &mut Budgets) -> Log {
        let kind = match &config.kind {
            SourceKind::File { path } => LogKind::File(Arc::new(FileLog::new(path.clone()))),
            #[cfg(feature = "aws")]
            SourceKind::Cloudwatch(cloudwatch) => {
                let config = setup::cloudwatch(cloudwatch);
                let per_second = stakeout_cloudwatch::requests_per_second(&config.region);
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
            LogKind::Cloudwatch { client, budget } => {
                let mut restarts = 0;
                loop {
                    match self.read_pages(client, budget, window, is_relook, reader).await {
                        Err(unread) if unread.is_token_gone && restarts < RESTARTS_MAX => restarts += 1,
                        other => return other,
                    }
                }
            }
        }
    }

    #[cfg(feature = "aws")]
    async fn read_pages(
        &self,
        client: &stakeout_cloudwatch::CloudWatch,
        budget: &Budget,
        window: Window,
        is_relook: bool,
        reader: &Reader,
    ) -> Result<Reading, Unread> {
        let mut fold = reader.open(window, is_relook);
        let mut cost = Cost::default();
        let mut token = None;
        let mut tokens_seen = std::collections::HashSet::new();
        loop {
            let page = asking(budget, &mut cost, || client.page(window, &reader.prefilter, token.as_ref())).await?;
            cost.pages += 1;
            cost.bytes += page.bytes;
            cost.undecodable += u64::from(page.unusable);
            for record in &page.records {
                self.observe(record, reader, &mut fold, &mut cost);
            }
            let Some(next) = page.next else { break };
            if !tokens_seen.insert(next.0.clone()) {
                return Err(Unread {
                    reason: "the provider's page tokens go round in a circle".to_owned(),
                    is_token_gone: true,
                });
            }
            token = Some(next);
        }
        let has_records = cost.records > 0 || asking(budget, &mut cost, || client.has_records(window)).await?;
        Ok(Reading { fold, cost, has_records })
    }

    fn observe(&self, record: &RawRecord, reader: &Reader, fold: &mut Fold, cost: &mut Cost) {
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
        Ok(Reading { fold, cost, has_records: read.lines > 0 })
    }
}

impl Reader {
    fn open(&self, window: Window, is_relook: bool) -> Fold {
        fold::open(self.rules.clone(), window, is_relook, self.sample_key, self.limits)
    }
}

/// Asks until there is an answer, a failure that waiting does not mend, or enough of the others.
#[cfg(feature = "aws")]
async fn asking<T, F>(budget: &Budget, cost: &mut Cost, mut ask: impl FnMut() -> F) -> Result<T, Unread>
where
    F: Future<Output = Result<T, FetchError>>,
{
    let waits = |times| {
        ExponentialBuilder::default()
            .with_min_delay(WAIT_MIN)
            .with_max_delay(WAIT_MAX)
            .with_max_times(times)
            .with_jitter()
            .build()
    };
    let (mut failures, mut throttles) = (waits(FAILURES_MAX), waits(THROTTLES_MAX));
    loop {
        budget.until_ready().await;
        let fault = match ask().await {
            Ok(answer) => return Ok(answer),
            Err(fault) => fault,
        };
        let is_token_gone = matches!(fault, FetchError::TokenGone { .. });
        let wait = match &fault {
            FetchError::Throttled { retry_after, .. } => {
                cost.throttled += 1;
                throttles.next().map(|wait| retry_after.map_or(wait, |asked| asked.clamp(wait, WAIT_MAX)))
            }
            FetchError::Unavailable { .. } => {
                cost.retried += 1;
                failures.next()
            }
            FetchError::Denied { .. } | FetchError::TokenGone { .. } | FetchError::Truncated { .. } => None,
        };
        let Some(wait) = wait else {
            return Err(Unread { reason: fault.to_string(), is_token_gone });
        };
        debug!(%fault, ?wait, "trying again");
        tokio::time::sleep(wait).await;
    }
}
