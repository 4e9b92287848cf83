//! The syntax tree of a query, before its names are resolved.

use super::value::{Cell, ColumnType};
use crate::expression::Comparison;

/// A table and its operators, in order.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pipeline {
    pub(super) table: String,
    pub(super) stages: Vec<Operator>,
}

/// A tabular operator.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Operator {
    Where(Expression),
    Extend(Vec<Named>),
    Project(Vec<Named>),
    Take(i64),
    Sort(Vec<(Expression, Direction)>),
    Count,
    Summarize { aggregates: Vec<Named>, by: Vec<Named> },
}

/// An expression, and the name of its column if there is one.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Named {
    pub(super) name: Option<String>,
    pub(super) expression: Expression,
}

/// The order of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Ascending,
    Descending,
}

/// A scalar expression.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expression {
    Literal(Cell, ColumnType),
    Name(String),
    /// A member of a dynamic value by name.
    Member(Box<Expression>, String),
    /// An item of a dynamic array; a negative index counts from the end.
    Item(Box<Expression>, i64),
    Call(String, Vec<Expression>),
    Any(Vec<Expression>),
    All(Vec<Expression>),
    Compare(Comparison, Box<Expression>, Box<Expression>),
    Text(TextTest, Box<Expression>, Box<Expression>),
    In {
        test: InTest,
        left: Box<Expression>,
        list: Vec<Expression>,
    },
}

/// A test of one text by another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TextTest {
    pub(super) relation: Relation,
    pub(super) ignores_case: bool,
    pub(super) is_negated: bool,
}

/// A relation between two texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    Equals,
    Contains,
    StartsWith,
    EndsWith,
    Has,
}

/// A test by a list of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InTest {
    pub(super) ignores_case: bool,
    pub(super) is_negated: bool,
}

impl Operator {
    /// Returns its keyword.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Where(_) => "where",
            Self::Extend(_) => "extend",
            Self::Project(_) => "project",
            Self::Take(_) => "take",
            Self::Sort(_) => "sort",
            Self::Count => "count",
            Self::Summarize { .. } => "summarize",
        }
    }
}
