//! The distinct values of a window while it is open: bounded for each group, so that one that brings many takes no room
//! from the others, and the same in whatever order requests come.
//!
//! Each group keeps the lowest values of every minute in which requests were received. Beyond the limit over all groups
//! none is added: the requests are counted all the same, and the rows say that there were more values.

use std::collections::HashMap;

use super::Member;
use crate::address::SourceIp;
use crate::distinct::{Distinct, Kind, TextHash};
use crate::tally::Tally;

/// The values of an open window.
pub(super) struct Values {
    /// By group and the minute in which the request was received.
    kept: HashMap<(u32, i32), Kept>,
    /// How many were added, also those that made room since.
    added: usize,
    added_max: usize,
}

#[derive(Default)]
struct Kept {
    sources: Distinct<SourceIp>,
    texts: Distinct<TextHash>,
}

impl Values {
    /// Returns an empty set that adds at most `added_max` values.
    pub(super) fn new(added_max: usize) -> Values {
        Values { kept: HashMap::new(), added: 0, added_max }
    }

    /// Adds the values of a request, and takes those out of `member` that are not kept.
    pub(super) fn note(&mut self, member: &mut Member, received: i32) {
        if member.source.is_none() && member.text.is_none() {
            return;
        }
        let is_full = self.added >= self.added_max;
        let place = (member.place, received);
        let mut kept = if is_full { self.kept.get_mut(&place) } else { Some(self.kept.entry(place).or_default()) };
        let sources = kept.as_mut().map(|kept| &mut kept.sources);
        member.is_source_cut = !keep(&mut member.source, sources, is_full, &mut self.added);
        let texts = kept.as_mut().map(|kept| &mut kept.texts);
        member.is_text_cut = !keep(&mut member.text, texts, is_full, &mut self.added);
    }

    /// Adds the values of `other`, whose groups stand here at `places`.
    pub(super) fn join(&mut self, other: Values, places: &[u32]) {
        self.added += other.added;
        for ((place, received), more) in other.kept {
            let kept = self.kept.entry((places[place as usize], received)).or_default();
            kept.sources.join(&more.sources);
            kept.texts.join(&more.texts);
        }
    }

    /// Marks the values of `member` that are kept in its row, or that there were more.
    pub(super) fn mark(&self, tally: &mut Tally, member: &Member, received: i32, second: u8) {
        let kept = self.kept.get(&(member.place, received));
        match member.source {
            Some(source) if kept.is_some_and(|kept| kept.sources.holds(source)) => tally.sources.add(source, second),
            None if !member.is_source_cut => {}
            _ => tally.sources.note_more(),
        }
        match member.text {
            Some(text) if kept.is_some_and(|kept| kept.texts.holds(text)) => tally.texts.add(text, second),
            None if !member.is_text_cut => {}
            _ => tally.texts.note_more(),
        }
    }
}

/// Adds `value` where there is room for it, or takes it away and returns `false`.
fn keep<T: Kind>(value: &mut Option<T>, kept: Option<&mut Distinct<T>>, is_full: bool, added: &mut usize) -> bool {
    let Some(new) = *value else {
        return true;
    };
    let is_kept = match kept {
        Some(kept) if kept.holds(new) => true,
        Some(kept) if !is_full => {
            let is_kept = kept.add(new);
            *added += usize::from(is_kept);
            is_kept
        }
        _ => false,
    };
    if !is_kept {
        *value = None;
    }
    is_kept
}
