//! Closes a change of one log: reads what the close needs of the stored state, lets core decide, and commits the result.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use stakeout_core::context::FindingContext;
use stakeout_core::delivery::NotificationFilter;
use stakeout_core::finding::FindingKey;
use stakeout_core::fold::{self, CloseInput, Closed, Limits, WindowCounts};
use stakeout_core::group::CountKey;
use stakeout_core::notice::Notice;
use stakeout_core::progress::Progress;
use stakeout_core::rule::Rules;
use stakeout_core::source::{LogId, Provider, Source, SourceId};
use stakeout_core::tally::StoredMinute;
use stakeout_core::time::{Minute, Second, Window};
use stakeout_ledger::{Ledger, LedgerError};

use crate::clock;

/// Most records of expired minutes that one commit deletes. The memory of sled grows with the keys of a batch.
const EXPIRED_CHUNKS_MAX: usize = 2048;

/// The parts of the config that a close needs.
#[derive(Clone)]
pub(crate) struct EngineConfig {
    /// The active rules.
    pub(crate) rules: Arc<Rules>,
    /// The limits of a window.
    pub(crate) limits: Limits,
    /// Every configured log, with its first second relative to the tick if it was never read.
    pub(crate) logs: Vec<(LogId, Provider, i64)>,
    /// The notification filter of each destination.
    pub(crate) notification_filters: Vec<NotificationFilter>,
    /// The length of a window in seconds.
    pub(crate) period_seconds: i64,
}

/// A change of one log that is to be committed.
pub(crate) struct CloseRequest {
    /// The source.
    pub(crate) source: Source,
    /// The change.
    pub(crate) change: Change,
    /// The progress of the log after the change.
    pub(crate) progress: Progress,
    /// Notices of the log itself.
    pub(crate) notices: Vec<Notice>,
    /// The tick.
    pub(crate) at: Second,
    /// The config in use.
    pub(crate) config: Arc<EngineConfig>,
}

/// What a commit changes beside the progress.
pub(crate) enum Change {
    /// The window was read.
    Window {
        /// The counts of the window.
        counted: Box<WindowCounts>,
        /// The window.
        window: Window,
    },
    /// Only the progress changes: a window failed, became a gap, or was given up.
    Progress,
    /// The context of stored findings was read.
    Context(Vec<(FindingKey, FindingContext)>),
}

/// Closes the change and commits it.
pub(super) fn close(ledger: &Ledger, request: CloseRequest) -> Result<Closed, LedgerError> {
    let mut input = input_without_minutes(ledger, &request)?;
    let CloseRequest { source, change, config, .. } = request;
    let closed = match change {
        Change::Window { counted, window } => {
            add_minutes_of_window(ledger, &counted, window, &mut input)?;
            counted.close(&source, input, clock::now())
        }
        Change::Progress => close_progress(ledger, &config, &source, input)?,
        Change::Context(context) => close_progress(ledger, &config, &source, CloseInput { context, ..input })?,
    };
    let mut closed = Closed { commit: closed.commit.with_split_deliveries(), ..closed };
    ledger.commit_window(&mut closed.commit)?;
    Ok(closed)
}

fn close_progress(
    ledger: &Ledger,
    config: &EngineConfig,
    source: &Source,
    mut input: CloseInput,
) -> Result<Closed, LedgerError> {
    let needed = fold::keys_expiring(&config.rules, &input.expired, &input.findings);
    if !needed.is_empty() {
        input.minutes = ledger.minutes(Minute(i64::MIN), Minute(i64::MAX), |_, key| needed.contains(key))?;
    }
    drop(needed);
    Ok(fold::close_progress(&config.rules, &config.limits, source, input, clock::now()))
}

