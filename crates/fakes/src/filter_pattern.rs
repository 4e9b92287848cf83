//! Parses and evaluates filter patterns of CloudWatch Logs: patterns on JSON, and a single quoted phrase.
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html>
//!
//! Where the documentation leaves a question open, an event does *not* fit: a client that relies on a guess loses
//! events here and not in the cloud. Literals never change type (`403` is not `"403"`). An absent or null property fits
//! no comparison, not even `!=`. A regular expression fits text only. The fake refuses several terms, terms without
//! quotes, `?` and `-` terms, space-delimited patterns, and a regular expression as a whole pattern.

mod parse;
#[cfg(test)]
mod tests;

use std::fmt;

use regex::Regex;
use serde_json::Value;

use crate::expression::Comparison;

/// The longest pattern that FilterLogEvents takes.
pub const PATTERN_CHARS_MAX: usize = 1024;

/// A parsed filter pattern.
#[derive(Clone, Debug, PartialEq)]
pub struct FilterPattern(PatternKind);

#[derive(Clone, Debug, PartialEq)]
enum PatternKind {
    /// The empty pattern.
    Everything,
    /// A quoted phrase, which is searched in the text of the message, JSON or not.
    Phrase(String),
    /// A comparison of a JSON event's properties.
    Json(Expression),
}

/// Why a pattern is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PatternError {
    /// The cloud would refuse it too.
    Malformed {
        /// Byte at which the parser stopped.
        at: usize,
        /// What it expected there.
        wanted: String,
    },
    /// The cloud accepts it; this fake does not support it.
    Unsupported(&'static str),
}

#[derive(Clone, Debug, PartialEq)]
enum Expression {
    Any(Vec<Expression>),
    All(Vec<Expression>),
    Test(Selector, Check),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Selector(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Member(String),
    AnyMember,
    Item(usize),
    AnyItem,
}

#[derive(Clone, Debug, PartialEq)]
enum Check {
    Compare(Comparison, Literal),
    IsNull,
    IsTrue,
    IsFalse,
    Exists,
    NotExists,
}

/// A literal; `source` is the text of a number in the pattern.
#[derive(Clone, Debug, PartialEq)]
enum Literal {
    Number {
        value: f64,
        source: String,
    },
    Text {
        text: String,
        quoted: bool,
    },
    /// A regular expression between percent signs, which fits any part of a text.
    Expression(SearchExpression),
}

#[derive(Clone, Debug)]
struct SearchExpression(Regex);

impl PartialEq for SearchExpression {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl FilterPattern {
    /// Parses a pattern; an empty one fits every event.
    pub fn parse(pattern: &str) -> Result<Self, PatternError> {
        parse::pattern(pattern).map(Self)
    }

    /// Returns whether a message fits. Text that is not a JSON object fits no JSON pattern, so only a phrase finds an
    /// event that was truncated on its way into the log. Case matters.
    pub fn fits(&self, message: &str) -> bool {
        match &self.0 {
            PatternKind::Everything => true,
            PatternKind::Phrase(phrase) => message.contains(phrase.as_str()),
            PatternKind::Json(expression) => match serde_json::from_str(message) {
                Ok(event @ Value::Object(_)) => expression.fits(&event),
                _ => false,
            },
        }
    }
}

impl Expression {
    fn fits(&self, event: &Value) -> bool {
        match self {
            Self::Any(parts) => parts.iter().any(|part| part.fits(event)),
            Self::All(parts) => parts.iter().all(|part| part.fits(event)),
            Self::Test(selector, Check::NotExists) => selector.select(event).is_empty(),
            Self::Test(selector, check) => selector.select(event).into_iter().any(|value| check.fits(value)),
        }
    }
}

impl Selector {
    /// Returns all values at the path: at most one, unless the path has a wildcard.
    fn select<'v>(&self, event: &'v Value) -> Vec<&'v Value> {
        self.0
            .iter()
            .fold(vec![event], |values, step| values.into_iter().flat_map(|value| step.select(value)).collect())
    }

    fn has_wildcard(&self) -> bool {
        self.wildcards() > 0
    }

    fn wildcards(&self) -> usize {
        self.0.iter().filter(|step| matches!(step, Step::AnyMember | Step::AnyItem)).count()
    }
}

