//! Parses and evaluates filter patterns of CloudWatch Logs: of patterns on JSON the comparisons that Stakeout sends, and a
//! single quoted phrase.
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html>
//!
//! Where the documentation leaves a question open, an event does *not* fit: a client that relies on a guess loses
//! events here and not in the cloud. Literals never change type (`403` is not `"403"`). An absent or null property fits
//! no comparison. A regular expression fits text only. The fake refuses all operators but `=`, selectors other than names
//! and `[*]`, `*` in a text, several terms, terms without quotes, `?` and `-` terms, space-delimited patterns, and a regular
//! expression as a whole pattern.

mod parse;
#[cfg(test)]
mod tests;

use std::fmt;

use regex::Regex;
use serde_json::Value;

/// The longest pattern that FilterLogEvents takes.
pub const PATTERN_CHARS_MAX: usize = 1024;

/// A parsed filter pattern.
#[derive(Clone, Debug)]
pub struct FilterPattern(PatternKind);

#[derive(Clone, Debug)]
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

#[derive(Clone, Debug)]
enum Expression {
    Any(Vec<Expression>),
    All(Vec<Expression>),
    Equals(Vec<Step>, Literal),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Member(String),
    AnyItem,
}

#[derive(Clone, Debug)]
enum Literal {
    Number(f64),
    Text(String),
    /// A regular expression between percent signs, which fits any part of a text.
    Expression(Regex),
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
            Self::Equals(selector, literal) => {
                let start = vec![event];
                let found = selector
                    .iter()
                    .fold(start, |values, step| values.into_iter().flat_map(|value| step.select(value)).collect());
                found.into_iter().any(|value| literal.equals(value))
            }
        }
    }
}

impl Step {
    fn select<'v>(&self, value: &'v Value) -> Vec<&'v Value> {
        match (self, value) {
            (Self::Member(name), Value::Object(members)) => members.get(name).into_iter().collect(),
            (Self::AnyItem, Value::Array(items)) => items.iter().collect(),
            _ => Vec::new(),
        }
    }
}

impl Literal {
    fn equals(&self, value: &Value) -> bool {
        match self {
            Self::Number(number) => value.as_f64() == Some(*number),
            Self::Text(text) => value.as_str() == Some(text),
            Self::Expression(expression) => value.as_str().is_some_and(|found| expression.is_match(found)),
        }
    }
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
