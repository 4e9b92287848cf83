//! The syntax of KQL: literals, comparisons, and how they are joined. `pushdown` decides what is compared with what.

use std::net::Ipv4Addr;

use stakeout_core::field::Field;
use stakeout_core::prefilter::{Literal, Prefilter};

/// Shortest text that is searched for: shorter terms are not in the index.
/// <https://learn.microsoft.com/kusto/query/datatypes-string-operators>, "What is a term?"
const RUN_CHARS_MIN: usize = 3;

/// Most addresses in one search: beyond that, the index is not used.
/// <https://learn.microsoft.com/kusto/query/has-any-ipv4-function>
const ADDRESSES_MAX: usize = 128;

/// The one character beyond ASCII whose lower case is in it: the Kelvin sign, which is `k` to core and not to KQL.
const KELVIN: &str = "\u{212a}";

const OR: &str = " or ";
const AND: &str = " and ";

/// How the comparisons of a prefilter are written.
pub(super) struct Comparisons<'a> {
    /// Returns the ways in which a field may have a value, any one of which is enough, or `None` where they cannot be
    /// expressed.
    pub(super) leaf: &'a dyn Fn(&Field, &Literal) -> Option<Vec<String>>,
    /// The text that names the addresses of a request.
    pub(super) addresses: &'a str,
}

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

/// Returns the part of a prefilter that KQL can express, or `None` where that is nothing.
pub(super) fn condition(prefilter: &Prefilter, comparisons: &Comparisons<'_>) -> Option<Condition> {
    let is_pushable = |field: &Field, literal: &Literal| {
        ipv4(field, literal).is_some() || (comparisons.leaf)(field, literal).is_some()
    };
    printed(&prefilter.clone().relaxed(&is_pushable), comparisons)
}

/// Returns a prefilter that can be expressed whole as a condition, or `None` for `Any`, which needs none.
fn printed(prefilter: &Prefilter, comparisons: &Comparisons<'_>) -> Option<Condition> {
    match prefilter {
        Prefilter::Any => None,
        Prefilter::Is { .. } => alternatives(std::slice::from_ref(prefilter), comparisons),
        Prefilter::And(parts) => {
            Condition::of(AND, parts.iter().filter_map(|part| printed(part, comparisons)).map(Condition::nested))
        }
        Prefilter::Or(parts) => alternatives(parts, comparisons),
    }
}

/// Returns the condition that one of the parts holds. Addresses are searched for together.
fn alternatives(parts: &[Prefilter], comparisons: &Comparisons<'_>) -> Option<Condition> {
    let mut addresses = Vec::new();
    let mut operands = Vec::new();
    for part in parts {
        if let Prefilter::Is { field, literal } = part {
            match ipv4(field, literal) {
                Some(address) => addresses.push(address),
                None => operands.extend((comparisons.leaf)(field, literal)?),
            }
            continue;
        }
        let part = printed(part, comparisons)?;
        if part.operator == OR { operands.extend(part.operands) } else { operands.push(part.nested()) }
    }
    let searches = addresses.chunks(ADDRESSES_MAX).map(|some| has_any_ipv4(comparisons.addresses, some));
    Condition::of(OR, operands.into_iter().chain(searches))
}

/// Returns the IPv4 address that a comparison asks for.
fn ipv4(field: &Field, literal: &Literal) -> Option<Ipv4Addr> {
    match literal {
        Literal::Text { text, cased: true } if *field == Field::Named("sourceIPs") => text.parse().ok(),
        _ => None,
    }
}

/// Returns the search for one of several addresses in a text.
fn has_any_ipv4(text: &str, addresses: &[Ipv4Addr]) -> String {
    let addresses: Vec<String> = addresses.iter().map(|address| literal(&address.to_string())).collect();
    format!("has_any_ipv4({text}, dynamic([{}]))", addresses.join(", "))
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

/// Returns the comparison that a text contains the terms of `run`, ignoring case.
pub(super) fn has(text: &str, run: &str) -> String {
    format!("{text} has {}", literal(run))
}

/// Returns the searches for `text` in a column of JSON, any one of which is enough; `None` where there is none that
/// narrows.
pub(super) fn terms(column: &str, text: &str, cased: bool) -> Option<Vec<String>> {
    if !cased && !text.is_ascii() {
        return None;
    }
    if let Some(run) = longest_run(text, |c| !cased && matches!(c, 'k' | 'K')) {
        return Some(vec![has(column, run)]);
    }
    // A word with a `k` that is its only term. No index finds the Kelvin sign inside of a word.
    let run = longest_run(text, |_| false)?;
    let kelvin =
        [format!("{column} contains_cs {}", literal(KELVIN)), format!("{column} contains {}", literal("\\u212a"))];
    Some([vec![has(column, run)], kelvin.to_vec()].concat())
}

/// Returns the longest run of whole terms in `text`, as every JSON writer writes them, or `None` where it narrows too
/// little.
///
/// A term is a run of letters and digits. One beside a character that a writer may escape (`\n`, `\u00fc`) is not whole,
/// because the letters of the escape would belong to it; nor is one beside a character that `is_doubtful`.
fn longest_run<'a>(text: &'a str, is_doubtful: impl Fn(char) -> bool) -> Option<&'a str> {
    let is_term = |c: char| c.is_ascii_alphanumeric();
    let is_plain = |c: char| (is_term(c) || matches!(c, ' ' | '-' | '.' | ':' | '/')) && !is_doubtful(c);
    let parts: Vec<&str> = text.split(|c| !is_plain(c)).collect();
    let whole_terms = |(at, part): (usize, &&'a str)| {
        let part = if at == 0 { part } else { part.trim_start_matches(is_term) };
        if at + 1 == parts.len() { part } else { part.trim_end_matches(is_term) }
    };
    let runs = parts.iter().enumerate().map(whole_terms).flat_map(|part| part.split('/'));
    let runs = runs.map(|run| run.trim_matches(|c| !is_term(c)));
    runs.max_by_key(|run| run.len()).filter(|run| run.len() >= RUN_CHARS_MIN)
}
