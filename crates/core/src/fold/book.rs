//! The requests of the groups in question: second by second, over all sources.

use std::collections::{BTreeMap, BTreeSet};

use crate::evidence::Evidence;
use crate::source::Provider;
use crate::tally::{CountKey, Rows};
use crate::time::{Minute, Second};

/// The minutes of the groups in question, over all sources.
pub(super) struct Book<'a> {
    pub(super) pages: BTreeMap<&'a CountKey, Page>,
}

/// One group's requests by second, and its rows.
#[derive(Default)]
pub(super) struct Page {
    pub(super) seconds: BTreeMap<Second, u64>,
    pub(super) rows: Vec<PageRow>,
}

pub(super) struct PageRow {
    pub(super) first: Second,
    pub(super) last: Second,
    pub(super) clusters: BTreeSet<String>,
    pub(super) evidence: Evidence,
    pub(super) provider: Option<Provider>,
    pub(super) late: bool,
}

impl<'a> Book<'a> {
    pub(super) fn new(keys: impl Iterator<Item = &'a CountKey>) -> Book<'a> {
        Book { pages: keys.map(|key| (key, Page::default())).collect() }
    }

    pub(super) fn enter(&mut self, minute: Minute, rows: &Rows, provider: Option<Provider>) {
        for (key, tally) in rows {
            let Some(page) = self.pages.get_mut(key) else {
                continue;
            };
            for (second, n) in tally.at(minute) {
                *page.seconds.entry(second).or_default() += n;
            }
            let at = |seconds: Option<&(u8, u32)>| {
                seconds.map_or(minute.start(), |(second, _)| minute.start().plus(i64::from(*second)))
            };
            page.rows.push(PageRow {
                first: at(tally.seconds.first()),
                last: at(tally.seconds.last()),
                clusters: tally.clusters.clone(),
                evidence: tally.evidence.clone(),
                provider,
                late: tally.late,
            });
        }
    }
}