/// Reads what every close needs of the other windows and logs, except minutes.
fn input_without_minutes(ledger: &Ledger, request: &CloseRequest) -> Result<CloseInput, LedgerError> {
    let CloseRequest { source, progress, notices, config, .. } = request;
    let source_id = ledger.source_id_for(&source.log)?;
    let mut progresses: HashMap<LogId, Progress> = HashMap::new();
    let mut providers: HashMap<SourceId, Provider> = HashMap::new();
    for (id, known) in ledger.progresses()? {
        let log = config.logs.iter().find(|(log, ..)| *log == known.log);
        providers.extend(log.map(|(_, provider, _)| (id, *provider)));
        progresses.insert(known.log.clone(), known);
    }
    progresses.insert(source.log.clone(), progress.clone());
    let reach = Reach::of(&progresses, request);
    let mut expired = ledger.expired(reach.keep_from.minute(), EXPIRED_CHUNKS_MAX)?;
    drop_last_minute(&mut expired);
    // A finding is kept while a minute of its episode is stored: without the finding, the episode would be reported
    // again. One commit may delete only a part of the expired minutes, oldest first.
    let stored_from = expired.last().map_or(reach.keep_from.minute(), |last| last.minute).start();
    let deliveries = ledger.deliveries()?;
    let pending: BTreeSet<FindingKey> =
        deliveries.iter().flat_map(|delivery| &delivery.entries).map(|entry| entry.finding).collect();
    Ok(CloseInput {
        source_id,
        progress: progress.clone(),
        own: Vec::new(),
        found_before: Vec::new(),
        minutes: Vec::new(),
        expired,
        findings: ledger.findings()?,
        context: Vec::new(),
        pending,
        providers,
        read_until: reach.read_until,
        forget_before: stored_from,
        notification_filters: config.notification_filters.clone(),
        notices: notices.clone(),
        next_delivery: ledger.next_delivery(),
    })
}

/// Adds the stored minutes that the close of `window` needs.
fn add_minutes_of_window(
    ledger: &Ledger,
    counted: &WindowCounts,
    window: Window,
    input: &mut CloseInput,
) -> Result<(), LedgerError> {
    let source_id = input.source_id;
    if let Some(window) = counted.followed_from() {
        let (first, last) = minutes_of(window);
        let is_followed = |source, key: &CountKey| source == source_id && counted.has_follow_ups(key.rule);
        input.found_before = ledger.minutes(first, last, is_followed)?;
    }
    let needed = counted.keys_needed(&input.found_before, &input.expired, &input.findings);
    let (first, last) = minutes_of(window);
    input.own = ledger.minutes(first, last, |source, _| source == source_id)?;
    if !needed.is_empty() {
        // The rows of a flood fill the memory, so the rows of `own` are not read twice.
        let others = |source, key: &CountKey| source != source_id && needed.contains(key);
        input.minutes.extend(ledger.minutes(Minute(i64::MIN), first, |_, key| needed.contains(key))?);
        input.minutes.extend(ledger.minutes(first, last, others)?);
        input.minutes.extend(ledger.minutes(last, Minute(i64::MAX), |_, key| needed.contains(key))?);
    }
    Ok(())
}

/// Returns the first minute of `window` and the first minute after it.
fn minutes_of(window: Window) -> (Minute, Minute) {
    (window.earliest().minute(), window.latest().plus(59).minute())
}

/// Leaves the latest minute for the next commit. Where the limit cut the list, that minute may lack some sources, and a
/// minute of an episode must be deleted as a whole.
fn drop_last_minute(expired: &mut Vec<StoredMinute>) {
    if let [first, .., last] = &expired[..]
        && first.minute != last.minute
    {
        let last = last.minute;
        expired.retain(|stored| stored.minute != last);
    }
}

/// How far the configured logs are read, taken together.
struct Reach {
    /// Every healthy log is read up to here.
    read_until: Second,
    /// No minute before this one is needed.
    keep_from: Second,
}

impl Reach {
    fn of(progresses: &HashMap<LogId, Progress>, request: &CloseRequest) -> Reach {
        let config = &request.config;
        let (mut read_until, mut due_from) = (request.progress.cursor, request.progress.earliest_due());
        if let Change::Window { window, .. } = &request.change {
            // A commit must not delete the minutes that it writes.
            due_from = due_from.min(window.earliest());
        }
        for (log, _, start_seconds) in &config.logs {
            let Some(known) = progresses.get(log) else {
                let start = request.at.plus(*start_seconds);
                (read_until, due_from) = (read_until.min(start), due_from.min(start));
                continue;
            };
            due_from = due_from.min(known.earliest_due());
            // A log that has failed for two windows holds up nothing.
            let is_lost = known.failing.is_some() && known.cursor.plus(2 * config.period_seconds) < request.at;
            if !is_lost {
                read_until = read_until.min(known.cursor);
            }
        }
        Reach { read_until, keep_from: due_from.plus(-config.rules.longest_reach_seconds()) }
    }
}
