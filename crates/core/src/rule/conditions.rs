//! The conditions of all rules, each once. Rules share selections and filters: each condition is evaluated at most once
//! per request, and each field is read at most once. No other code decides whether a condition holds.

use std::net::IpAddr;

use rustc_hash::FxHashMap;

use super::Expression;
use super::pattern::Pattern;
use crate::field::{Field, FieldReader, FieldValue};
use crate::observation::Observation;
use crate::time::Second;

/// Conditions by index, and the fields that they read.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    /// Rules are not an attacker's.
    indexes: FxHashMap<Condition, usize>,
    conditions: Vec<Condition>,
    fields: Vec<Field>,
    readers: Vec<FieldReader>,
    /// The indexes of the fields that some condition compares, each once.
    compared: Vec<usize>,
    /// The times since which some condition holds.
    times: Vec<Second>,
}

/// An [`Expression`] whose parts are indexes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Condition {
    And(Vec<usize>),
    Or(Vec<usize>),
    Not(usize),
    Since(Second),
    Is { field: usize, patterns: Vec<Pattern>, all: bool },
}

impl Conditions {
    /// Returns the index of the condition that any one of `expressions` holds.
    pub(super) fn any_of<'e>(&mut self, expressions: impl IntoIterator<Item = &'e Expression>) -> usize {
        let parts = expressions.into_iter().map(|expression| self.index_of(expression)).collect();
        self.joined(parts, Condition::Or)
    }

    /// Returns the index of the condition that `expression` holds. It is added where it is new.
    pub(super) fn index_of(&mut self, expression: &Expression) -> usize {
        let mut all = |parts: &[Expression]| parts.iter().map(|part| self.index_of(part)).collect();
        let condition = match expression {
            Expression::And(parts) => {
                let parts = all(parts);
                return self.joined(parts, Condition::And);
            }
            Expression::Or(parts) => {
                let parts = all(parts);
                return self.joined(parts, Condition::Or);
            }
            Expression::Not(part) => Condition::Not(self.index_of(part)),
            Expression::Since(time) => {
                self.times.push(*time);
                Condition::Since(*time)
            }
            Expression::Is { field, patterns, all } => {
                for other in patterns.iter().filter_map(Pattern::other_field) {
                    self.compare(other);
                }
                Condition::Is { field: self.compare(field), patterns: patterns.clone(), all: *all }
            }
        };
        self.index(condition)
    }

    /// Returns the index of a field that a condition compares.
    fn compare(&mut self, field: &Field) -> usize {
        let index = self.index_of_field(field);
        if !self.compared.contains(&index) {
            self.compared.push(index);
        }
        index
    }

    /// Writes everything that a condition may look at: of two requests that write the same, each condition holds for both
    /// or for none.
    pub(super) fn write_compared(&self, observation: &Observation, client: Option<IpAddr>, to: &mut Vec<u8>) {
        to.extend(self.times.iter().map(|time| u8::from(observation.first >= *time)));
        for field in &self.compared {
            self.read(*field, observation, client).write(to);
        }
    }

    /// Writes the same for the trusted client, with every field that has an index, compared or not.
    pub(super) fn write_read(&self, observation: &Observation, to: &mut Vec<u8>) {
        to.extend(self.times.iter().map(|time| u8::from(observation.first >= *time)));
        for reader in &self.readers {
            reader.value_of(observation, observation.client).write(to);
        }
    }

    /// Returns how many fields have an index.
    pub(super) fn fields(&self) -> usize {
        self.fields.len()
    }

    /// Returns the index of a field. It is added where it is new.
    pub(super) fn index_of_field(&mut self, field: &Field) -> usize {
        self.fields.iter().position(|known| known == field).unwrap_or_else(|| {
            self.fields.push(field.clone());
            self.readers.push(field.reader());
            self.fields.len() - 1
        })
    }

    /// Returns the value of a field, read anew.
    pub(super) fn read<'a>(
        &self,
        field: usize,
        observation: &'a Observation,
        client: Option<IpAddr>,
    ) -> FieldValue<'a> {
        self.readers[field].value_of(observation, client)
    }

    /// Returns the index of what `join` makes of the parts; one alone is itself.
    fn joined(&mut self, parts: Vec<usize>, join: fn(Vec<usize>) -> Condition) -> usize {
        if let [one] = parts[..] { one } else { self.index(join(parts)) }
    }

    fn index(&mut self, condition: Condition) -> usize {
        *self.indexes.entry(condition).or_insert_with_key(|condition| {
            self.conditions.push(condition.clone());
            self.conditions.len() - 1
        })
    }
}

