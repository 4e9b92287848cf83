//! Writes a prefilter as a CloudWatch filter pattern.
//!
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html>
//!
//! A pattern accepts at least what its prefilter accepts; whatever cannot be expressed safely is left out. Events are never
//! matched here, and no text of an event ever gets into a pattern: its literals come from rules.

use stakeout_core::field::Field;
use stakeout_core::prefilter::{Literal, Prefilter};

/// Longest `filterPattern` that a request takes.
/// <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html>
const PATTERN_CHARS_MAX: usize = 1_024;

/// Most selectors with a wildcard in one pattern (same page). A list needs one for each value, because the sender chooses
/// how many addresses precede its own, and groups have no fixed order.
const WILDCARD_SELECTORS_MAX: usize = 3;

/// The field that the API server writes as a number.
const CODE: Field = Field::Named("responseStatus.code");

/// Returns the pattern for a prefilter, or `None` where nothing can be pushed down and every event is to be read.
///
/// A prefilter that fits nothing gives `None` as well: if it is wrong, no event is lost.
#[must_use]
pub fn filter_pattern(prefilter: &Prefilter) -> Option<String> {
    let mut relaxed = pushable(prefilter.clone().simplified());
    if wildcard_selectors(&relaxed) > WILDCARD_SELECTORS_MAX {
        relaxed = with_fewer_wildcards(&relaxed);
    }
    loop {
        let pattern = format!("{{ {} }}", printed(&relaxed)?);
        if pattern.len() <= PATTERN_CHARS_MAX {
            return Some(pattern);
        }
        relaxed = pushable(relaxed.with_one_conjunct_less(&is_rare, &length));
    }
}

/// Returns the part of a prefilter that a pattern can express.
fn pushable(prefilter: Prefilter) -> Prefilter {
    prefilter.relaxed(&is_pushable)
}

/// Returns how many selectors of a prefilter's pattern need a wildcard.
fn wildcard_selectors(prefilter: &Prefilter) -> usize {
    match prefilter {
        Prefilter::Any => 0,
        Prefilter::Is { field, .. } => usize::from(field.is_array()),
        Prefilter::And(parts) | Prefilter::Or(parts) => parts.iter().map(wildcard_selectors).sum(),
    }
}

/// Returns a prefilter that asks for no group, or no address, or neither: the first that has few enough wildcards and
/// still leaves something out.
fn with_fewer_wildcards(prefilter: &Prefilter) -> Prefilter {
    let lists = [Field::Named("user.groups"), Field::Named("sourceIPs")];
    let choices = lists.chunks(1).chain([lists.as_slice()]);
    let mut fewer = choices.map(|left_out| prefilter.clone().relaxed(&|field, _| !left_out.contains(field)));
    let is_pushable =
        |fewer: &Prefilter| *fewer != Prefilter::Any && wildcard_selectors(fewer) <= WILDCARD_SELECTORS_MAX;
    fewer.find(is_pushable).unwrap_or(Prefilter::Any)
}

/// Returns whether a comparison means the same to the service as to a rule.
///
/// Text is compared there letter by letter, with `*` as a wildcard and `%` around a regular expression. Whether an
/// absent field equals the empty text is undocumented, so the empty text is left out.
fn is_pushable(field: &Field, literal: &Literal) -> bool {
    let is_literal_plain = match literal {
        // It would take two selectors with a wildcard, and no address or group is a number.
        Literal::Number(_) => !field.is_array(),
        Literal::Text { cased: false, .. } => false,
        Literal::Text { text, .. } if *field == CODE => text.parse::<i64>().is_ok(),
        Literal::Text { text, .. } => {
            !text.is_empty() && text.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'*' | b'%'))
        }
    };
    is_literal_plain && field.is_audited() && is_selectable(field)
}

/// Returns whether a field's name can be a selector, where a dot always means a deeper field.
fn is_selectable(field: &Field) -> bool {
    match field {
        Field::Named(_) => true,
        Field::Annotation(key) => {
            !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        }
    }
}

/// Returns a prefilter as an expression, or `None` for `Any`, which needs none.
fn printed(prefilter: &Prefilter) -> Option<String> {
    let (operator, operands) = match prefilter {
        Prefilter::Any => return None,
        Prefilter::Is { field, literal } => (" || ", comparisons(field, literal)),
        Prefilter::And(parts) => (" && ", parts.iter().map(printed).collect::<Option<_>>()?),
        Prefilter::Or(parts) => (" || ", alternatives(parts)?),
    };
    match operands.as_slice() {
        [] => None,
        [only] => Some(only.clone()),
        several => Some(several.iter().map(|operand| format!("({operand})")).collect::<Vec<_>>().join(operator)),
    }
}

/// Returns the operands of an alternative, with those of a comparison that is one itself beside them.
fn alternatives(parts: &[Prefilter]) -> Option<Vec<String>> {
    let mut operands = Vec::new();
    for part in parts {
        match part {
            Prefilter::Is { field, literal } => operands.extend(comparisons(field, literal)),
            other => operands.push(printed(other)?),
        }
    }
    Some(operands)
}

/// Returns the ways in which an event may hold a value: a number may be written as text.
fn comparisons(field: &Field, literal: &Literal) -> Vec<String> {
    let field_path = if field.is_array() { format!("{field}[*]") } else { field.to_string() };
    let both = |number: i64| vec![format!("$.{field_path} = {number}"), format!("$.{field_path} = \"{number}\"")];
    match literal {
        Literal::Number(number) => both(*number),
        Literal::Text { text, .. } => match text.parse() {
            Ok(number) if *field == CODE => both(number),
            _ => vec![format!("$.{field_path} = \"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))],
        },
    }
}

/// Returns how long a prefilter's expression is.
fn length(prefilter: &Prefilter) -> usize {
    printed(prefilter).map_or(0, |text| text.len())
}

/// Returns whether a comparison of the field leaves out much of a log: a denial or a name is rare, a verb is not.
fn is_rare(field: &Field) -> bool {
    let rare = ["responseStatus.code", "responseStatus.reason", "user.username", "user.groups", "sourceIPs"];
    matches!(field, Field::Named(name) if rare.contains(name))
}

#[cfg(test)]
mod tests;
