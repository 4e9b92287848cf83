//! Comparisons of one value. As documented, the right-hand side is converted to the type of the field, so `403` equals
//! `"403"`; a value that cannot be converted is neither equal nor unequal.

use jiff::Timestamp;
use regex::Regex;
use serde_json::Value;

use super::schema::{severity, timestamp};
use super::{Truth, any};
use crate::expression::Comparison;

/// The right-hand side of a comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Literal {
    /// The word `NULL_VALUE`.
    Null,
    Text(String),
}

/// A comparison with its right-hand side, converted to the kind of its field.
#[derive(Clone, Debug)]
pub(super) enum Check {
    Present,
    Equal(Literal),
    NotEqual(Literal),
    Compare(Comparison, f64),
    /// A comparison with something that is not a number, whose result is undocumented.
    CompareUndocumented,
    Has(Literal),
    Matches(Regex),
    MatchesNot(Regex),
    Time(Comparison, Timestamp),
    Severity(Comparison, i64),
    /// A field that the API defines as a number, and may write as text.
    Number(Comparison, f64),
}

/// Compares two numbers; the result is undocumented for NaN.
fn compare(comparison: Comparison, number: f64, bound: f64) -> Truth {
    number.partial_cmp(&bound).map(|ordering| comparison.holds(ordering))
}

impl Check {
    /// Returns whether the check is negative; its result on an array is documented only if all items agree.
    pub(super) fn is_negative(&self) -> bool {
        matches!(self, Self::NotEqual(_) | Self::MatchesNot(_))
    }

    pub(super) fn holds(&self, value: &Value) -> Truth {
        match self {
            Self::Present => Some(true),
            Self::Equal(literal) => literal.equals(value),
            Self::NotEqual(literal) => literal.equals(value).map(|equals| !equals),
            Self::Compare(order, bound) => compare(*order, value.as_f64()?, *bound),
            Self::Number(order, bound) => {
                let number = value.as_str().map_or_else(|| value.as_f64(), number)?;
                compare(*order, number, *bound)
            }
            Self::CompareUndocumented => None,
            Self::Has(literal) => literal.is_contained_in(value),
            Self::Matches(regex) => value.as_str().map(|text| regex.is_match(text)),
            Self::MatchesNot(regex) => value.as_str().map(|text| !regex.is_match(text)),
            Self::Time(order, bound) => timestamp(value.as_str()?).map(|time| order.holds(time.cmp(bound))),
            Self::Severity(order, bound) => rank_of(value).map(|rank| order.holds(rank.cmp(bound))),
        }
    }
}

impl Literal {
    fn equals(&self, value: &Value) -> Truth {
        match (self, value) {
            (Self::Null, value) => Some(value.is_null()),
            (Self::Text(_), Value::Null) => Some(false),
            (Self::Text(text), Value::String(found)) => same(text, found),
            (Self::Text(text), Value::Number(found)) => Some(found.as_f64()? == number(text)?),
            (Self::Text(text), Value::Bool(found)) => flag(text).map(|flag| flag == *found),
            (Self::Text(_), Value::Array(_) | Value::Object(_)) => None,
        }
    }

    /// The `:` operator: a text contains its parts, an object or array what a value in it contains. Whether parts of a
    /// number or the name of a member count is undocumented.
    pub(super) fn is_contained_in(&self, value: &Value) -> Truth {
        let Self::Text(text) = self else {
            return None;
        };
        match value {
            Value::Null => Some(false),
            Value::String(found) => contains(found, text),
            Value::Number(found) if found.as_f64() == number(text) => Some(true),
            Value::Number(found) => false_unless(found.to_string().contains(text.as_str())),
            Value::Bool(found) if flag(text) == Some(*found) => Some(true),
            Value::Bool(found) => false_unless(contains(&found.to_string(), text) != Some(false)),
            Value::Array(items) => any(items.iter().map(|item| self.is_contained_in(item))),
            Value::Object(members) => any(members.iter().flat_map(|(name, member)| {
                [false_unless(contains(name, text) != Some(false)), self.is_contained_in(member)]
            })),
        }
    }
}

/// Returns false, or that the result is undocumented.
fn false_unless(is_undocumented: bool) -> Truth {
    if is_undocumented { None } else { Some(false) }
}

/// Returns whether texts are equal except for case. The result is undocumented outside of ASCII, and if `*` could be a
/// wildcard.
fn same(text: &str, found: &str) -> Truth {
    if text.eq_ignore_ascii_case(found) {
        return Some(true);
    }
    false_unless(text.contains('*') || text.to_lowercase() == found.to_lowercase())
}

fn contains(found: &str, text: &str) -> Truth {
    if found.to_ascii_lowercase().contains(&text.to_ascii_lowercase()) {
        return Some(true);
    }
    false_unless(text.contains('*') || found.to_lowercase().contains(&text.to_lowercase()))
}

/// Reads decimal and scientific notation; Rust's `inf` and `nan` are not numbers.
pub(super) fn number(text: &str) -> Option<f64> {
    let is_numeric = text.bytes().any(|byte| byte.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+' | b'e' | b'E'));
    if is_numeric { text.parse().ok() } else { None }
}

/// Reads `true` and `false` in any case.
pub(super) fn flag(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

fn rank_of(value: &Value) -> Option<i64> {
    match value {
        Value::String(name) => severity(name),
        value => value.as_i64(),
    }
}
