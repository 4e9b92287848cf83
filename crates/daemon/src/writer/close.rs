//! Closes changes of some logs in one commit: reads what the close needs of the stored state, lets core decide, and commits
//! the result.
//!
//! What is read is proportional to the groups that the changes touch, whatever else is stored.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use stakeout_core::address::SourceIp;
use stakeout_core::context::FindingContext;
use stakeout_core::delivery::NotificationFilter;
use stakeout_core::finding::{Finding, FindingKey};
use stakeout_core::fold::{self, CloseInput, Closed, Limits, LogChange, WindowCounts};
use stakeout_core::group::GroupKey;
use stakeout_core::incident::IncidentOptions;
use stakeout_core::lease::Lease;
use stakeout_core::notice::{Notice, NoticeKind};
use stakeout_core::progress::Progress;
use stakeout_core::rule::Rules;
use stakeout_core::source::{LogId, Provider, Source};
use stakeout_core::tally::StoredMinute;
use stakeout_core::time::{Minute, Second, Window};
use stakeout_ledger::{Ledger, LedgerError, NeededRows};
use tracing::{info, warn};

use super::incidents;
use super::least_progress::LeastProgress;
use crate::clock;
use crate::metric;

/// Rows that one commit deletes because they expired, or twice as many as it writes if that is more: so what expires keeps
/// up with what is written, and a commit costs what it touches.
const EXPIRED_ROWS: usize = 4096;
/// Most findings that one commit closes because their quiet time is over: each may be in a page of its own, and the engine
/// keeps in memory what one commit touches.
pub(super) const QUIET_MAX: usize = 1_000;
/// Most groups that waited for the end of a span and that one commit judges.
const JUDGED_MAX: usize = 1_000;
/// Findings that one commit moves to the archive, or as many as it writes rows if that is more: so the archive keeps up, and a
/// commit costs what it touches.
const ARCHIVED: usize = 1_000;
/// Most findings of other groups of a source that a commit reads: as many as related activity compares.
const OTHERS_MAX: usize = 256;

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
    /// How findings are joined to incidents.
    pub(crate) incidents: IncidentOptions,
    /// Whether the config names a file with silences.
    pub(crate) has_silences: bool,
    /// The length of a window in seconds.
    pub(crate) period_seconds: i64,
    /// For how many seconds a finding that is over stays in the archive.
    pub(crate) retain_seconds: i64,
    /// Most bytes of the archive.
    pub(crate) archive_bytes_max: u64,
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
    /// The lease of the log, where other replicas may take it over.
    pub(crate) lease: Option<Lease>,
}

/// What a commit changes beside the progress.
pub(crate) enum Change {
    /// A window was read.
    Window(Box<WindowCounts>),
    /// Only the progress changes: a window failed, became a gap, or was given up.
    Progress,
    /// The context of stored findings was read.
    Context(Vec<(FindingKey, FindingContext)>),
}

impl CloseRequest {
    /// Returns the window that was read, or `None` where only the progress changes.
    pub(super) fn window(&self) -> Option<Window> {
        match &self.change {
            Change::Window(counted) => Some(counted.window()),
            Change::Progress | Change::Context(_) => None,
        }
    }

    fn note_of_the_state(&mut self, kind: NoticeKind) {
        let (source, cluster) = (self.source.name.clone(), self.source.cluster.to_string());
        if let Some(window) = self.window().or(Window::new(self.at.plus(-self.config.period_seconds), self.at)) {
            self.notices.push(Notice { source, cluster, window, kind });
        }
    }

    /// Returns the source addresses of the groups that the change counts, once for each row.
    pub(super) fn sources(&self) -> impl Iterator<Item = SourceIp> {
        let counted = match &self.change {
            Change::Window(counted) => Some(counted),
            Change::Progress | Change::Context(_) => None,
        };
        counted.into_iter().flat_map(|counted| counted.keys()).filter_map(|key| key.group.source_ip())
    }

    /// Returns how many rows the change has.
    pub(super) fn rows(&self) -> usize {
        match &self.change {
            Change::Window(counted) => counted.rows(),
            Change::Progress | Change::Context(_) => 0,
        }
    }
}

/// What one commit may do of the changes that are closed at once.
pub(super) struct CommitShare {
    /// Findings that it opens.
    pub(super) findings_max: usize,
    /// Whether the one change is a part of a window, and later parts follow. The stored progress of the log stays until the
    /// last part is committed, so after a crash the whole window is read again. Its rows are then as they are stored.
    pub(super) is_earlier_part: bool,
}

