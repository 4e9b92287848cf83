//! Closes changes of some logs in as many commits as they need. Most need one.
//!
//! The state engine keeps in memory all that one commit touches. So a window with very many rows is committed in parts, and so
//! is what is due at once after a flood. After a crash between two parts the window is read again: the rows of its first parts
//! are then as they are stored, so nothing happens twice.

use stakeout_core::delivery::Activity;
use stakeout_core::fold::{Closed, WindowCounts};
use stakeout_ledger::{Ledger, LedgerError};
use tracing::warn;

use super::close::{Change, CloseRequest, CommitShare, Committed, EngineConfig, close};
use super::least_progress::LeastProgress;

/// Most commits that follow the last part, where more is due than one commit does. What is left waits for the next change.
const FURTHER_MAX: usize = 10;

/// Closes the `first` change and `others` of different logs under one config. Returns what all their commits changed.
pub(super) fn close_in_parts(
    ledger: &Ledger,
    least: &mut LeastProgress,
    config: &EngineConfig,
    mut first: CloseRequest,
    others: Vec<CloseRequest>,
) -> Result<Closed, LedgerError> {
    let earlier = if others.is_empty() { earlier_parts(ledger, config, &mut first) } else { Vec::new() };
    let mut commits = close_earlier(ledger, least, config, &mut first, earlier)?;
    let mut next = follower(&first, Change::Progress);
    let mut requests = others;
    requests.insert(0, first);
    for _ in 0..=FURTHER_MAX {
        let share = CommitShare { findings_max: commits.openings_left, is_earlier_part: false };
        if !commits.add(close(ledger, least, config, &share, requests)?) {
            break;
        }
        commits.pass_progress_to(&mut next);
        requests = vec![follower(&next, Change::Progress)];
    }
    let closed = commits.closed.expect("the loop above commits at least once");
    warn_of(&closed);
    Ok(closed)
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

/// Takes all parts but the last from a window that is too large for one commit, in their order.
pub(super) fn earlier_parts(ledger: &Ledger, config: &EngineConfig, request: &mut CloseRequest) -> Vec<WindowCounts> {
    match std::mem::replace(&mut request.change, Change::Progress) {
        Change::Window(counts) => {
            let mut parts = counts.split(config.limits.commit_rows_max, |group| ledger.row_order(group));
            if let Some(last) = parts.pop() {
                request.change = Change::Window(Box::new(last));
            }
            parts
        }
        other => {
            request.change = other;
            Vec::new()
        }
    }
}

/// Commits all parts of the window of `request` but the last, and gives it the follow-ups and context queries that they add.
pub(super) fn close_earlier(
    ledger: &Ledger,
    least: &mut LeastProgress,
    config: &EngineConfig,
    request: &mut CloseRequest,
    parts: Vec<WindowCounts>,
) -> Result<Commits, LedgerError> {
    let mut commits = Commits { closed: None, openings_left: config.limits.findings_max };
    let mut parts_left = parts.len() + 1;
    for part in parts {
        let share = CommitShare { findings_max: commits.openings_left / parts_left, is_earlier_part: true };
        let part = follower(request, Change::Window(Box::new(part)));
        commits.add(close(ledger, least, config, &share, vec![part])?);
        parts_left -= 1;
        commits.pass_progress_to(request);
    }
    Ok(commits)
}

/// Returns a request with another change of the same log.
fn follower(request: &CloseRequest, change: Change) -> CloseRequest {
    let CloseRequest { source, progress, at, config, lease, .. } = request;
    let (source, progress, config, lease) = (source.clone(), progress.clone(), config.clone(), lease.clone());
    CloseRequest { source, change, progress, notices: Vec::new(), at: *at, config, lease }
}

/// The commits so far.
pub(super) struct Commits {
    pub(super) closed: Option<Closed>,
    /// Findings that the next ones may open.
    openings_left: usize,
}

impl Commits {
    /// Adds a commit, and returns whether more is due.
    fn add(&mut self, Committed { closed, is_more_due }: Committed) -> bool {
        let opened = closed.changes.iter().filter(|(_, activity)| *activity == Activity::Create).count();
        self.openings_left = self.openings_left.saturating_sub(opened);
        self.closed = Some(match self.closed.take() {
            Some(before) => before.and(closed),
            None => closed,
        });
        is_more_due
    }

    /// Gives `request` the progress of the first log with the follow-ups and context queries that the commits added.
    fn pass_progress_to(&self, request: &mut CloseRequest) {
        if let Some(log) = self.closed.as_ref().and_then(|closed| closed.commit.logs.first()) {
            request.progress.clone_from(&log.progress);
        }
    }
}

#[cfg(test)]
mod tests;
