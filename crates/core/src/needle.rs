//! What to look for in a text before it is parsed: byte strings of which one stands in every record that some rule could
//! match. A record without them can be passed over unread.
//!
//! A needle is a value (`403`, `system:anonymous`) and never a key with it: white space, the order of keys and how they
//! are spelled are the parser's business. JSON may spell any letter as an escape. The API server writes none for the
//! letters that needles are made of, so whatever has one is looked at as well.

mod candidate;
mod choice;

use crate::prefilter::Prefilter;

use candidate::Probes;

pub use candidate::Candidate;

/// How audit events lie in the text that is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spelling {
    /// As the API server writes them.
    Native,
    /// Inside of texts of another JSON document, so that a quote may be spelled in several ways.
    Wrapped,
}

/// Byte strings of which one stands in every record that can match.
#[derive(Clone, Debug)]
pub struct Needles {
    /// Those that stand wherever their letters do, ascending, none of which begins with another: there may be thousands.
    parts: Vec<String>,
    others: Vec<Needle>,
    spelling: Spelling,
    probes: Probes,
}

/// One value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Needle {
    kind: Kind,
    /// The value; in lower case, where case does not count.
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// A whole number. A record may spell it with zeros around it, or as a text.
    Number,
    /// A whole text.
    Text,
    /// A part of a text.
    Part,
    /// A part of a text whose case does not count.
    Blind,
}

impl Needles {
    /// Returns the needles of which every record holds one whose event fits `prefilter`, or `None` where any record can
    /// fit.
    #[must_use]
    pub fn of(prefilter: &Prefilter, spelling: Spelling) -> Option<Needles> {
        let needles = choice::needles(prefilter)?;
        let probes = Probes::of(&needles, spelling)?;
        let (parts, others): (Vec<Needle>, Vec<Needle>) =
            needles.into_iter().partition(|needle| needle.kind == Kind::Part);
        let mut parts: Vec<String> = parts.into_iter().map(|needle| needle.text).collect();
        parts.sort_unstable();
        parts.dedup_by(|next, last| next.starts_with(last.as_str()));
        Some(Needles { parts, others, spelling, probes })
    }

    /// Returns where in `text`, at `from` or behind it, the next needle stands, or what may be one. `ahead` is what is
    /// known of the same text from the last time; `from` never goes back.
    #[must_use]
    pub fn find(&self, text: &[u8], from: usize, ahead: &mut Candidate) -> Option<usize> {
        self.probes.find(text, from, ahead, |at| self.stands_at(text, at))
    }

    /// Tells whether a needle stands anywhere in `text`, or what may be one.
    #[must_use]
    pub fn stand_in(&self, text: &[u8]) -> bool {
        self.find(text, 0, &mut Candidate::default()).is_some()
    }

    /// Tells whether a needle stands at `at`, or an escape that may spell a part of one.
    fn stands_at(&self, text: &[u8], at: usize) -> bool {
        match text[at] {
            b'\\' => candidate::is_escape(&text[at..]),
            // What is not ASCII begins a letter that may stand for another one.
            byte => {
                !byte.is_ascii()
                    || self.is_part_at(text, at)
                    || self.others.iter().any(|needle| needle.is_around(text, at, self.spelling))
            }
        }
    }

    /// Tells whether one of the parts stands at `at`: of all that are not above the text there, only the last can.
    fn is_part_at(&self, text: &[u8], at: usize) -> bool {
        let below = self.parts.partition_point(|part| part.as_bytes() <= &text[at..]);
        self.parts[..below].last().is_some_and(|part| text[at..].starts_with(part.as_bytes()))
    }
}

impl Needle {
    /// Tells whether the needle stands at `at`, and where that can be told, that it is the whole value.
    fn is_around(&self, text: &[u8], at: usize, spelling: Spelling) -> bool {
        let Some(found) = text.get(at..at + self.text.len()) else {
            return false;
        };
        let is_same = match self.kind {
            Kind::Blind => found.eq_ignore_ascii_case(self.text.as_bytes()),
            Kind::Number | Kind::Text | Kind::Part => found == self.text.as_bytes(),
        };
        let before = at.checked_sub(1).map_or(b' ', |before| text[before]);
        let behind = text.get(at + self.text.len()).copied().unwrap_or(b' ');
        is_same
            && match (self.kind, spelling) {
                // Parts are looked up: see `is_part_at`.
                (Kind::Part | Kind::Blind, _) | (Kind::Text, Spelling::Wrapped) => true,
                (Kind::Number, Spelling::Wrapped) => !behind.is_ascii_digit(),
                (Kind::Text, Spelling::Native) => before == b'"' && behind == b'"',
                (Kind::Number, Spelling::Native) => begins_number(before) && ends_number(behind),
            }
    }
}

/// Tells whether a number can begin behind such a byte; as a text it may have zeros in front.
fn begins_number(before: u8) -> bool {
    matches!(before, b'"' | b':' | b',' | b'[' | b'0') || before.is_ascii_whitespace()
}

/// Tells whether a number can end before such a byte, or nothing but zeros follow.
fn ends_number(behind: u8) -> bool {
    matches!(behind, b'"' | b',' | b'.' | b']' | b'}') || behind.is_ascii_whitespace()
}

#[cfg(test)]
mod tests;
