//! The `detection` of a Sigma rule: its selections, read and evaluated.

use std::net::IpAddr;

use serde::Serialize;

use super::pattern::{Glob, Pattern};
use crate::diagnostic::{Diagnostic, suggestion};
use crate::field::Field;
use crate::observation::Observation;
use crate::prefilter::Prefilter;
use crate::yaml::{At, Value};

/// Modifiers that a field may carry.
const MODIFIERS: &[&str] = &["all", "cased", "contains", "endswith", "startswith"];

/// A condition over one observation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Expression {
    /// Each holds.
    And(Vec<Expression>),
    /// At least one holds.
    Or(Vec<Expression>),
    /// It does not hold.
    Not(Box<Expression>),
    /// A field has one of these values.
    Is {
        /// The field's name.
        #[serde(serialize_with = "name_of")]
        field: Field,
        /// The values.
        patterns: Vec<Pattern>,
        /// Whether each pattern must fit (`|all`), not any one.
        all: bool,
    },
}

pub(super) fn name_of<S: serde::Serializer>(field: &Field, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&field.name())
}

impl Expression {
    /// Tells whether the condition holds for `observation`, sent by `client`.
    #[must_use]
    pub fn holds(&self, observation: &Observation, client: Option<IpAddr>) -> bool {
        match self {
            Expression::And(parts) => parts.iter().all(|part| part.holds(observation, client)),
            Expression::Or(parts) => parts.iter().any(|part| part.holds(observation, client)),
            Expression::Not(part) => !part.holds(observation, client),
            Expression::Is { field, patterns, all } => {
                let value = field.value_of(observation, client);
                if *all {
                    patterns.iter().all(|pattern| pattern.fits(&value))
                } else {
                    patterns.iter().any(|pattern| pattern.fits(&value))
                }
            }
        }
    }

    /// Returns a filter that every observation fits for which the condition holds.
    #[must_use]
    pub fn prefilter(&self) -> Prefilter {
        match self {
            Expression::And(parts) => Prefilter::And(parts.iter().map(Expression::prefilter).collect()),
            Expression::Or(parts) => Prefilter::Or(parts.iter().map(Expression::prefilter).collect()),
            Expression::Not(_) => Prefilter::Any,
            Expression::Is { field, .. } if !field.is_audited() => Prefilter::Any,
            Expression::Is { field, patterns, all } => {
                let parts = patterns
                    .iter()
                    .map(|pattern| match pattern.literal() {
                        Some(literal) => Prefilter::Is { field: field.clone(), literal },
                        None => Prefilter::Any,
                    })
                    .collect();
                if *all { Prefilter::And(parts) } else { Prefilter::Or(parts) }
            }
        }
    }
}

/// Reads one selection: a mapping whose lines must all hold, or a list of mappings of which one must.
pub(super) fn selection(at: &At<'_>) -> Result<Expression, Diagnostic> {
    match &at.node.value {
        Value::Map(_) => {
            let lines: Vec<Expression> =
                at.any_map()?.entries().map(|(name, at)| line(name, &at)).collect::<Result<_, _>>()?;
            if lines.is_empty() {
                return Err(at.fault("an empty selection", "name a field and its value"));
            }
            Ok(Expression::And(lines))
        }
        Value::List(items) if !items.is_empty() => {
            Ok(Expression::Or(at.list()?.iter().map(selection).collect::<Result<_, _>>()?))
        }
        Value::Scalar { .. } => Err(at.fault(
            "a keyword without a field",
            "name the field to look in, such as `requestURI|contains: ...`: audit events have fields",
        )),
        _ => Err(at.fault("an empty selection", "name a field and its value")),
    }
}

fn line(name: &str, at: &At<'_>) -> Result<Expression, Diagnostic> {
    let mut words = name.split('|');
    let field_name = words.next().unwrap_or("");
    let field: Field = field_name.parse().map_err(|()| {
        at.fault(format!("audit events have no field `{field_name}`"), suggestion(field_name, Field::NAMES))
    })?;
    let modifiers: Vec<&str> = words.collect();
    for (place, modifier) in modifiers.iter().enumerate() {
        if !MODIFIERS.contains(modifier) {
            return Err(at.fault(format!("unknown modifier `{modifier}`"), suggestion(modifier, MODIFIERS)));
        }
        if modifiers[..place].contains(modifier) {
            return Err(at.fault(format!("the modifier `{modifier}` stands twice"), "keep one of the two"));
        }
    }
    let shapes: Vec<&str> = modifiers.iter().copied().filter(|word| !matches!(*word, "all" | "cased")).collect();
    if shapes.len() > 1 {
        return Err(at.fault(format!("`{}` and `{}` exclude each other", shapes[0], shapes[1]), "keep one of the two"));
    }
    let values = at.list_or_one()?;
    if values.is_empty() {
        return Err(at.fault("an empty list fits nothing", "name at least one value, or take the line out"));
    }
    let all = modifiers.contains(&"all");
    if all && values.len() < 2 {
        return Err(at.fault("`all` with one value", "give a list of values, or take `|all` away"));
    }
    let patterns = values
        .iter()
        .map(|value| pattern(value, modifiers.contains(&"cased"), shapes.first().copied()))
        .collect::<Result<_, _>>()?;
    Ok(Expression::Is { field, patterns, all })
}

fn pattern(at: &At<'_>, cased: bool, shape: Option<&str>) -> Result<Pattern, Diagnostic> {
    let (text, is_plain) = match &at.node.value {
        Value::Null if shape.is_none() && !cased => return Ok(Pattern::Null),
        Value::Scalar { text, is_plain } => (text, *is_plain),
        _ => {
            return Err(at.fault("no value to compare with", "write a text, a number, true, false or null"));
        }
    };
    if shape.is_none() && is_plain && !cased {
        if let Ok(number) = text.parse() {
            return Ok(Pattern::Number(number));
        }
        if let Ok(fact) = text.parse() {
            return Ok(Pattern::Fact(fact));
        }
    }
    let glob = Glob::parse(text, cased);
    Ok(Pattern::Text(match shape {
        Some("contains") => glob.after_anything().before_anything(),
        Some("startswith") => glob.before_anything(),
        Some("endswith") => glob.after_anything(),
        _ => glob,
    }))
}
