//! The syntax tree of a query, before its names are resolved.

use std::cmp::Ordering;

use super::value::{Cell, ColumnType};

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
    /// Ascending by these.
    Sort(Vec<Expression>),
    /// Aggregates, and the columns whose values they are grouped by.
    Summarize(Vec<Named>, Vec<Named>),
}

/// An expression, and the name of its column if there is one.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Named {
    pub(super) name: Option<String>,
    pub(super) expression: Expression,
}

/// A scalar expression.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expression {
    Literal(Cell, ColumnType),
    Name(String),
    /// A member of a dynamic value by name.
    Member(Box<Expression>, String),
    Call(String, Vec<Expression>),
    Any(Vec<Expression>),
    All(Vec<Expression>),
    Compare(Comparison, Box<Expression>, Box<Expression>),
    Text(TextTest, Box<Expression>, Box<Expression>),
    /// The text is one of these, ignoring case.
    In(Box<Expression>, Vec<Expression>),
}

/// A comparison of two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    Greater,
    GreaterOrEqual,
}

/// A test of one text by another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TextTest {
    pub(super) relation: Relation,
    pub(super) ignores_case: bool,
}

/// A relation between two texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    Equals,
    Contains,
    EndsWith,
    Has,
}

impl Comparison {
    /// Returns whether it compares by order, not by equality.
    pub(super) fn is_order(self) -> bool {
        !matches!(self, Self::Equal | Self::NotEqual)
    }

    /// Returns whether it holds for two values in this order.
    pub(super) fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Equal => ordering.is_eq(),
            Self::NotEqual => ordering.is_ne(),
            Self::Less => ordering.is_lt(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
        }
    }
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
            Self::Summarize(..) => "summarize",
        }
    }
}
