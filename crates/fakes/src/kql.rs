//! Parses, checks and evaluates the part of the Kusto Query Language that reads a table through filters.
//! <https://learn.microsoft.com/en-us/kusto/query/>
//!
//! It supports what Stakeout sends: the operators `where`, `extend`, `project`, `take`, `sort by ... asc` and `summarize` with
//! `count()` and `max()` by columns, a few comparisons and ten functions. It refuses everything else: as an error of syntax or meaning
//! if the cloud refuses it, and otherwise as unsupported. Where the documentation leaves open whether a row fits, the test is
//! null, so the row fits neither the test nor its negation: a client that relies on a guess loses rows here and not in
//! the cloud.

mod datetime;
mod function;
mod parse;
mod resolve;
mod row;
mod scalar;
mod stage;
mod syntax;
mod text;
mod token;
mod value;

#[cfg(test)]
mod tests;

use std::fmt;

pub use datetime::DateTime;
pub use row::{BadRow, read_row};
use stage::Stage;
pub use value::{Cell, Column, ColumnType, Dynamic, Row};

/// A query that was parsed, and checked against the columns of its table.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    table: String,
    stages: Vec<Stage>,
    /// The columns of the table, and of the answer.
    from: Vec<Column>,
    to: Vec<Column>,
}

/// Returns the names of the functions that are evaluated.
pub fn functions() -> impl Iterator<Item = &'static str> {
    function::FUNCTIONS.iter().map(|(name, _)| *name)
}

/// Why a query is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KqlError {
    /// It cannot be parsed.
    Syntax(SyntaxError),
    /// It uses an unknown name, or compares values that cannot be compared.
    Semantic {
        /// The error code of the cloud.
        code: &'static str,
        /// The error message of the cloud.
        message: String,
    },
    /// The cloud accepts it, or might; this fake does not support it.
    Unsupported(String),
}

/// Where and why a query cannot be parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// The line, from 1.
    pub line: usize,
    /// The character of the line, from 1.
    pub column: usize,
    /// The token there; empty at the end.
    pub token: String,
    /// What was expected instead.
    pub wanted: String,
}

impl Query {
    /// Parses a query, and checks it against the existing tables.
    ///
    /// # Errors
    ///
    /// If the query is invalid, does not fit the table, or needs something that this fake does not support.
    pub fn compile(text: &str, columns_of: impl Fn(&str) -> Option<Vec<Column>>) -> Result<Self, KqlError> {
        let pipeline = parse::pipeline(text)?;
        let from = columns_of(&pipeline.table).ok_or_else(|| {
            let name = &pipeline.table;
            let operator = pipeline.stages.first().map(|stage| format!("'{}' operator: ", stage.name()));
            let what = format!("Failed to resolve table or column expression named '{name}'");
            KqlError::Semantic { code: "SEM0100", message: operator.unwrap_or_default() + &what }
        })?;
        let mut to = from.clone();
        let stages =
            pipeline.stages.into_iter().map(|stage| resolve::stage(stage, &mut to)).collect::<Result<_, _>>()?;
        Ok(Self { table: pipeline.table, stages, from, to })
    }

    /// The table that it reads.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// The columns of its answer.
    pub fn columns(&self) -> &[Column] {
        &self.to
    }

    /// Evaluates it over the rows of its table.
    pub fn run(&self, rows: Vec<Row>) -> Vec<Row> {
        self.stages.iter().fold(rows, |rows, stage| stage.run(rows))
    }

    /// Returns the bounds of a column of the table, both included, as far as the first `where` operators state them
    /// directly.
    pub fn bounds_of(&self, column: &str) -> (Option<DateTime>, Option<DateTime>) {
        let Some(index) = self.index_of(column) else {
            return (None, None);
        };
        let filters = self.filters();
        let bounds = filters.flat_map(|filter| filter.bounds_of(index));
        bounds.fold((None, None), |(from, to), (at_least, at_most)| {
            (from.max(at_least), to.into_iter().chain(at_most).min())
        })
    }

    /// Returns whether one of its first `where` operators reads a column of the table.
    pub fn filters_on(&self, column: &str) -> bool {
        self.index_of(column).is_some_and(|index| self.filters().any(|filter| filter.reads(index)))
    }

    fn index_of(&self, column: &str) -> Option<usize> {
        self.from.iter().position(|known| known.name == column)
    }

    /// Returns the conditions of its `where` operators, up to the first operator that changes a column.
    fn filters(&self) -> impl Iterator<Item = &scalar::Scalar> {
        let keeps_columns = |stage: &&Stage| match stage {
            Stage::Where(_) => true,
            Stage::Extend(columns) => columns.iter().all(|(index, _)| *index >= self.from.len()),
            _ => false,
        };
        self.stages.iter().take_while(keeps_columns).filter_map(|stage| match stage {
            Stage::Where(condition) => Some(condition),
            _ => None,
        })
    }
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column, token, wanted } = self;
        write!(f, "Query could not be parsed at '{token}' on line [{line},{column}]; expected {wanted}")
    }
}

impl fmt::Display for KqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(error) => write!(f, "SYN0002: {error}"),
            Self::Semantic { code, message } => write!(f, "{code}: {message}"),
            Self::Unsupported(what) => write!(f, "this fake does not support {what}"),
        }
    }
}

impl std::error::Error for KqlError {}
