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
    /// Aggregates of the rows that are equal in these; of all rows where there are none.
    Summarize(Vec<Aggregate>, Vec<Scalar>),
}

/// An aggregate over rows.
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
            Self::Summarize(aggregates, groups) => summarize(&rows, aggregates, groups),
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

/// Returns a row for each group, and one even of no rows where there are no groups. The groups come first in it.
fn summarize(rows: &[Row], aggregates: &[Aggregate], groups: &[Scalar]) -> Vec<Row> {
    let mut grouped: Vec<(Vec<Cell>, Vec<Row>)> = Vec::new();
    if groups.is_empty() {
        grouped.push((Vec::new(), Vec::new()));
    }
    for row in rows {
        let key: Vec<Cell> = groups.iter().map(|group| group.of(row)).collect();
        match grouped.iter_mut().find(|(known, _)| *known == key) {
            Some((_, of_group)) => of_group.push(row.clone()),
            None => grouped.push((key, vec![row.clone()])),
        }
    }
    let summary = |(key, rows): (Vec<Cell>, Vec<Row>)| {
        key.into_iter().chain(aggregates.iter().map(|aggregate| aggregate.of(&rows))).collect()
    };
    grouped.into_iter().map(summary).collect()
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
