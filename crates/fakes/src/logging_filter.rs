//! Parses filters in the Logging query language and evaluates them on entries in their JSON form.
//! <https://cloud.google.com/logging/docs/view/logging-query-language>
//!
//! `NOT` binds closest, then `OR`, then `AND`, which may be omitted between comparisons. Where the documentation leaves
//! open whether an entry fits, it fits neither the filter nor its negation: a client that relies on a guess loses
//! entries here and not in the cloud. Undocumented are the order of texts, a `*` inside of a text, the case of letters
//! outside of ASCII, `=` on an object, `!=` on an array with different items, and a regular expression on anything but
//! text. Field names must be in camelCase and in their exact case.
//!
//! The fake refuses functions other than `log_id`, `sample` and `ip_in_net`, and also `cast`, durations, deprecated
//! fields and everything that is not part of the language.

mod check;
mod function;
mod parse;
mod schema;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use check::{Check, Literal};
use function::Function;

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
    /// A global restriction: a text in any field.
    Anywhere(Literal),
    Test(Arc<Field>, Check),
    Call(Function),
}

/// A path into an entry, and what the API defines there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Field {
    path: Vec<String>,
    kind: FieldKind,
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
            Self::Anywhere(literal) => literal.is_contained_in(entry),
            Self::Test(field, check) => field.meets(entry, check),
            Self::Call(function) => function.holds(entry),
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
        match (check, found.is_empty(), self.kind.default_value()) {
            // A missing field of LogEntry compares like its default; in payloads and labels, a missing value fits
            // nothing.
            (Check::Present, true, _) | (_, true, None) => Some(false),
            (check, true, Some(default)) => check.holds(&default),
            (Check::Present, false, default) => any(found.into_iter().map(|value| is_present(value, default.as_ref()))),
            (check, false, _) if check.is_negative() => unanimous(found.into_iter().map(|value| check.holds(value))),
            (check, false, _) => any(found.into_iter().map(|value| check.holds(value))),
        }
    }
}

fn items(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        one => vec![one],
    }
}

/// A field of `LogEntry` is present if it differs from its default; null and an empty object are undocumented.
fn is_present(value: &Value, default: Option<&Value>) -> Truth {
    match value {
        Value::Null => None,
        Value::Object(members) if members.is_empty() => None,
        value => Some(Some(value) != default),
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

/// Returns the common result of all parts.
fn unanimous(mut parts: impl Iterator<Item = Truth>) -> Truth {
    let first = parts.next()??;
    parts.all(|part| part == Some(first)).then_some(first)
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
