//! Conditions over one request: what the `detection` of a Sigma rule becomes.

use serde::Serialize;

use super::pattern::Pattern;
use crate::event::CutFields;
use crate::field::{Field, Premise};
use crate::prefilter::{Literal, Prefilter};
use crate::time::Second;

/// A condition over one observation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Expression {
    /// Each holds.
    And(Vec<Expression>),
    /// At least one holds.
    Or(Vec<Expression>),
    /// It does not hold.
    Not(Box<Expression>),
    /// The request came at this time or later: a filter has expired.
    Since(Second),
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
    /// Returns a filter that every observation fits for which the condition holds.
    #[must_use]
    pub fn prefilter(&self) -> Prefilter {
        match self {
            Expression::And(parts) => Prefilter::And(parts.iter().map(Expression::prefilter).collect()),
            Expression::Or(parts) => Prefilter::Or(parts.iter().map(Expression::prefilter).collect()),
            Expression::Not(_) | Expression::Since(_) => Prefilter::Any,
            Expression::Is { field, patterns, all } => {
                let parts = patterns.iter().map(|pattern| prefilter(field, pattern)).collect();
                if *all { Prefilter::And(parts) } else { Prefilter::Or(parts) }
            }
        }
    }
}

impl Expression {
    /// Returns the fields that a provider may cut and the condition reads.
    #[must_use]
    pub fn cut_by(&self) -> CutFields {
        let all =
            |parts: &[Expression]| parts.iter().map(Expression::cut_by).fold(CutFields::default(), CutFields::and);
        match self {
            Expression::And(parts) | Expression::Or(parts) => all(parts),
            Expression::Not(part) => part.cut_by(),
            Expression::Since(_) => CutFields::default(),
            Expression::Is { field, patterns, .. } => {
                let others = patterns.iter().filter_map(Pattern::other_field).map(Field::cut_by);
                others.fold(field.cut_by(), CutFields::and)
            }
        }
    }
}

/// Returns a filter over audited fields that every observation fits whose `field` fits `pattern`.
fn prefilter(field: &Field, pattern: &Pattern) -> Prefilter {
    if pattern.fits_missing() {
        return Prefilter::Any;
    }
    match (pattern, field.premises()) {
        (Pattern::Never, _) => Prefilter::Or(Vec::new()),
        (pattern, []) if field.is_audited() => {
            pattern.literal().map_or(Prefilter::Any, |literal| Prefilter::Is { field: field.clone(), literal })
        }
        (pattern, premises) if !premises.is_empty() && (!field.is_bool() || is_true(pattern)) => {
            Prefilter::Or(premises.iter().map(premise).collect()).simplified()
        }
        _ => Prefilter::Any,
    }
}

/// Returns whether only `true` can fit `pattern`.
fn is_true(pattern: &Pattern) -> bool {
    match pattern {
        Pattern::Bool(value) => *value,
        pattern => matches!(pattern.literal(), Some(Literal::Text { text, .. }) if text.eq_ignore_ascii_case("true")),
    }
}

fn premise(premise: &Premise) -> Prefilter {
    let (name, literal) = match *premise {
        Premise::Text(name, text) => (name, Literal::Text { text: text.to_owned(), cased: true }),
        Premise::Number(name, number) => (name, Literal::Number(number)),
    };
    Prefilter::Is { field: Field::Named(name), literal }
}