/// What one commit did.
pub(super) struct Committed {
    pub(super) closed: Closed,
    /// Whether more is due than one commit does: findings whose quiet time is over, or groups that can be judged.
    pub(super) is_more_due: bool,
}

/// Closes changes of different logs under one config, and commits them at once, while nobody else writes.
pub(super) fn close(
    ledger: &Ledger,
    least: &mut LeastProgress,
    config: &EngineConfig,
    share: &CommitShare,
    requests: Vec<CloseRequest>,
) -> Result<Committed, LedgerError> {
    ledger.alone(|ledger| close_alone(ledger, least, config, share, requests))
}

fn close_alone(
    ledger: &Ledger,
    least: &mut LeastProgress,
    config: &EngineConfig,
    share: &CommitShare,
    mut requests: Vec<CloseRequest>,
) -> Result<Committed, LedgerError> {
    least.refresh(ledger)?;
    let at = requests.iter().map(|request| request.at).max().unwrap_or(Second(0));
    let mut context = Vec::new();
    let mut changes = Vec::with_capacity(requests.len());
    let mut rows = 0;
    let windows: Vec<Second> = requests.iter().filter_map(|request| Some(request.window()?.earliest())).collect();
    let restored = ledger.restored_from()?.map(|from| NoticeKind::StateRestored { from });
    let of_the_state = if ledger.is_anew()? { Some(NoticeKind::StateGone) } else { restored };
    if let (Some(kind), Some(first)) = (of_the_state, requests.first_mut()) {
        first.note_of_the_state(kind);
    }
    let leases: Vec<Lease> = requests.iter().filter_map(|request| request.lease.clone()).collect();
    let mut stored = Vec::new();
    for request in requests {
        rows += request.rows();
        let window = request.window().filter(|_| share.is_earlier_part);
        let change = change_of(ledger, request, &mut context)?;
        least.note(change.source_id, &change.progress);
        if let Some(window) = window {
            let before = ledger.progress(&change.source.log)?.map(|(_, progress)| progress);
            let before = before.unwrap_or_else(|| Progress::new(change.source.log.clone(), window.earliest()));
            stored.push((change.source_id, before));
        }
        let own = stored_rows_of(ledger, &change)?;
        changes.push(change.join(&own));
    }
    // All requests of the groups of a part are in it. Of other groups, nothing is known of the window yet.
    let judged_until = least.read_until(at);
    stored.iter().for_each(|(source, progress)| least.note(*source, progress));
    // A commit must not delete the rows that it writes.
    let due_from = windows.into_iter().chain([least.due_from(at)]).min().unwrap_or(at);
    let keep_from = due_from.plus(-config.rules.longest_reach_seconds());
    let near_from = due_from.plus(-config.rules.near_reach_seconds());
    let far_rules = config.rules.far_rules();
    let needed = NeededRows { all_from: keep_from.minute(), near_from: near_from.minute(), far_rules: &far_rules };
    let expired = ledger.oldest_rows(&needed, EXPIRED_ROWS.max(2 * rows))?;
    let read_until = least.read_until(at);
    let judged = ledger.waiting(read_until, JUDGED_MAX)?;
    let needed = fold::keys_needed(&changes, &judged);
    let expiring = expired.minutes.iter().flat_map(|minute| minute.rows.keys());
    let groups: HashSet<&GroupKey> = needed.iter().copied().chain(expiring).map(|key| &key.group).collect();
    let mut findings: BTreeMap<FindingKey, Finding> = BTreeMap::new();
    let mut add = |more: Vec<Finding>| findings.extend(more.into_iter().map(|finding| (finding.key, finding)));
    add(ledger.findings_of_groups(&groups, OTHERS_MAX)?);
    let quiet = ledger.findings_quiet(read_until, QUIET_MAX)?;
    let is_more_due = quiet.len() >= QUIET_MAX || judged.len() >= JUDGED_MAX;
    add(quiet);
    for (key, _) in &context {
        add(ledger.finding(key)?.into_iter().collect());
    }
    let findings: Vec<Finding> = findings.into_values().collect();
    let minutes = ledger.rows_of_groups(&needed, &fold::spans_needed(&config.rules, &changes, &judged))?;
    drop((needed, groups));
    // A finding is kept while a row of its episode is stored: without the finding, the episode would be reported again.
    let is_far =
        |finding: &Finding| config.rules.named(&finding.rule.name).is_some_and(|rule| far_rules.contains(&rule.key));
    let far_over = keep_from.min(expired.others_from.start());
    let near_over = near_from.min(expired.near_from.start());
    let is_over = |finding: &Finding| {
        !finding.is_open() && finding.episode.last < if is_far(finding) { far_over } else { near_over }
    };
    let over = ledger.findings_over(near_over, ARCHIVED.max(rows), is_over)?;
    let providers = minutes.iter().filter_map(|minute| Some((minute.source, least.provider(minute.source)?))).collect();
    let input = CloseInput {
        changes,
        minutes,
        expired: expired.minutes,
        near_rows_from: expired.near_from,
        findings,
        judged,
        judged_until,
        seen: ledger.seen()?,
        context,
        providers,
        read_until,
        notification_filters: config.notification_filters.clone(),
        next_delivery: ledger.next_delivery(),
        stored: ledger.stored()?,
    };
    let limits = Limits { findings_max: share.findings_max, ..config.limits };
    let decided = fold::decide(&config.rules, &limits, input, now_in_seconds());
    let incidents = incidents::input(ledger, config, &decided, read_until, &over, is_over)?;
    let closed = decided.close(Some(&incidents));
    let mut closed = Closed { commit: closed.commit.with_split_deliveries(), ..closed };
    let mut after = stored.into_iter().map(|(_, progress)| progress).collect();
    swap_progress(&mut closed, &mut after);
    ledger.commit_window(&mut closed.commit, &leases)?;
    // Closing may add follow-ups, which are due from earlier on.
    closed.commit.logs.iter().for_each(|log| least.note(log.source, &log.progress));
    swap_progress(&mut closed, &mut after);
    if !closed.commit.archived.is_empty() {
        expire_archive(ledger, config, read_until);
    }
    metric::commit(&closed);
    warn_of(&closed);
    Ok(Committed { closed, is_more_due })
}

