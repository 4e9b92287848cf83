//! What a field's value is compared with.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;

use ipnet::IpNet;
use regex::{Regex, RegexBuilder};
use serde::Serialize;

use super::glob::{Glob, lower};
use crate::address;
use crate::field::{Field, FieldValue};
use crate::observation::Observation;
use crate::prefilter::Literal;

/// Most memory that one regular expression may take once it is compiled, in bytes. Sigma's longest take a tenth.
const REGEX_BYTES_MAX: usize = 1 << 20;
/// Deepest nesting of groups in a regular expression.
const REGEX_DEPTH_MAX: u32 = 32;

/// One value of a selection. The fingerprint of a rule includes its serialized names, so they do not change.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum Pattern {
    /// `null`: the field is missing. The API server leaves empty texts out, so `''` says the same.
    Null,
    /// A number, such as `403`.
    Number(i64),
    /// `true` or `false`.
    #[serde(rename = "Fact")]
    Bool(bool),
    /// A text with wildcards.
    Text(Glob),
    /// `|re`: a regular expression that some part of the text fits.
    Regex(Regexp),
    /// `|cidr`: a network that contains the address.
    Network(IpNet),
    /// `|lt`, `|lte`, `|gt`, `|gte`: a number on one side of another.
    Compared(Comparison, i64),
    /// `|exists`: whether the field is there.
    Exists(bool),
    /// `|fieldref`: what another field holds.
    Other(FieldReference),
    /// A value that the field never has, such as a word for a number.
    Never,
}

/// How a number compares with another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum Comparison {
    /// Below it.
    Less,
    /// Below it, or it.
    LessOrEqual,
    /// Above it.
    Greater,
    /// Above it, or it.
    GreaterOrEqual,
}

/// A regular expression that is matched in time proportional to the text.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct Regexp {
    spelled: String,
    #[serde(skip)]
    compiled: Regex,
}

/// Another field of the same event, and how its value is found in this one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct FieldReference {
    /// The other field.
    #[serde(serialize_with = "super::detection::name_of")]
    pub field: Field,
    /// Where its value must be in the text.
    #[serde(rename = "place")]
    pub position: TextPosition,
    /// Whether case counts.
    pub cased: bool,
}

/// Where a text must be in another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum TextPosition {
    /// It is the whole of it.
    Whole,
    /// Anywhere.
    Anywhere,
    /// At its beginning.
    Start,
    /// At its end.
    End,
}

impl Pattern {
    /// Returns whether the value of a field of `observation`, sent by `client`, fits. Of a field with several values
    /// any one may fit.
    #[must_use]
    pub fn fits(&self, value: &FieldValue<'_>, observation: &Observation, client: Option<IpAddr>) -> bool {
        if *value == FieldValue::Missing {
            return self.fits_missing();
        }
        match self {
            Pattern::Null | Pattern::Never => false,
            Pattern::Exists(exists) => *exists,
            Pattern::Number(number) => value.any_number(|found, text| found == *number && is_plain(text)),
            Pattern::Compared(comparison, number) => value.any_number(|found, _| comparison.holds(found, *number)),
            Pattern::Bool(wanted) => value.any_bool(*wanted),
            Pattern::Text(glob) => value.any_text(|text| glob.fits(text)),
            Pattern::Regex(regex) => value.any_text(|text| regex.compiled.is_match(text)),
            Pattern::Network(net) => {
                value.any_text(|text| address::parse(text).is_some_and(|address| net.contains(&address)))
            }
            Pattern::Other(reference) => {
                let other = reference.field.value_of(observation, client);
                value.any_text(|text| other.any_text(|part| reference.fits(text, part)))
            }
        }
    }

    /// Returns the other field that it compares the value with, if there is one.
    pub(super) fn other_field(&self) -> Option<&Field> {
        match self {
            Pattern::Other(reference) => Some(&reference.field),
            _ => None,
        }
    }

    /// Returns whether a missing field fits.
    #[must_use]
    pub fn fits_missing(&self) -> bool {
        matches!(self, Pattern::Null | Pattern::Exists(false))
    }

    /// Returns whether nothing that `field` holds can fit: it holds a number or a boolean, and this is another text.
    pub(super) fn is_of_another_kind_than(&self, field: &Field) -> bool {
        match self {
            Pattern::Text(glob) if field.is_number() => !glob.may_be_digits(),
            Pattern::Bool(_) => field.is_number(),
            Pattern::Number(_) | Pattern::Compared(..) => field.is_bool(),
            Pattern::Text(glob) => field.is_bool() && !glob.fits("true") && !glob.fits("false"),
            _ => false,
        }
    }

    /// Returns the literal that the whole value must be, where there is one.
    #[must_use]
    pub fn literal(&self) -> Option<Literal> {
        match self {
            Pattern::Number(number) => Some(Literal::Number(*number)),
            Pattern::Text(glob) => {
                glob.whole().map(|text| Literal::Text { text: text.to_owned(), cased: glob.is_cased() })
            }
            _ => None,
        }
    }
}

