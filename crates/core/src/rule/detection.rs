//! Conditions over one request: what the `detection` of a Sigma rule becomes.

use std::net::IpAddr;

use serde::Serialize;

use super::pattern::Pattern;
use crate::field::Field;
use crate::observation::Observation;
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
    /// Tells whether the condition holds for `observation`, sent by `client`.
    #[must_use]
    pub fn holds(&self, observation: &Observation, client: Option<IpAddr>) -> bool {
        match self {
            Expression::And(parts) => parts.iter().all(|part| part.holds(observation, client)),
            Expression::Or(parts) => parts.iter().any(|part| part.holds(observation, client)),
            Expression::Not(part) => !part.holds(observation, client),
            Expression::Since(time) => observation.first >= *time,
            Expression::Is { field, patterns, all } => {
                let value = field.value_of(observation, client);
                let mut patterns = patterns.iter();
                if *all {
                    patterns.all(|pattern| pattern.fits(&value, observation, client))
                } else {
                    patterns.any(|pattern| pattern.fits(&value, observation, client))
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
            Expression::Not(_) | Expression::Since(_) => Prefilter::Any,
            Expression::Is { field, patterns, all } => {
                let parts = patterns.iter().map(|pattern| prefilter(field, pattern)).collect();
                if *all { Prefilter::And(parts) } else { Prefilter::Or(parts) }
            }
        }
    }
}

/// Returns a filter over audited fields that every observation fits whose `field` fits `pattern`.
fn prefilter(field: &Field, pattern: &Pattern) -> Prefilter {
    match (field, pattern) {
        _ if pattern.fits_missing() => Prefilter::Any,
        (_, Pattern::Never) => Prefilter::Or(Vec::new()),
        (Field::Named("unauthenticated"), pattern) if is_true(pattern) => unauthenticated(),
        (Field::Named("auth_failure"), _) => code(401),
        (field, _) if !field.is_audited() => Prefilter::Any,
        (field, pattern) => match pattern.literal() {
            Some(literal) => Prefilter::Is { field: field.clone(), literal },
            None => Prefilter::Any,
        },
    }
}

/// Tells whether only what is true can fit `pattern`.
fn is_true(pattern: &Pattern) -> bool {
    match pattern {
        Pattern::Fact(fact) => *fact,
        pattern => matches!(pattern.literal(), Some(Literal::Text { text, .. }) if text.eq_ignore_ascii_case("true")),
    }
}

/// Says with audited fields what [`crate::event::AuditEvent::is_unauthenticated`] asks.
fn unauthenticated() -> Prefilter {
    let is = |name: &'static str, text: &str| Prefilter::Is {
        field: Field::Named(name),
        literal: Literal::Text { text: text.to_owned(), cased: true },
    };
    Prefilter::Or(vec![is("user.username", "system:anonymous"), is("user.groups", "system:unauthenticated"), code(401)])
}

fn code(number: i64) -> Prefilter {
    Prefilter::Is { field: Field::Named("responseStatus.code"), literal: Literal::Number(number) }
}
