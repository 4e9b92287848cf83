//! What a provider may leave out: a filter that every request fits which some rule could match.
//!
//! It is always a superset. What cannot be said to a provider is `Any`, and every record that comes back is
//! matched again here.

use crate::address::SourceIp;
use crate::field::Field;

/// A filter over audit events, to be written in a provider's own language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prefilter {
    /// Every event fits.
    Any,
    /// At least one of these fits; an empty list fits nothing.
    Or(Vec<Prefilter>),
    /// Each of these fits; an empty list fits everything.
    And(Vec<Prefilter>),
    /// The field's value fits.
    Is {
        /// The field.
        field: Field,
        /// What its value must be.
        literal: Literal,
    },
}

/// What a field is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Literal {
    /// A number. The field may hold it as a number or as text.
    Number(i64),
    /// A text, compared letter by letter where `cased`, else without regard to case.
    Text {
        /// The whole text.
        text: String,
        /// Whether case counts.
        cased: bool,
    },
}

impl Prefilter {
    /// Returns the filter of requests that may be counted for `source`: some entry of `sourceIPs` is its address. Of an
    /// IPv6 source every address counts that shares the first 64 bits, which no comparison of texts says.
    #[must_use]
    pub fn from_source(source: SourceIp) -> Prefilter {
        match source {
            SourceIp::V4(address) => Prefilter::Is {
                field: Field::Named("sourceIPs"),
                literal: Literal::Text { text: address.to_string(), cased: true },
            },
            SourceIp::V6Net(_) => Prefilter::Any,
        }
    }

    /// Returns `self` with nested lists joined and everything that `Any` makes pointless left out.
    #[must_use]
    pub fn simplified(self) -> Prefilter {
        match self {
            Prefilter::Or(parts) => {
                let mut flat = Vec::new();
                for part in parts {
                    match part.simplified() {
                        Prefilter::Any => return Prefilter::Any,
                        Prefilter::Or(inner) => flat.extend(inner),
                        other => flat.push(other),
                    }
                }
                dedup(&mut flat);
                if flat.len() == 1 { flat.remove(0) } else { Prefilter::Or(flat) }
            }
            Prefilter::And(parts) => {
                let mut flat = Vec::new();
                for part in parts {
                    match part.simplified() {
                        Prefilter::Any => {}
                        Prefilter::And(inner) => flat.extend(inner),
                        other => flat.push(other),
                    }
                }
                dedup(&mut flat);
                if flat.iter().any(Prefilter::is_nothing) {
                    return Prefilter::Or(Vec::new());
                }
                match flat.len() {
                    0 => Prefilter::Any,
                    1 => flat.remove(0),
                    _ => Prefilter::And(flat),
                }
            }
            leaf => leaf,
        }
    }

    /// Tells whether nothing fits: a line of each alternative is over a field that no event has.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        matches!(self, Prefilter::Or(parts) if parts.is_empty())
    }
}

fn dedup(parts: &mut Vec<Prefilter>) {
    let mut unique: Vec<Prefilter> = Vec::with_capacity(parts.len());
    for part in parts.drain(..) {
        if !unique.contains(&part) {
            unique.push(part);
        }
    }
    *parts = unique;
}
