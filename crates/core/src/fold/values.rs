//! The distinct values of an open window: bounded for each group, so that a group with many takes none from the others,
//! and the same in whatever order requests come.
//!
//! Each group keeps the lowest values of every minute in which the API server received requests. Over the limit of all
//! groups no value is added: requests still count, and the rows say that there were more values.

use std::collections::HashMap;
use std::hash::Hash;

use super::Membership;
use super::hashed::ByNumber;
use crate::address::SourceIp;
use crate::distinct::{Distinct, DistinctKind};
use crate::hash::TextHash;
use crate::tally::Tally;

/// The value in a membership: none, the number of a kept value, or one over the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ValueNumber(u32);

impl ValueNumber {
    /// The rule does not count values of this kind.
    pub(super) const NONE: ValueNumber = ValueNumber(u32::MAX);
    /// The value is not kept.
    const CUT: ValueNumber = ValueNumber(u32::MAX - 1);

    /// Returns the index of a kept value.
    pub(super) fn index(self) -> Option<usize> {
        (self.0 < ValueNumber::CUT.0).then_some(self.0 as usize)
    }
}

/// The distinct values of an open window.
pub(super) struct WindowValues {
    /// By group and the minute in which the API server received the request.
    kept: ByNumber<(u32, i32), GroupValues>,
    sources: Interner<SourceIp>,
    texts: Interner<TextHash>,
    /// Values added so far, including those that lower ones replaced.
    added: usize,
    added_max: usize,
}

#[derive(Default)]
struct GroupValues {
    sources: Distinct<SourceIp>,
    texts: Distinct<TextHash>,
}

/// Numbers values in the order in which they come.
struct Interner<T> {
    numbers: HashMap<T, u32>,
    values: Vec<T>,
}

impl<T> Default for Interner<T> {
    fn default() -> Interner<T> {
        Interner { numbers: HashMap::new(), values: Vec::new() }
    }
}

impl<T: DistinctKind + Hash> Interner<T> {
    fn number_of(&mut self, value: T) -> ValueNumber {
        let next = u32::try_from(self.values.len()).expect("so many values do not fit into memory");
        let number = *self.numbers.entry(value).or_insert(next);
        if number == next {
            self.values.push(value);
        }
        ValueNumber(number)
    }

    fn value_of(&self, number: ValueNumber) -> Option<T> {
        self.values.get(number.index()?).copied()
    }
}

impl WindowValues {
    /// Returns an empty set that adds at most `added_max` values.
    pub(super) fn new(added_max: usize) -> WindowValues {
        WindowValues {
            kept: ByNumber::default(),
            sources: Interner::default(),
            texts: Interner::default(),
            added: 0,
            added_max,
        }
    }

    /// Adds the values of a request that counts for `group`, and returns the numbers of its source and its text.
    pub(super) fn add(
        &mut self,
        group: u32,
        source: Option<SourceIp>,
        text: Option<TextHash>,
        received: i32,
    ) -> (ValueNumber, ValueNumber) {
        if source.is_none() && text.is_none() {
            return (ValueNumber::NONE, ValueNumber::NONE);
        }
        let is_full = self.added >= self.added_max;
        let key = (group, received);
        let mut kept = if is_full { self.kept.get_mut(&key) } else { Some(self.kept.entry(key).or_default()) };
        let sources = kept.as_mut().map(|kept| &mut kept.sources);
        let source = keep(source, sources, &mut self.sources, is_full, &mut self.added);
        let texts = kept.as_mut().map(|kept| &mut kept.texts);
        (source, keep(text, texts, &mut self.texts, is_full, &mut self.added))
    }

    /// Adds the values of `other`. Group `n` of `other` is group `groups[n]` here.
    pub(super) fn join(&mut self, other: WindowValues, groups: &[u32]) {
        self.added += other.added;
        for ((group, received), more) in other.kept {
            let kept = self.kept.entry((groups[group as usize], received)).or_default();
            kept.sources.join(&more.sources);
            kept.texts.join(&more.texts);
        }
    }

    /// Returns a membership of `other` with the numbers that its group and its values have here.
    pub(super) fn translate(&mut self, membership: &Membership, other: &WindowValues, groups: &[u32]) -> Membership {
        let source = other.sources.value_of(membership.source).map(|source| self.sources.number_of(source));
        let text = other.texts.value_of(membership.text).map(|text| self.texts.number_of(text));
        Membership {
            group: groups[membership.group as usize],
            source: source.unwrap_or(membership.source),
            text: text.unwrap_or(membership.text),
            ..*membership
        }
    }

    /// Adds the kept values of `membership` to its row, or the flag that there were more.
    pub(super) fn add_to_row(&self, tally: &mut Tally, membership: &Membership, received: i32, second: u8) {
        if membership.source == ValueNumber::NONE && membership.text == ValueNumber::NONE {
            return;
        }
        let kept = self.kept.get(&(membership.group, received));
        match self.sources.value_of(membership.source) {
            Some(source) if kept.is_some_and(|kept| kept.sources.contains(source)) => tally.sources.add(source, second),
            None if membership.source == ValueNumber::NONE => {}
            _ => tally.sources.note_more(),
        }
        match self.texts.value_of(membership.text) {
            Some(text) if kept.is_some_and(|kept| kept.texts.contains(text)) => tally.texts.add(text, second),
            None if membership.text == ValueNumber::NONE => {}
            _ => tally.texts.note_more(),
        }
    }
}

/// Adds `value` unless it is over a limit, and returns its number.
fn keep<T: DistinctKind + Hash>(
    value: Option<T>,
    kept: Option<&mut Distinct<T>>,
    table: &mut Interner<T>,
    is_full: bool,
    added: &mut usize,
) -> ValueNumber {
    let Some(value) = value else {
        return ValueNumber::NONE;
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
    if is_kept { table.number_of(value) } else { ValueNumber::CUT }
}
