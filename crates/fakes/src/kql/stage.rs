//! The tabular operators, over rows.

use std::cmp::Ordering;

use super::scalar::{Scalar, order};
use super::value::{Cell, Row};

/// An operator with checked expressions.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Stage {
    Where(Scalar),
    /// Columns to set: those behind the last one are new.
    Extend(Vec<(usize, Scalar)>),
    Project(Vec<Scalar>),
    Take(usize),
    /// Ascending by these.
    Sort(Vec<Scalar>),
    Summarize(Vec<Aggregate>),
}

/// An aggregate over all rows.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Aggregate {
    Count,
    Max(Scalar),
}

impl Stage {
    pub(super) fn run(&self, mut rows: Vec<Row>) -> Vec<Row> {
        match self {
            Self::Where(condition) => {
                rows.retain(|row| condition.truth(row) == Some(true));
                rows
            }
            Self::Extend(columns) => rows.iter().map(|row| extend(row, columns)).collect(),
            Self::Project(columns) => {
                rows.iter().map(|row| columns.iter().map(|column| column.of(row)).collect()).collect()
            }
            Self::Take(count) => {
                rows.truncate(*count);
                rows
            }
            Self::Sort(keys) => {
                rows.sort_by(|left, right| {
                    let compared = keys.iter().map(|key| with_nulls(&key.of(left), &key.of(right)));
                    compared.fold(Ordering::Equal, Ordering::then)
                });
                rows
            }
            Self::Summarize(aggregates) => vec![aggregates.iter().map(|aggregate| aggregate.of(&rows)).collect()],
        }
    }
}

fn extend(row: &[Cell], columns: &[(usize, Scalar)]) -> Row {
    let mut values = row.to_vec();
    for (index, column) in columns {
        let value = column.of(row);
        match values.get_mut(*index) {
            Some(old) => *old = value,
            None => values.push(value),
        }
    }
    values.into()
}

/// Nulls come first in ascending order.
fn with_nulls(left: &Cell, right: &Cell) -> Ordering {
    match (left == &Cell::Null, right == &Cell::Null) {
        (false, false) => order(left, right).unwrap_or(Ordering::Equal),
        (left, right) => right.cmp(&left),
    }
}

impl Aggregate {
    fn of(&self, rows: &[Row]) -> Cell {
        match self {
            Self::Count => i64::try_from(rows.len()).map_or(Cell::Null, Cell::Long),
            Self::Max(scalar) => {
                let values = rows.iter().map(|row| scalar.of(row)).filter(|value| *value != Cell::Null);
                let greatest = values.reduce(|best, next| match order(&next, &best) {
                    Some(Ordering::Greater) => next,
                    _ => best,
                });
                greatest.unwrap_or(Cell::Null)
            }
        }
    }
}