impl Expression {
    /// Returns whether the condition holds for `observation`, sent by `client`. A matcher asks many conditions at once.
    #[must_use]
    pub fn holds(&self, observation: &Observation, client: Option<IpAddr>) -> bool {
        let mut conditions = Conditions::default();
        let index = conditions.index_of(self);
        Evaluation::new(&conditions, observation, client).holds(index)
    }
}

/// The conditions of one request, as one client's. Results and values are kept once they are known.
pub(super) struct Evaluation<'a> {
    conditions: &'a Conditions,
    pub(super) observation: &'a Observation,
    /// The address that counts as the sender.
    pub(super) client: Option<IpAddr>,
    results: Vec<Option<bool>>,
    values: Vec<Option<FieldValue<'a>>>,
}

impl<'a> Evaluation<'a> {
    /// Returns an evaluation of `observation` as a request of `client`, with nothing evaluated yet.
    pub(super) fn new(
        conditions: &'a Conditions,
        observation: &'a Observation,
        client: Option<IpAddr>,
    ) -> Evaluation<'a> {
        Evaluation {
            conditions,
            observation,
            client,
            results: vec![None; conditions.conditions.len()],
            values: vec![None; conditions.fields.len()],
        }
    }

    /// Returns whether the condition at this index holds.
    #[inline]
    pub(super) fn holds(&mut self, index: usize) -> bool {
        match self.results[index] {
            Some(result) => result,
            None => self.evaluate(index),
        }
    }

    fn evaluate(&mut self, index: usize) -> bool {
        let conditions = self.conditions;
        let result = match &conditions.conditions[index] {
            Condition::And(parts) => parts.iter().all(|part| self.holds(*part)),
            Condition::Or(parts) => parts.iter().any(|part| self.holds(*part)),
            Condition::Not(part) => !self.holds(*part),
            Condition::Since(time) => self.observation.first >= *time,
            Condition::Is { field, patterns, all } => {
                let mut fits = self.fits(*field);
                let mut patterns = patterns.iter();
                if *all { patterns.all(&mut fits) } else { patterns.any(&mut fits) }
            }
        };
        self.results[index] = Some(result);
        result
    }

    /// Returns the value that the comparison at this index looks at, and for each of its patterns whether it fits.
    pub(super) fn compared(&mut self, index: usize) -> (FieldValue<'a>, Vec<bool>) {
        let Condition::Is { field, patterns, .. } = &self.conditions.conditions[index] else {
            return (FieldValue::Missing, Vec::new());
        };
        let fits = patterns.iter().map(self.fits(*field)).collect();
        (self.value_of(*field).clone(), fits)
    }

    /// Returns the check whether a pattern fits the value of a field.
    #[inline]
    fn fits(&mut self, field: usize) -> impl FnMut(&Pattern) -> bool + use<'_, 'a> {
        let (observation, client) = (self.observation, self.client);
        let value = self.value_of(field);
        move |pattern| pattern.fits(value, observation, client)
    }

    /// Returns the value of a field.
    pub(super) fn value_of(&mut self, field: usize) -> &FieldValue<'a> {
        let (conditions, observation, client) = (self.conditions, self.observation, self.client);
        self.values[field].get_or_insert_with(|| conditions.read(field, observation, client))
    }
}