/// Writes the pattern for people, such as `>= 500` or `"kubectl/*"`.
impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pattern::Null => f.write_str("missing"),
            Pattern::Number(number) => write!(f, "{number}"),
            Pattern::Bool(value) => write!(f, "{value}"),
            Pattern::Text(glob) if glob.is_cased() => write!(f, "\"{}\"", glob.spelled()),
            Pattern::Text(glob) => write!(f, "\"{}\" in any case", glob.spelled()),
            Pattern::Regex(regex) => write!(f, "/{}/", regex.spelled.trim_start_matches("(?)")),
            Pattern::Network(net) => write!(f, "in {net}"),
            Pattern::Compared(comparison, number) => write!(f, "{} {number}", comparison.sign()),
            Pattern::Exists(exists) => f.write_str(if *exists { "present" } else { "missing" }),
            Pattern::Other(other) => write!(f, "{} {}", other.position.words(), other.field),
            Pattern::Never => f.write_str("a value that it never has"),
        }
    }
}

impl Comparison {
    fn sign(self) -> &'static str {
        match self {
            Comparison::Less => "<",
            Comparison::LessOrEqual => "<=",
            Comparison::Greater => ">",
            Comparison::GreaterOrEqual => ">=",
        }
    }

    fn holds(self, found: i64, number: i64) -> bool {
        match self {
            Comparison::Less => found < number,
            Comparison::LessOrEqual => found <= number,
            Comparison::Greater => found > number,
            Comparison::GreaterOrEqual => found >= number,
        }
    }
}

impl Regexp {
    /// Compiles `pattern` with those of Sigma's `flags` (`i`, `m`, `s`) that are set, or says what is wrong with it and
    /// the fix.
    pub(super) fn new(pattern: &str, flags: &[&str]) -> Result<Regexp, (String, &'static str)> {
        let compiled = RegexBuilder::new(pattern)
            .case_insensitive(flags.contains(&"i"))
            .multi_line(flags.contains(&"m"))
            .dot_matches_new_line(flags.contains(&"s"))
            .size_limit(REGEX_BYTES_MAX)
            .dfa_size_limit(REGEX_BYTES_MAX)
            .nest_limit(REGEX_DEPTH_MAX)
            .build();
        let compiled = compiled.map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => (
                "the regular expression is too large".to_owned(),
                "use smaller repetitions: `{1000}` copies its content",
            ),
            error => (
                format!("invalid regular expression: {}", last_line(&error.to_string())),
                "write it without lookaheads, lookbehinds and backreferences: matching takes linear time",
            ),
        })?;
        Ok(Regexp { spelled: format!("(?{}){pattern}", flags.concat()), compiled })
    }
}

/// Returns the last line of the library's message.
fn last_line(text: &str) -> String {
    text.lines().last().unwrap_or(text).trim_start_matches("error: ").to_owned()
}

impl PartialEq for Regexp {
    fn eq(&self, other: &Regexp) -> bool {
        self.spelled == other.spelled
    }
}

impl Eq for Regexp {}

impl Hash for Regexp {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.spelled.hash(state);
    }
}

impl FieldReference {
    fn fits(&self, text: &str, part: &str) -> bool {
        if self.cased {
            return self.position.holds(text, part);
        }
        match self.position {
            TextPosition::Whole => lower(text).eq(lower(part)),
            position => position.holds(&text.to_lowercase(), &part.to_lowercase()),
        }
    }
}

impl TextPosition {
    fn words(self) -> &'static str {
        match self {
            TextPosition::Whole => "the same as",
            TextPosition::Anywhere => "containing",
            TextPosition::Start => "beginning with",
            TextPosition::End => "ending with",
        }
    }

    fn holds(self, text: &str, part: &str) -> bool {
        match self {
            TextPosition::Whole => text == part,
            TextPosition::Anywhere => text.contains(part),
            TextPosition::Start => text.starts_with(part),
            TextPosition::End => text.ends_with(part),
        }
    }
}

impl FieldValue<'_> {
    fn any_text(&self, mut fits: impl FnMut(&str) -> bool) -> bool {
        match self {
            FieldValue::Missing => false,
            FieldValue::Text(text) => fits(text),
            FieldValue::Owned(text) => fits(text),
            FieldValue::Texts(texts) => texts.iter().any(|text| fits(text)),
            FieldValue::Number(number) => fits(&number.to_string()),
            FieldValue::Bool(value) => fits(spelled(*value)),
        }
    }

    /// Returns whether `fits` holds for a number here, with its spelling where it is a text.
    fn any_number(&self, fits: impl Fn(i64, &str) -> bool) -> bool {
        match self {
            FieldValue::Number(number) => fits(*number, ""),
            value => value.any_text(|text| text.parse().is_ok_and(|number| fits(number, text))),
        }
    }

    fn any_bool(&self, wanted: bool) -> bool {
        match self {
            FieldValue::Bool(found) => *found == wanted,
            value => value.any_text(|text| text.eq_ignore_ascii_case(spelled(wanted))),
        }
    }
}

/// Returns whether a number is spelled without a sign or zeros in front. A provider's filter compares the spelling, so
/// `0403` must not equal 403 here either.
fn is_plain(number: &str) -> bool {
    let digits = number.strip_prefix('-').unwrap_or(number);
    digits.len() < 2 && number != "-0" || !digits.starts_with(['0', '+'])
}

fn spelled(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}
