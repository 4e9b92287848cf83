//! Parses filters in the Logging query language and evaluates them on entries in their JSON form, as far as Stakeout sends
//! them. <https://cloud.google.com/logging/docs/view/logging-query-language>
//!
//! `NOT` binds closest, then `OR`, then `AND`. Where the documentation leaves open whether an entry fits, it fits neither the
//! filter nor its negation: a client that relies on a guess loses entries here and not in the cloud. Undocumented are a `*`
//! inside of a text, the case of letters outside of ASCII, `=` on an object, and a regular expression on anything but text.
//! Field names must be in camelCase and in their exact case.
//!
//! The fake knows `=` and `=~` on texts and in payloads, `>=` and `<` on times, `:*`, `ip_in_net` and `log_id`. It refuses all
//! else, also what the cloud would take.

mod parse;
mod schema;
#[cfg(test)]
mod tests;

use std::fmt;

use jiff::Timestamp;
use regex::Regex;
use serde_json::Value;

use crate::network::Network;

pub(crate) use schema::{FieldKind, LOG_ENTRY, severity, timestamp};

/// The longest filter that `entries.list` takes.
pub const FILTER_CHARS_MAX: usize = 20_000;

/// A parsed filter.
#[derive(Clone, Debug)]
pub struct LoggingFilter(Expression);

/// Why a filter is refused; the cloud's word for each is `INVALID_ARGUMENT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FilterError {
    /// The cloud would refuse it too.
    Malformed {
        /// Byte at which the parser stopped.
        at: usize,
        /// What it expected there.
        wanted: String,
    },
    /// A field that `LogEntry` does not define.
    Undefined {
        /// The field as it was written.
        field: String,
    },
    /// The cloud accepts it, or does not document it; this fake does not support it.
    Unsupported(&'static str),
}

/// Whether something holds; `None` where the documentation is silent.
type Truth = Option<bool>;

#[derive(Clone, Debug)]
enum Expression {
    All(Vec<Expression>),
    Any(Vec<Expression>),
    Not(Box<Expression>),
    Test(Field, Check),
}

/// A path into an entry, and what the API defines there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Field {
    path: Vec<String>,
    kind: FieldKind,
}

/// A test of one value. As documented, the right-hand side of `=` is converted to the type of the value, so `403` equals
/// `"403"`; a value that cannot be converted is neither equal nor unequal.
#[derive(Clone, Debug)]
enum Check {
    Present,
    Equal(String),
    Matches(Regex),
    AtLeast(Timestamp),
    Before(Timestamp),
    IpInNet(Network),
    /// The name of a log with this id, in any resource.
    OfLog(String),
}

impl LoggingFilter {
    /// Parses a filter; an empty one fits every entry.
    pub fn parse(filter: &str) -> Result<Self, FilterError> {
        parse::filter(filter).map(Self)
    }

    /// Returns whether a `LogEntry` in its JSON form fits.
    pub fn fits(&self, entry: &Value) -> bool {
        self.0.holds(entry) == Some(true)
    }
}

impl Expression {
    fn holds(&self, entry: &Value) -> Truth {
        match self {
            Self::All(parts) => all(parts.iter().map(|part| part.holds(entry))),
            Self::Any(parts) => any(parts.iter().map(|part| part.holds(entry))),
            Self::Not(inner) => inner.holds(entry).map(|holds| !holds),
            Self::Test(field, check) => field.meets(entry, check),
        }
    }
}

impl Field {
    /// All values at the path: of an array, the values in each of its items.
    fn select<'v>(&self, entry: &'v Value) -> Vec<&'v Value> {
        self.path.iter().fold(items(entry), |values, name| {
            values.into_iter().filter_map(|value| value.get(name)).flat_map(items).collect()
        })
    }

    fn meets(&self, entry: &Value, check: &Check) -> Truth {
        let found = self.select(entry);
        match check {
            // A missing text of LogEntry compares like the empty one, and is not present; in payloads and labels, a missing
            // value fits nothing.
            Check::Present => any(found.into_iter().map(|value| is_present(value, self.kind))),
            check if found.is_empty() && self.kind == FieldKind::Text => check.holds(&Value::from("")),
            check => any(found.into_iter().map(|value| check.holds(value))),
        }
    }
}

impl Check {
    fn holds(&self, value: &Value) -> Truth {
        match self {
            Self::Present => Some(true),
            Self::Equal(text) => equals(text, value),
            Self::Matches(regex) => value.as_str().map(|text| regex.is_match(text)),
            Self::AtLeast(bound) => timestamp(value.as_str()?).map(|time| time >= *bound),
            Self::Before(bound) => timestamp(value.as_str()?).map(|time| time < *bound),
            Self::IpInNet(network) => network.contains(value.as_str()?),
            Self::OfLog(id) => {
                let (_, encoded) = value.as_str()?.split_once("/logs/")?;
                Some(encoded.replace("%2F", "/") == *id)
            }
        }
    }
}

/// Texts are equal except for case. The result is undocumented outside of ASCII, and if `*` could be a wildcard.
fn equals(text: &str, value: &Value) -> Truth {
    match value {
        Value::Null => Some(false),
        Value::String(found) if text.eq_ignore_ascii_case(found) => Some(true),
        Value::String(found) if text.contains('*') || text.to_lowercase() == found.to_lowercase() => None,
        Value::String(_) => Some(false),
        Value::Number(found) => Some(found.as_f64()? == text.parse::<i32>().map(f64::from).ok()?),
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn items(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        one => vec![one],
    }
}

/// A text of `LogEntry` is present if it is not empty; null and an empty object are undocumented.
fn is_present(value: &Value, kind: FieldKind) -> Truth {
    match value {
        Value::Null => None,
        Value::Object(members) if members.is_empty() => None,
        value => Some(kind != FieldKind::Text || value != ""),
    }
}

fn all(parts: impl Iterator<Item = Truth>) -> Truth {
    let mut all = Some(true);
    for part in parts {
        match part {
            Some(true) => {}
            None => all = None,
            Some(false) => return Some(false),
        }
    }
    all
}

fn any(parts: impl Iterator<Item = Truth>) -> Truth {
    all(parts.map(|part| part.map(|holds| !holds))).map(|holds| !holds)
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { at, wanted } => write!(f, "expected {wanted} at byte {at}"),
            Self::Undefined { field } => write!(f, "LogEntry has no field {field}"),
            Self::Unsupported(what) => write!(f, "{what} not supported by the fake"),
        }
    }
}

impl std::error::Error for FilterError {}
