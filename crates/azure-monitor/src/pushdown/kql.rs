//! The syntax of KQL: literals, comparisons, and how they are joined. `pushdown` decides what is compared with what.

use stakeout_core::field::Field;
use stakeout_core::prefilter::{Literal, Prefilter};

/// Shortest text that is searched for: nearly every event contains a shorter one.
const RUN_CHARS_MIN: usize = 3;

/// The one character beyond ASCII whose lower case is in it: the Kelvin sign, which is `k` to core and not to KQL.
const KELVIN: &str = "\u{212a}";

const OR: &str = " or ";
const AND: &str = " and ";

/// A condition: operands and what joins them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    operator: &'static str,
    operands: Vec<String>,
}

impl Condition {
    /// Joins operands, each once; `None` where there are none.
    fn of(operator: &'static str, all: impl IntoIterator<Item = String>) -> Option<Condition> {
        let mut operands: Vec<String> = Vec::new();
        for operand in all {
            if !operands.contains(&operand) {
                operands.push(operand);
            }
        }
        (!operands.is_empty()).then_some(Condition { operator, operands })
    }

    /// Returns the condition on its own.
    pub(super) fn alone(self) -> String {
        self.operands.join(self.operator)
    }

    /// Returns the condition as one of several alternatives.
    pub(super) fn nested_in_or(self) -> String {
        if self.operator == OR { self.alone() } else { self.nested() }
    }

    /// Returns the condition as one of several, whatever joins them.
    fn nested(self) -> String {
        if self.operands.len() == 1 { self.alone() } else { format!("({})", self.alone()) }
    }
}

/// Returns the part of a prefilter that KQL can express, or `None` where that is nothing. `leaf` returns the ways in which
/// a field may have a value, any one of which is enough, or `None` where they cannot be expressed.
pub(super) fn condition(
    prefilter: &Prefilter,
    leaf: &dyn Fn(&Field, &Literal) -> Option<Vec<String>>,
) -> Option<Condition> {
    printed(&prefilter.clone().relaxed(&|field, literal| leaf(field, literal).is_some()), leaf)
}

/// Returns a prefilter that can be expressed whole as a condition, or `None` for `Any`, which needs none.
fn printed(prefilter: &Prefilter, leaf: &dyn Fn(&Field, &Literal) -> Option<Vec<String>>) -> Option<Condition> {
    match prefilter {
        Prefilter::Any => None,
        Prefilter::Is { field, literal } => Condition::of(OR, leaf(field, literal)?),
        Prefilter::And(parts) => {
            Condition::of(AND, parts.iter().filter_map(|part| printed(part, leaf)).map(Condition::nested))
        }
        Prefilter::Or(parts) => {
            let parts: Vec<Condition> = parts.iter().map(|part| printed(part, leaf)).collect::<Option<_>>()?;
            let alternatives = |part: Condition| if part.operator == OR { part.operands } else { vec![part.nested()] };
            Condition::of(OR, parts.into_iter().flat_map(alternatives))
        }
    }
}

/// Returns a text as a literal: in quotes, and with escapes for all that is not printable ASCII.
///
/// <https://learn.microsoft.com/kusto/query/scalar-data-types/string>
pub(super) fn literal(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for unit in text.encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte @ (b'"' | b'\\')) => quoted.extend(['\\', char::from(byte)]),
            Ok(byte @ b' '..=b'~') => quoted.push(char::from(byte)),
            _ => quoted.push_str(&format!("\\u{unit:04x}")),
        }
    }
    quoted.push('"');
    quoted
}

/// Returns the comparison that `text` equals a value.
pub(super) fn equals(text: &str, value: &str) -> String {
    format!("{text} == {}", literal(value))
}

/// Returns the ways in which `text` equals an ASCII value, ignoring case.
pub(super) fn equals_uncased(text: &str, value: &str) -> Vec<String> {
    let mut ways = vec![format!("{text} =~ {}", literal(value))];
    if value.contains(['k', 'K']) {
        ways.push(format!("{text} contains_cs {}", literal(KELVIN)));
    }
    ways
}

/// Returns the comparison that `text` contains a value, ignoring case.
pub(super) fn mentions(text: &str, value: &str) -> String {
    format!("{text} contains {}", literal(value))
}

/// Returns the longest run of characters in `text` that every JSON writer leaves unescaped, or `None` where it
/// narrows too little. If case is ignored, `k` ends a run, because the Kelvin sign equals it.
pub(super) fn plain_run(text: &str, cased: bool) -> Option<&str> {
    if !cased && !text.is_ascii() {
        return None;
    }
    let is_plain = |c: char| {
        (c.is_ascii_alphanumeric() || matches!(c, ' ' | '-' | '.' | ':' | '_')) && (cased || !matches!(c, 'k' | 'K'))
    };
    text.split(|c| !is_plain(c)).max_by_key(|run| run.len()).filter(|run| run.len() >= RUN_CHARS_MIN)
}