/// Exchanges the progress of the first logs of a commit.
fn swap_progress(closed: &mut Closed, other: &mut Vec<Progress>) {
    closed.commit.logs.iter_mut().zip(other).for_each(|(log, other)| std::mem::swap(&mut log.progress, other));
}

/// Logs what destinations will never hear of, and what is not remembered.
fn warn_of(closed: &Closed) {
    if closed.commit.seen.left_out > 0 {
        let groups = closed.commit.seen.left_out;
        warn!(groups, "too many groups to remember the days of all: these count as seen");
    }
    for (destination, messages) in &closed.left_out {
        warn!(
            destination,
            messages, "too many messages are pending, so these are not kept: stakeout findings list shows them"
        );
    }
}

/// Returns the time without fractions of a second, which every stored finding would hold twice.
fn now_in_seconds() -> Timestamp {
    let now = clock::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

/// Deletes what is too old or too much in the archive. Where that fails, the next commit that adds to it tries again.
fn expire_archive(ledger: &Ledger, config: &EngineConfig, read_until: Second) {
    match ledger.expire_archive(read_until.plus(-config.retain_seconds), config.archive_bytes_max) {
        Ok(0) => {}
        Ok(bytes) => info!(bytes, "the oldest findings left the archive"),
        Err(error) => warn!(%error, "cannot delete the oldest findings of the archive"),
    }
}

/// Returns the stored rows of the change's log with the same minutes, rules and groups.
fn stored_rows_of(ledger: &Ledger, change: &LogChange) -> Result<Vec<StoredMinute>, LedgerError> {
    let Some(counted) = &change.window else { return Ok(Vec::new()) };
    let (first, last) = minutes_of(counted.window());
    ledger.rows_of_groups_of_source(change.source_id, first, last, &counted.keys().collect())
}

/// Returns the first minute of `window` and the first minute after it.
fn minutes_of(window: Window) -> (Minute, Minute) {
    (window.earliest().minute(), window.latest().plus(59).minute())
}

/// Returns what core must know of a change, and adds its contexts to `context`.
fn change_of(
    ledger: &Ledger,
    request: CloseRequest,
    context: &mut Vec<(FindingKey, FindingContext)>,
) -> Result<LogChange, LedgerError> {
    let CloseRequest { source, change, progress, notices, .. } = request;
    let source_id = ledger.source_id_for(&source.log)?;
    let mut found_before = Vec::new();
    let window = match change {
        Change::Window(counted) => {
            if let Some(window) = counted.followed_from() {
                let (first, last) = minutes_of(window);
                found_before = ledger.rows_of_source(source_id, first, last, |key| counted.has_follow_ups(key.rule))?;
            }
            Some(*counted)
        }
        Change::Progress => None,
        Change::Context(found) => {
            context.extend(found);
            None
        }
    };
    Ok(LogChange { source, source_id, window, progress, notices, found_before })
}
