//! The requests of the groups in question, over all sources: a page for each group, made when it is turned to.

use crate::source::Provider;
use crate::tally::{CountKey, Rows, RuleKey, Tally};
use crate::time::{Minute, Second};
use crate::timeline::Timeline;

/// The rows of the groups in question, over all sources.
pub(super) struct GroupIndex<'a> {
    /// Ascending by key when it is bound.
    rows: Vec<Entered<'a>>,
}

struct Entered<'a> {
    key: &'a CountKey,
    minute: Minute,
    tally: &'a Tally,
    provider: Option<Provider>,
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
    /// Returns the book of those rows whose key is `wanted`: of each minute with the service that keeps its log.
    pub(super) fn new(
        minutes: impl Iterator<Item = (Minute, &'a Rows, Option<Provider>)>,
        is_wanted: impl Fn(&CountKey) -> bool,
    ) -> GroupIndex<'a> {
        let mut rows = Vec::new();
        for (minute, of_minute, provider) in minutes {
            let wanted = of_minute.iter().filter(|(key, _)| is_wanted(key));
            rows.extend(wanted.map(|(key, tally)| Entered { key, minute, tally, provider }));
        }
        rows.sort_by(|left, right| left.key.cmp(right.key));
        GroupIndex { rows }
    }

    /// Returns the pages of a rule, ascending by group.
    pub(super) fn pages(&self, rule: RuleKey) -> impl Iterator<Item = (&'a CountKey, GroupHistory<'a>)> {
        let begin = self.rows.partition_point(|entered| entered.key.rule < rule);
        let end = self.rows.partition_point(|entered| entered.key.rule <= rule);
        self.rows[begin..end]
            .chunk_by(|one, next| one.key == next.key)
            .map(|rows| (rows[0].key, GroupHistory::of(rows)))
    }

    /// Returns the page of a group.
    pub(super) fn page(&self, key: &CountKey) -> GroupHistory<'a> {
        let begin = self.rows.partition_point(|entered| entered.key < key);
        let end = self.rows.partition_point(|entered| entered.key <= key);
        GroupHistory::of(&self.rows[begin..end])
    }
}

impl<'a> GroupHistory<'a> {
    fn of(rows: &[Entered<'a>]) -> GroupHistory<'a> {
        let mut page = GroupHistory::default();
        for Entered { minute, tally, provider, .. } in rows {
            page.timeline.enter(*minute, tally);
            let mut at = tally.at(*minute).map(|(at, ..)| at);
            let first = at.next().unwrap_or(minute.start());
            let last = at.last().unwrap_or(first);
            page.rows.push(HistoryRow { minute: *minute, first, last, tally, provider: *provider });
        }
        page
    }
}
