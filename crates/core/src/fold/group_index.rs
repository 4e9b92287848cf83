//! The rows of the groups that a commit touches, over all sources, and the history of each group, built on demand.

use crate::group::{CountKey, RuleKey};
use crate::source::Provider;
use crate::tally::Tally;
use crate::time::{Minute, Second};
use crate::timeline::Timeline;

/// The rows of the touched groups, over all sources.
pub(super) struct GroupIndex<'a> {
    /// Ascending by key.
    rows: Vec<IndexedRow<'a>>,
}

/// One log's row, with the service that keeps the log.
pub(super) struct IndexedRow<'a> {
    pub(super) key: &'a CountKey,
    pub(super) minute: Minute,
    pub(super) tally: &'a Tally,
    pub(super) provider: Option<Provider>,
}

/// One group's requests by second, and its rows.
#[derive(Default)]
pub(super) struct GroupHistory<'a> {
    pub(super) timeline: Timeline<'a>,
    pub(super) rows: Vec<HistoryRow<'a>>,
}

pub(super) struct HistoryRow<'a> {
    pub(super) minute: Minute,
    pub(super) first: Second,
    pub(super) last: Second,
    pub(super) tally: &'a Tally,
    pub(super) provider: Option<Provider>,
}

impl<'a> GroupIndex<'a> {
    /// Indexes rows.
    pub(super) fn new(rows: impl Iterator<Item = IndexedRow<'a>>) -> GroupIndex<'a> {
        let mut rows: Vec<IndexedRow<'a>> = rows.collect();
        rows.sort_by(|left, right| left.key.cmp(right.key));
        GroupIndex { rows }
    }

    /// Returns those groups of a rule that are `wanted`, with their histories, ascending.
    pub(super) fn groups_of(
        &self,
        rule: RuleKey,
        wanted: impl Fn(&CountKey) -> bool,
    ) -> impl Iterator<Item = (&'a CountKey, GroupHistory<'a>)> {
        let begin = self.rows.partition_point(|row| row.key.rule < rule);
        let end = self.rows.partition_point(|row| row.key.rule <= rule);
        self.rows[begin..end]
            .chunk_by(|one, next| one.key == next.key)
            .filter(move |rows| wanted(rows[0].key))
            .map(|rows| (rows[0].key, GroupHistory::of(rows)))
    }

    /// Returns the history of a group.
    pub(super) fn history(&self, key: &CountKey) -> GroupHistory<'a> {
        let begin = self.rows.partition_point(|row| row.key < key);
        let end = self.rows.partition_point(|row| row.key <= key);
        GroupHistory::of(&self.rows[begin..end])
    }
}

impl<'a> GroupHistory<'a> {
    fn of(rows: &[IndexedRow<'a>]) -> GroupHistory<'a> {
        let mut history = GroupHistory::default();
        for IndexedRow { minute, tally, provider, .. } in rows {
            history.timeline.add(*minute, tally);
            let mut at = tally.at(*minute).map(|(at, ..)| at);
            let first = at.next().unwrap_or(minute.start());
            let last = at.last().unwrap_or(first);
            history.rows.push(HistoryRow { minute: *minute, first, last, tally, provider: *provider });
        }
        history
    }
}
