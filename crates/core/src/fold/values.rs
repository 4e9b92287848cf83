//! The distinct values of a window while it is open: bounded for each group, so that one that brings many takes no room
//! from the others, and the same in whatever order requests come.
//!
//! Each group keeps the lowest values of every minute in which requests were received. Beyond the limit over all groups
//! none is added: the requests are counted all the same, and the rows say that there were more values.

use std::collections::HashMap;
use std::hash::Hash;

use super::Member;
use super::hashed::ByNumber;
use crate::address::SourceIp;
use crate::distinct::{Distinct, DistinctKind};
use crate::hash::TextHash;
use crate::tally::Tally;

/// A value as a member has it: none, one that is kept, by its number, or one too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Valued(u32);

impl Valued {
    /// The rule counts no value of this kind.
    pub(super) const NONE: Valued = Valued(u32::MAX);
    /// The value is not kept.
    const CUT: Valued = Valued(u32::MAX - 1);

    /// Returns the number of a value that is kept.
    pub(super) fn number(self) -> Option<usize> {
        (self.0 < Valued::CUT.0).then_some(self.0 as usize)
    }
}

/// The values of an open window.
pub(super) struct Values {
    /// By group and the minute in which the request was received.
    kept: ByNumber<(u32, i32), Kept>,
    sources: Table<SourceIp>,
    texts: Table<TextHash>,
    /// How many were added, also those that made room since.
    added: usize,
    added_max: usize,
}

#[derive(Default)]
struct Kept {
    sources: Distinct<SourceIp>,
    texts: Distinct<TextHash>,
}

/// Values with their numbers.
struct Table<T> {
    numbers: HashMap<T, u32>,
    values: Vec<T>,
}

impl<T> Default for Table<T> {
    fn default() -> Table<T> {
        Table { numbers: HashMap::new(), values: Vec::new() }
    }
}

impl<T: DistinctKind + Hash> Table<T> {
    fn number_of(&mut self, value: T) -> Valued {
        let next = u32::try_from(self.values.len()).expect("so many values do not fit into memory");
        let number = *self.numbers.entry(value).or_insert(next);
        if number == next {
            self.values.push(value);
        }
        Valued(number)
    }

    fn value_of(&self, valued: Valued) -> Option<T> {
        self.values.get(valued.number()?).copied()
    }
}

impl Values {
    /// Returns an empty set that adds at most `added_max` values.
    pub(super) fn new(added_max: usize) -> Values {
        Values { kept: ByNumber::default(), sources: Table::default(), texts: Table::default(), added: 0, added_max }
    }

    /// Adds the values of a request that counts for the group at `place`, and returns its source and its other value.
    pub(super) fn note(
        &mut self,
        place: u32,
        source: Option<SourceIp>,
        text: Option<TextHash>,
        received: i32,
    ) -> (Valued, Valued) {
        if source.is_none() && text.is_none() {
            return (Valued::NONE, Valued::NONE);
        }
        let is_full = self.added >= self.added_max;
        let place = (place, received);
        let mut kept = if is_full { self.kept.get_mut(&place) } else { Some(self.kept.entry(place).or_default()) };
        let sources = kept.as_mut().map(|kept| &mut kept.sources);
        let source = keep(source, sources, &mut self.sources, is_full, &mut self.added);
        let texts = kept.as_mut().map(|kept| &mut kept.texts);
        (source, keep(text, texts, &mut self.texts, is_full, &mut self.added))
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

    /// Returns `member` of `other`'s with the numbers that its values have here.
    pub(super) fn moved(&mut self, member: &Member, other: &Values, places: &[u32]) -> Member {
        let source = other.sources.value_of(member.source).map(|source| self.sources.number_of(source));
        let text = other.texts.value_of(member.text).map(|text| self.texts.number_of(text));
        Member {
            place: places[member.place as usize],
            source: source.unwrap_or(member.source),
            text: text.unwrap_or(member.text),
            ..*member
        }
    }

    /// Marks the values of `member` that are kept in its row, or that there were more.
    pub(super) fn mark(&self, tally: &mut Tally, member: &Member, received: i32, second: u8) {
        if member.source == Valued::NONE && member.text == Valued::NONE {
            return;
        }
        let kept = self.kept.get(&(member.place, received));
        match self.sources.value_of(member.source) {
            Some(source) if kept.is_some_and(|kept| kept.sources.contains(source)) => tally.sources.add(source, second),
            None if member.source == Valued::NONE => {}
            _ => tally.sources.note_more(),
        }
        match self.texts.value_of(member.text) {
            Some(text) if kept.is_some_and(|kept| kept.texts.contains(text)) => tally.texts.add(text, second),
            None if member.text == Valued::NONE => {}
            _ => tally.texts.note_more(),
        }
    }
}

/// Adds `value` where there is room for it, and returns its number.
fn keep<T: DistinctKind + Hash>(
    value: Option<T>,
    kept: Option<&mut Distinct<T>>,
    table: &mut Table<T>,
    is_full: bool,
    added: &mut usize,
) -> Valued {
    let Some(value) = value else {
        return Valued::NONE;
    };
    let is_kept = match kept {
        Some(kept) if kept.contains(value) => true,
        Some(kept) if !is_full => {
            let is_kept = kept.add(value);
            *added += usize::from(is_kept);
            is_kept
        }
        _ => false,
    };
    if is_kept { table.number_of(value) } else { Valued::CUT }
}
