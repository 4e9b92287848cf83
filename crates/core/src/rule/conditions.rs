//! The conditions of all rules, each once: rules share selections and filters, and a request is judged by each of them
//! at most once, on values that are read at most once.

use std::collections::HashMap;
use std::net::IpAddr;

use super::Expression;
use super::pattern::Pattern;
use crate::field::{Field, FieldValue};
use crate::observation::Observation;
use crate::time::Second;

/// Conditions by their numbers, and the fields that they read by theirs.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    numbers: HashMap<Condition, usize>,
    conditions: Vec<Condition>,
    fields: Vec<Field>,
}

/// An [`Expression`] whose parts are numbers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Condition {
    And(Vec<usize>),
    Or(Vec<usize>),
    Not(usize),
    Since(Second),
    Is { field: usize, patterns: Vec<Pattern>, all: bool },
}

impl Conditions {
    /// Returns the number of the condition that any one of `expressions` holds.
    pub(super) fn any_of<'e>(&mut self, expressions: impl IntoIterator<Item = &'e Expression>) -> usize {
        let parts = expressions.into_iter().map(|expression| self.number_of(expression)).collect();
        self.joined(parts, Condition::Or)
    }

    /// Returns the number of a field.
    pub(super) fn number_of_field(&mut self, field: &Field) -> usize {
        self.fields.iter().position(|known| known == field).unwrap_or_else(|| {
            self.fields.push(field.clone());
            self.fields.len() - 1
        })
    }

    /// Returns the field of a number.
    pub(super) fn field(&self, number: usize) -> &Field {
        &self.fields[number]
    }

    fn number_of(&mut self, expression: &Expression) -> usize {
        let mut all = |parts: &[Expression]| parts.iter().map(|part| self.number_of(part)).collect();
        let condition = match expression {
            Expression::And(parts) => {
                let parts = all(parts);
                return self.joined(parts, Condition::And);
            }
            Expression::Or(parts) => {
                let parts = all(parts);
                return self.joined(parts, Condition::Or);
            }
            Expression::Not(part) => Condition::Not(self.number_of(part)),
            Expression::Since(time) => Condition::Since(*time),
            Expression::Is { field, patterns, all } => {
                Condition::Is { field: self.number_of_field(field), patterns: patterns.clone(), all: *all }
            }
        };
        self.number(condition)
    }

    /// Returns the number of what `join` makes of the parts; one alone is itself.
    fn joined(&mut self, parts: Vec<usize>, join: fn(Vec<usize>) -> Condition) -> usize {
        if let [one] = parts[..] { one } else { self.number(join(parts)) }
    }

    fn number(&mut self, condition: Condition) -> usize {
        *self.numbers.entry(condition).or_insert_with_key(|condition| {
            self.conditions.push(condition.clone());
            self.conditions.len() - 1
        })
    }
}

/// What is known by now of a request as somebody's.
pub(super) struct Judgement<'a> {
    conditions: &'a Conditions,
    observation: &'a Observation,
    /// Who is taken for its sender.
    pub(super) client: Option<IpAddr>,
    verdicts: Vec<Option<bool>>,
    values: Vec<Option<FieldValue<'a>>>,
}

impl<'a> Judgement<'a> {
    /// Returns the judgement that knows nothing yet of `observation` as `client`'s.
    pub(super) fn new(
        conditions: &'a Conditions,
        observation: &'a Observation,
        client: Option<IpAddr>,
    ) -> Judgement<'a> {
        Judgement {
            conditions,
            observation,
            client,
            verdicts: vec![None; conditions.conditions.len()],
            values: vec![None; conditions.fields.len()],
        }
    }

    /// Tells whether the condition of this number holds, as [`Expression::holds`] does.
    #[inline]
    pub(super) fn holds(&mut self, number: usize) -> bool {
        match self.verdicts[number] {
            Some(status) => status,
            None => self.judge(number),
        }
    }

    fn judge(&mut self, number: usize) -> bool {
        let conditions = self.conditions;
        let status = match &conditions.conditions[number] {
            Condition::And(parts) => parts.iter().all(|part| self.holds(*part)),
            Condition::Or(parts) => parts.iter().any(|part| self.holds(*part)),
            Condition::Not(part) => !self.holds(*part),
            Condition::Since(time) => self.observation.first >= *time,
            Condition::Is { field, patterns, all } => {
                let (observation, client) = (self.observation, self.client);
                let value = self.value_of(*field);
                let mut patterns = patterns.iter();
                if *all {
                    patterns.all(|pattern| pattern.fits(value, observation, client))
                } else {
                    patterns.any(|pattern| pattern.fits(value, observation, client))
                }
            }
        };
        self.verdicts[number] = Some(status);
        status
    }

    /// Returns the value of the field of this number.
    pub(super) fn value_of(&mut self, number: usize) -> &FieldValue<'a> {
        let (conditions, observation, client) = (self.conditions, self.observation, self.client);
        self.values[number].get_or_insert_with(|| conditions.fields[number].value_of(observation, client))
    }
}
