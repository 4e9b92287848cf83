//! Scalar expressions with resolved names and checked types, and their evaluation.
//!
//! A bool has three values. Null compares as the documentation says: it equals nothing, differs from everything but
//! null, and is neither less nor more. <https://learn.microsoft.com/en-us/kusto/query/scalar-data-types/null-values>

use std::cmp::Ordering;

use super::datetime::DateTime;
use super::function::Function;
use super::syntax::{Comparison, Relation, TextTest};
use super::text::holds;
use super::value::Cell;

/// An expression over the columns of a row.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scalar {
    Literal(Cell),
    Column(usize),
    Member(Box<Scalar>, String),
    Call(Function, Vec<Scalar>),
    Any(Vec<Scalar>),
    All(Vec<Scalar>),
    Compare(Comparison, Box<Scalar>, Box<Scalar>),
    Text(TextTest, Box<Scalar>, Box<Scalar>),
    In(Box<Scalar>, Vec<Scalar>),
}

impl Scalar {
    /// Evaluates it over a row.
    pub(super) fn of(&self, row: &[Cell]) -> Cell {
        match self {
            Self::Literal(value) => value.clone(),
            Self::Column(index) => row.get(*index).cloned().unwrap_or(Cell::Null),
            Self::Member(inner, name) => {
                let member = |json: &serde_json::Value| json.get(name).cloned();
                inner.of(row).json().and_then(member).map_or(Cell::Null, Cell::dynamic)
            }
            Self::Call(function, arguments) => {
                let arguments: Vec<Cell> = arguments.iter().map(|argument| argument.of(row)).collect();
                function.call(&arguments)
            }
            Self::Any(parts) => Cell::bool(any(parts.iter().map(|part| part.truth(row)))),
            Self::All(parts) => Cell::bool(not(any(parts.iter().map(|part| not(part.truth(row)))))),
            Self::Compare(comparison, left, right) => Cell::bool(compare(*comparison, &left.of(row), &right.of(row))),
            Self::Text(test, left, right) => {
                let (text, part) = (left.of(row).to_text(), right.of(row).to_text());
                Cell::bool(holds(test.relation, test.ignores_case, &text, &part))
            }
            Self::In(left, list) => {
                let text = left.of(row).to_text();
                let is_same = |item: &Scalar| holds(Relation::Equals, true, &text, &item.of(row).to_text());
                Cell::bool(any(list.iter().map(is_same)))
            }
        }
    }

    /// Evaluates a condition; `None` is null.
    pub(super) fn truth(&self, row: &[Cell]) -> Option<bool> {
        self.of(row).truth()
    }

    /// Returns whether it reads a column.
    pub(super) fn reads(&self, column: usize) -> bool {
        let read = |parts: &[Self]| parts.iter().any(|part| part.reads(column));
        match self {
            Self::Literal(_) => false,
            Self::Column(index) => *index == column,
            Self::Member(inner, _) => inner.reads(column),
            Self::Call(_, parts) | Self::Any(parts) | Self::All(parts) => read(parts),
            Self::Compare(_, left, right) | Self::Text(_, left, right) => left.reads(column) || right.reads(column),
            Self::In(left, list) => left.reads(column) || read(list),
        }
    }

    /// Returns the bounds of a column that a condition states directly, each as (at least, at most).
    pub(super) fn bounds_of(&self, column: usize) -> Vec<(Option<DateTime>, Option<DateTime>)> {
        match self {
            Self::All(parts) => parts.iter().flat_map(|part| part.bounds_of(column)).collect(),
            Self::Compare(comparison, left, right) if **left == Self::Column(column) => match (comparison, &**right) {
                (Comparison::GreaterOrEqual, Self::Literal(Cell::DateTime(at))) => vec![(Some(*at), None)],
                (Comparison::Less, Self::Literal(Cell::DateTime(at))) => vec![(None, Some(*at))],
                _ => Vec::new(),
            },
            _ => Vec::new(),
        }
    }
}

pub(super) fn not(truth: Option<bool>) -> Option<bool> {
    truth.map(|truth| !truth)
}

/// True where one is, else null where one is.
pub(super) fn any(truths: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut is_open = false;
    for truth in truths {
        match truth {
            Some(true) => return Some(true),
            Some(false) => {}
            None => is_open = true,
        }
    }
    if is_open { None } else { Some(false) }
}

fn compare(comparison: Comparison, left: &Cell, right: &Cell) -> Option<bool> {
    match (left, right) {
        (Cell::Null, Cell::Null) => None,
        (Cell::Null, _) | (_, Cell::Null) => match comparison {
            Comparison::Equal => Some(false),
            Comparison::NotEqual => Some(true),
            _ => None,
        },
        _ => order(left, right).map(|ordering| comparison.holds(ordering)),
    }
}

/// Orders two values that are not null and of types that compare.
pub(super) fn order(left: &Cell, right: &Cell) -> Option<Ordering> {
    match (left, right) {
        (Cell::Bool(left), Cell::Bool(right)) => Some(left.cmp(right)),
        (Cell::DateTime(left), Cell::DateTime(right)) => Some(left.cmp(right)),
        (Cell::Long(left), Cell::Long(right)) => Some(left.cmp(right)),
        (Cell::String(left), Cell::String(right)) => Some(left.cmp(right)),
        _ => None,
    }
}
