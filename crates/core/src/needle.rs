//! Needles: byte strings to search for before a text is parsed. Every record that a rule could match contains at least one,
//! so a record without a needle is skipped unread.
//!
//! A needle is a value (`403`, `system:anonymous`) without its key: white space, the order of keys and their spelling are
//! left to the parser. One key is a needle too, where it is known how keys are spelled: see `choice`. JSON may write any
//! letter as an escape. The API server never escapes the letters of needles, so a record with such an escape is not skipped.

mod candidate;
mod choice;

use crate::prefilter::Prefilter;

use candidate::Candidates;

pub use candidate::NextCandidates;

/// How the searched text contains audit events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spelling {
    /// As the API server writes them.
    Native,
    /// Inside texts of another JSON document, where a quote has several spellings.
    Wrapped,
}

/// Byte strings, at least one of which is in every record that a rule can match.
#[derive(Clone, Debug)]
pub struct Needles {
    /// Parts of texts, in ascending order. No part begins with another. There may be thousands.
    parts: Vec<String>,
    others: Vec<Needle>,
    spelling: Spelling,
    candidates: Candidates,
}

/// A value to search for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Needle {
    kind: NeedleKind,
    /// The value; in lower case, if case does not count.
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum NeedleKind {
    /// A whole number. A record may pad it with zeros, or write it as a text.
    Number,
    /// A whole text.
    Text,
    /// A part of a text.
    Part,
    /// A part of a text; its case does not count.
    CaseInsensitive,
}

impl Needles {
    /// Returns needles such that every record that `prefilter` matches contains one; `None` if any record may match.
    #[must_use]
    pub fn of(prefilter: &Prefilter, spelling: Spelling) -> Option<Needles> {
        let needles = choice::needles(prefilter, spelling)?;
        let candidates = Candidates::of(&needles, spelling)?;
        let (parts, others): (Vec<Needle>, Vec<Needle>) =
            needles.into_iter().partition(|needle| needle.kind == NeedleKind::Part);
        let mut parts: Vec<String> = parts.into_iter().map(|needle| needle.text).collect();
        parts.sort_unstable();
        parts.dedup_by(|next, last| next.starts_with(last.as_str()));
        Some(Needles { parts, others, spelling, candidates })
    }

    /// Returns the position of the next needle, or of what may be one, in `text` at `from` or after it. `next` keeps the
    /// results of earlier calls for the same text, in which `from` must not decrease.
    #[must_use]
    pub fn find(&self, text: &[u8], from: usize, next: &mut NextCandidates) -> Option<usize> {
        self.candidates.find(text, from, next, |at| self.matches_at(text, at))
    }

    /// Returns whether a needle, or what may be one, is anywhere in `text`.
    #[must_use]
    pub fn occur_in(&self, text: &[u8]) -> bool {
        self.find(text, 0, &mut NextCandidates::default()).is_some()
    }

    /// Returns whether a needle is at `at`, or an escape that may be a part of one.
    fn matches_at(&self, text: &[u8], at: usize) -> bool {
        match text[at] {
            b'\\' => candidate::is_escape(&text[at..]),
            // A letter beyond ASCII may equal another one when case does not count.
            byte => {
                !byte.is_ascii()
                    || self.is_part_at(text, at)
                    || self.others.iter().any(|needle| needle.matches_at(text, at, self.spelling))
            }
        }
    }

    /// Returns whether one of the parts is at `at`. Only the last part that does not sort above the text there can be.
    fn is_part_at(&self, text: &[u8], at: usize) -> bool {
        let below = self.parts.partition_point(|part| part.as_bytes() <= &text[at..]);
        self.parts[..below].last().is_some_and(|part| text[at..].starts_with(part.as_bytes()))
    }
}

impl Needle {
    /// Returns whether the needle is at `at` and, as far as the text around it shows, is the whole value.
    fn matches_at(&self, text: &[u8], at: usize, spelling: Spelling) -> bool {
        let Some(found) = text.get(at..at + self.text.len()) else {
            return false;
        };
        let is_same = match self.kind {
            NeedleKind::CaseInsensitive => found.eq_ignore_ascii_case(self.text.as_bytes()),
            NeedleKind::Number | NeedleKind::Text | NeedleKind::Part => found == self.text.as_bytes(),
        };
        let before = at.checked_sub(1).map_or(b' ', |before| text[before]);
        let after = text.get(at + self.text.len()).copied().unwrap_or(b' ');
        is_same
            && match (self.kind, spelling) {
                // Parts are kept apart: see `is_part_at`.
                (NeedleKind::Part | NeedleKind::CaseInsensitive, _) | (NeedleKind::Text, Spelling::Wrapped) => true,
                (NeedleKind::Number, Spelling::Wrapped) => !after.is_ascii_digit(),
                (NeedleKind::Text, Spelling::Native) => before == b'"' && after == b'"',
                (NeedleKind::Number, Spelling::Native) => begins_number(before) && ends_number(after),
            }
    }
}

/// Returns whether a number can begin after the byte `before`. In a text it may have leading zeros.
fn begins_number(before: u8) -> bool {
    matches!(before, b'"' | b':' | b',' | b'[' | b'0') || before.is_ascii_whitespace()
}

/// Returns whether a number can end before the byte `after`, except for zeros of a fraction.
fn ends_number(after: u8) -> bool {
    matches!(after, b'"' | b',' | b'.' | b']' | b'}') || after.is_ascii_whitespace()
}

#[cfg(test)]
mod tests;
