//! The tabular operators, over rows.

use std::cmp::Ordering;

use super::scalar::{Scalar, order};
use super::syntax::Direction;
use super::value::{Cell, Row};

/// An operator with checked expressions.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Stage {
    Where(Scalar),
    /// Columns to set: those behind the last one are new.
    Extend(Vec<(usize, Scalar)>),
    Project(Vec<Scalar>),
    Take(usize),
    Sort(Vec<(Scalar, Direction)>),
    Count,
    Summarize {
        by: Vec<Scalar>,
        aggregates: Vec<Aggregate>,
    },
}

/// An aggregate over the rows of a group.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Aggregate {
    Count,
    CountIf(Scalar),
    Max(Scalar),
    Min(Scalar),
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
                rows.sort_by_cached_key(|row| Keys(keys.iter().map(|(key, by)| (key.of(row), *by)).collect()));
                rows
            }
            Self::Count => vec![[count(rows.len())].into()],
            Self::Summarize { by, aggregates } => summarize(&rows, by, aggregates),
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

/// The keys that a row is sorted by.
struct Keys(Vec<(Cell, Direction)>);

impl Ord for Keys {
    fn cmp(&self, other: &Self) -> Ordering {
        let compared = self.0.iter().zip(&other.0).map(|((left, by), (right, _))| {
            let ordering = with_nulls(left, right);
            if *by == Direction::Descending { ordering.reverse() } else { ordering }
        });
        compared.fold(Ordering::Equal, Ordering::then)
    }
}

impl PartialOrd for Keys {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Keys {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Keys {}

/// Nulls come first in ascending order, and so last in descending.
fn with_nulls(left: &Cell, right: &Cell) -> Ordering {
    match (left == &Cell::Null, right == &Cell::Null) {
        (false, false) => order(left, right).unwrap_or(Ordering::Equal),
        (left, right) => right.cmp(&left),
    }
}

fn count(number: usize) -> Cell {
    i64::try_from(number).map_or(Cell::Null, Cell::Long)
}

/// Returns one row per group, in the order of their first rows; without `by` there is always exactly one.
fn summarize(rows: &[Row], by: &[Scalar], aggregates: &[Aggregate]) -> Vec<Row> {
    let mut groups: Vec<(Vec<Cell>, Vec<&Row>)> =
        if by.is_empty() { vec![(Vec::new(), Vec::new())] } else { Vec::new() };
    for row in rows {
        let key: Vec<Cell> = by.iter().map(|part| part.of(row)).collect();
        match groups.iter_mut().find(|(known, _)| *known == key) {
            Some((_, members)) => members.push(row),
            None => groups.push((key, vec![row])),
        }
    }
    let finish = |(mut values, members): (Vec<Cell>, Vec<&Row>)| {
        values.extend(aggregates.iter().map(|aggregate| aggregate.of(&members)));
        values.into()
    };
    groups.into_iter().map(finish).collect()
}

impl Aggregate {
    fn of(&self, rows: &[&Row]) -> Cell {
        let best = |scalar: &Scalar, wanted: Ordering| {
            let values = rows.iter().map(|row| scalar.of(row)).filter(|value| *value != Cell::Null);
            values.reduce(|best, next| if order(&next, &best) == Some(wanted) { next } else { best })
        };
        match self {
            Self::Count => count(rows.len()),
            Self::CountIf(condition) => count(rows.iter().filter(|row| condition.truth(row) == Some(true)).count()),
            Self::Max(scalar) => best(scalar, Ordering::Greater).unwrap_or(Cell::Null),
            Self::Min(scalar) => best(scalar, Ordering::Less).unwrap_or(Cell::Null),
        }
    }
}
