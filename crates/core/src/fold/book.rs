//! The requests of the groups in question: second by second, over all sources.

use std::collections::BTreeMap;

use crate::source::Provider;
use crate::tally::{CountKey, Rows, Tally};
use crate::time::{Minute, Second};
use crate::timeline::Timeline;

/// The minutes of the groups in question, over all sources.
pub(super) struct Book<'a> {
    pub(super) pages: BTreeMap<&'a CountKey, Page<'a>>,
}

/// One group's requests by second, and its rows.
#[derive(Default)]
pub(super) struct Page<'a> {
    pub(super) timeline: Timeline<'a>,
    pub(super) rows: Vec<PageRow<'a>>,
}

pub(super) struct PageRow<'a> {
    pub(super) minute: Minute,
    pub(super) first: Second,
    pub(super) last: Second,
    pub(super) tally: &'a Tally,
    pub(super) provider: Option<Provider>,
}

impl<'a> Book<'a> {
    pub(super) fn new(keys: impl Iterator<Item = &'a CountKey>) -> Book<'a> {
        Book { pages: keys.map(|key| (key, Page::default())).collect() }
    }

    pub(super) fn enter(&mut self, minute: Minute, rows: &'a Rows, provider: Option<Provider>) {
        for (key, tally) in rows {
            let Some(page) = self.pages.get_mut(key) else {
                continue;
            };
            page.timeline.enter(minute, tally);
            let mut at = tally.at(minute).map(|(at, ..)| at);
            let first = at.next().unwrap_or(minute.start());
            page.rows.push(PageRow { minute, first, last: at.last().unwrap_or(first), tally, provider });
        }
    }
}