impl Step {
    fn select<'v>(&self, value: &'v Value) -> Vec<&'v Value> {
        match (self, value) {
            (Self::Member(name), Value::Object(members)) => members.get(name).into_iter().collect(),
            (Self::AnyMember, Value::Object(members)) => members.values().collect(),
            (Self::Item(index), Value::Array(items)) => items.get(*index).into_iter().collect(),
            (Self::AnyItem, Value::Array(items)) => items.iter().collect(),
            _ => Vec::new(),
        }
    }
}

impl Check {
    fn fits(&self, value: &Value) -> bool {
        match self {
            Self::Compare(comparison, literal) => literal.compares(*comparison, value),
            Self::IsNull => value.is_null(),
            Self::IsTrue => *value == Value::Bool(true),
            Self::IsFalse => *value == Value::Bool(false),
            Self::Exists => true,
            Self::NotExists => false,
        }
    }
}

impl Literal {
    fn compares(&self, comparison: Comparison, value: &Value) -> bool {
        if !matches!(value, Value::String(_) | Value::Number(_) | Value::Bool(_)) {
            return false;
        }
        match (comparison, self) {
            (Comparison::Equal, _) => self.equals(value),
            // Whether what is not a text differs from a regular expression is undocumented.
            (Comparison::NotEqual, Self::Expression(_)) => value.is_string() && !self.equals(value),
            (Comparison::NotEqual, _) => !self.equals(value),
            (_, Self::Text { .. } | Self::Expression(_)) => false,
            (order, Self::Number { value: bound, .. }) => {
                let ordering = value.as_f64().and_then(|number| number.partial_cmp(bound));
                ordering.is_some_and(|ordering| order.holds(ordering))
            }
        }
    }

    fn equals(&self, value: &Value) -> bool {
        match self {
            Self::Number { value: number, .. } => value.as_f64() == Some(*number),
            Self::Text { text, .. } => value.as_str().is_some_and(|found| wildcard_fits(text, found)),
            Self::Expression(expression) => value.as_str().is_some_and(|found| expression.0.is_match(found)),
        }
    }
}

/// Matches `*` with any characters, without backtracking behind the last `*`.
fn wildcard_fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

impl fmt::Display for FilterPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            PatternKind::Everything => Ok(()),
            PatternKind::Phrase(phrase) => f.write_str(&quoted(phrase)),
            PatternKind::Json(expression) => write!(f, "{{ {expression} }}"),
        }
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (parts, between) = match self {
            Self::Any(parts) => (parts, " || "),
            Self::All(parts) => (parts, " && "),
            Self::Test(selector, check) => return write!(f, "{selector} {check}"),
        };
        for (index, part) in parts.iter().enumerate() {
            write!(f, "{}({part})", if index == 0 { "" } else { between })?;
        }
        Ok(())
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("$")?;
        self.0.iter().try_for_each(|step| match step {
            Step::Member(name) => write!(f, ".{name}"),
            Step::AnyMember => f.write_str(".*"),
            Step::Item(index) => write!(f, "[{index}]"),
            Step::AnyItem => f.write_str("[*]"),
        })
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compare(comparison, literal) => write!(f, "{} {literal}", sign(*comparison)),
            Self::IsNull => f.write_str("IS NULL"),
            Self::IsTrue => f.write_str("IS TRUE"),
            Self::IsFalse => f.write_str("IS FALSE"),
            Self::Exists => f.write_str("EXISTS"),
            Self::NotExists => f.write_str("NOT EXISTS"),
        }
    }
}

fn sign(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Equal => "=",
        Comparison::NotEqual => "!=",
        Comparison::Less => "<",
        Comparison::LessOrEqual => "<=",
        Comparison::Greater => ">",
        Comparison::GreaterOrEqual => ">=",
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number { source, .. } => f.write_str(source),
            Self::Text { text, quoted: false } => f.write_str(text),
            Self::Text { text, quoted: true } => f.write_str(&quoted(text)),
            Self::Expression(expression) => write!(f, "%{}%", expression.0),
        }
    }
}

/// Returns a text in quotes, as in a pattern.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { at, wanted } => write!(f, "expected {wanted} at byte {at}"),
            Self::Unsupported(what) => write!(f, "{what} not supported by the fake"),
        }
    }
}

impl std::error::Error for PatternError {}
