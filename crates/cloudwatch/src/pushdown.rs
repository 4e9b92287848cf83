//! Writes a prefilter as a CloudWatch filter pattern.
//!
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html>
//!
//! A pattern accepts at least what its prefilter accepts; whatever cannot be expressed safely is left out. Events are never
//! matched here, and no text of an event ever gets into a pattern: its literals come from rules.

mod addresses;

use stakeout_core::field::Field;
use stakeout_core::prefilter::{Literal, Prefilter};

use addresses::{AddressTest, Precision};

/// Longest `filterPattern` that a request takes.
/// <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html>
const PATTERN_CHARS_MAX: usize = 1_024;

/// Most selectors with a wildcard in one pattern (same page). A list needs one, because the sender chooses how many
/// addresses precede its own, and groups have no fixed order.
const WILDCARD_SELECTORS_MAX: usize = 3;

/// Most regular expressions in one pattern.
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html>, "Quotas"
const REGULAR_EXPRESSIONS_MAX: usize = 2;

/// The field that the API server writes as a number.
const CODE: Field = Field::Named("responseStatus.code");

/// How many of its scarce parts a pattern needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Selectors {
    wildcards: usize,
    regular_expressions: usize,
}

/// Returns the pattern for a prefilter, or `None` where nothing can be pushed down and every event is to be read.
///
/// Where a pattern is too long, it first asks for networks around the addresses, and then leaves out what narrows least.
/// A prefilter that fits nothing gives `None` as well: if it is wrong, no event is lost.
#[must_use]
pub fn filter_pattern(prefilter: &Prefilter) -> Option<String> {
    let mut relaxed = pushable(prefilter.clone().simplified());
    if !Selectors::of(&relaxed).are_few() {
        relaxed = with_fewer_wildcards(&relaxed);
    }
    loop {
        for precision in Precision::ALL {
            let pattern = format!("{{ {} }}", printed(&relaxed, precision)?);
            if pattern.len() <= PATTERN_CHARS_MAX {
                return Some(pattern);
            }
        }
        relaxed = pushable(relaxed.with_one_conjunct_less(&length));
    }
}

/// Returns the part of a prefilter that a pattern can express.
fn pushable(prefilter: Prefilter) -> Prefilter {
    prefilter.relaxed(&is_pushable)
}

impl Selectors {
    /// Counts those of a prefilter's pattern.
    fn of(prefilter: &Prefilter) -> Selectors {
        match prefilter {
            Prefilter::Any => Selectors::default(),
            Prefilter::Is { .. } => Selectors::of_alternatives(std::slice::from_ref(prefilter)),
            Prefilter::And(parts) => parts.iter().map(Selectors::of).fold(Selectors::default(), Selectors::and),
            Prefilter::Or(parts) => Selectors::of_alternatives(parts),
        }
    }

    /// Counts those of alternatives, whose addresses share one selector.
    fn of_alternatives(parts: &[Prefilter]) -> Selectors {
        let addresses = AddressTest::of(parts)
            .map(|test| Selectors { wildcards: 1, regular_expressions: usize::from(test.is_regular_expression()) });
        let others = parts.iter().filter(|part| !AddressTest::covers(part)).map(|part| match part {
            Prefilter::Is { field, .. } => {
                Selectors { wildcards: usize::from(field.is_array()), regular_expressions: 0 }
            }
            other => Selectors::of(other),
        });
        others.chain(addresses).fold(Selectors::default(), Selectors::and)
    }

    fn and(self, other: Selectors) -> Selectors {
        Selectors {
            wildcards: self.wildcards + other.wildcards,
            regular_expressions: self.regular_expressions + other.regular_expressions,
        }
    }

    fn are_few(self) -> bool {
        self.wildcards <= WILDCARD_SELECTORS_MAX && self.regular_expressions <= REGULAR_EXPRESSIONS_MAX
    }
}

/// Returns a prefilter that asks for no group, or no address, or neither: the first that has few enough wildcards and
/// still leaves something out.
fn with_fewer_wildcards(prefilter: &Prefilter) -> Prefilter {
    let lists = [Field::Named("user.groups"), Field::Named("sourceIPs")];
    let choices = lists.chunks(1).chain([lists.as_slice()]);
    let mut fewer = choices.map(|left_out| prefilter.clone().relaxed(&|field, _| !left_out.contains(field)));
    let is_pushable = |fewer: &Prefilter| *fewer != Prefilter::Any && Selectors::of(fewer).are_few();
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
        Literal::Network(network) => addresses::is_pushable(field, network),
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
fn printed(prefilter: &Prefilter, precision: Precision) -> Option<String> {
    let (operator, operands) = match prefilter {
        Prefilter::Any => return None,
        Prefilter::Is { .. } => (" || ", alternatives(std::slice::from_ref(prefilter), precision)?),
        Prefilter::And(parts) => (" && ", parts.iter().map(|part| printed(part, precision)).collect::<Option<_>>()?),
        Prefilter::Or(parts) => (" || ", alternatives(parts, precision)?),
    };
    match operands.as_slice() {
        [] => None,
        [only] => Some(only.clone()),
        several => Some(several.iter().map(|operand| format!("({operand})")).collect::<Vec<_>>().join(operator)),
    }
}

/// Returns the operands of an alternative, with those of a comparison that is one itself beside them. All addresses are one
/// operand, which comes where the first of them does.
fn alternatives(parts: &[Prefilter], precision: Precision) -> Option<Vec<String>> {
    let mut addresses = AddressTest::of(parts);
    let mut operands = Vec::new();
    for part in parts {
        match part {
            address if AddressTest::covers(address) => {
                operands.extend(addresses.take().map(|test| test.printed(precision)));
            }
            Prefilter::Is { field, literal } => operands.extend(comparisons(field, literal)),
            other => operands.push(printed(other, precision)?),
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
        // Printed as an address.
        Literal::Network(_) => Vec::new(),
        Literal::Text { text, .. } => match text.parse() {
            Ok(number) if *field == CODE => both(number),
            _ => vec![format!("$.{field_path} = \"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))],
        },
    }
}

/// Returns how long a prefilter's expression is.
fn length(prefilter: &Prefilter) -> usize {
    printed(prefilter, Precision::Exact).map_or(0, |text| text.len())
}

#[cfg(test)]
mod tests;
