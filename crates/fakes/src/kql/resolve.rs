//! Resolves the names of an operator and checks its types, with the error messages of the cloud where they are known.
//!
//! The fake is stricter than the cloud in two ways: a dynamic value must be converted before a comparison, and a
//! computed column needs a name.

use super::KqlError;
use super::function::{Function, Takes};
use super::scalar::Scalar;
use super::stage::{Aggregate, Stage};
use super::syntax::{Comparison, Expression, Named, Operator, Relation, TextTest};
use super::token::unsupported;
use super::value::{Column, ColumnType};

/// Checks an operator against its input columns, and replaces these with its output columns.
pub(super) fn stage(operator: Operator, columns: &mut Vec<Column>) -> Result<Stage, KqlError> {
    let scope = Scope { operator: operator.name(), columns };
    match operator {
        Operator::Where(condition) => scope.condition(&condition).map(Stage::Where),
        Operator::Extend(named) => {
            let extended = scope.extend(named)?;
            let stage = Stage::Extend(extended.iter().map(|(index, _, scalar)| (*index, scalar.clone())).collect());
            for (index, column, _) in extended {
                match columns.get_mut(index) {
                    Some(old) => *old = column,
                    None => columns.push(column),
                }
            }
            Ok(stage)
        }
        Operator::Project(named) => {
            let (projected, scalars) = scope.named(named)?;
            *columns = projected;
            Ok(Stage::Project(scalars))
        }
        Operator::Take(rows) => usize::try_from(rows).map(Stage::Take).map_err(|_| unsupported("so many rows")),
        Operator::Sort(keys) => keys.iter().map(|key| scope.sort_key(key)).collect::<Result<_, _>>().map(Stage::Sort),
        Operator::Summarize(aggregates, groups) => {
            if groups.iter().any(|group| !matches!(group.expression, Expression::Name(_))) {
                return Err(unsupported("groups by anything but columns"));
            }
            let (mut summarized, groups) = scope.named(groups)?;
            let aggregates = aggregates.into_iter().map(|aggregate| scope.aggregate(aggregate));
            let (added, aggregates): (Vec<_>, Vec<_>) = aggregates.collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
            for column in added {
                scope.add(&mut summarized, column)?;
            }
            *columns = summarized;
            Ok(Stage::Summarize(aggregates, groups))
        }
    }
}

struct Scope<'c> {
    operator: &'static str,
    columns: &'c [Column],
}

impl Scope<'_> {
    fn condition(&self, expression: &Expression) -> Result<Scalar, KqlError> {
        let (scalar, kind) = self.scalar(expression)?;
        if kind == ColumnType::Bool { Ok(scalar) } else { Err(self.wrong_type(kind, "bool")) }
    }

    /// Several expressions of one `extend` do not see each other.
    fn extend(&self, named: Vec<Named>) -> Result<Vec<(usize, Column, Scalar)>, KqlError> {
        let mut extended: Vec<(usize, Column, Scalar)> = Vec::new();
        let mut added = self.columns.len();
        for named in named {
            let (column, scalar) = self.column(named)?;
            if extended.iter().any(|(_, other, _)| other.name == column.name) {
                return Err(self.twice(&column.name));
            }
            let index = self.index(&column.name).unwrap_or(added);
            added += usize::from(index == added);
            extended.push((index, column, scalar));
        }
        Ok(extended)
    }

    fn named(&self, named: Vec<Named>) -> Result<(Vec<Column>, Vec<Scalar>), KqlError> {
        let (mut columns, mut scalars) = (Vec::new(), Vec::new());
        for named in named {
            let (column, scalar) = self.column(named)?;
            self.add(&mut columns, column)?;
            scalars.push(scalar);
        }
        Ok((columns, scalars))
    }

    fn add(&self, columns: &mut Vec<Column>, column: Column) -> Result<(), KqlError> {
        if columns.iter().any(|other| other.name == column.name) {
            return Err(self.twice(&column.name));
        }
        columns.push(column);
        Ok(())
    }

    fn column(&self, named: Named) -> Result<(Column, Scalar), KqlError> {
        let (scalar, kind) = self.scalar(&named.expression)?;
        let own = match named.expression {
            Expression::Name(name) => Some(name),
            _ => None,
        };
        let name = named.name.or(own).ok_or_else(|| unsupported("computed columns without a name"))?;
        Ok((Column { name, kind }, scalar))
    }

    fn sort_key(&self, key: &Expression) -> Result<Scalar, KqlError> {
        let (scalar, kind) = self.scalar(key)?;
        if kind == ColumnType::Dynamic { Err(self.wrong_type(kind, "a type with an order")) } else { Ok(scalar) }
    }

    fn aggregate(&self, named: Named) -> Result<(Column, Aggregate), KqlError> {
        let Expression::Call(function, arguments) = &named.expression else {
            return Err(unsupported("aggregates other than one function each"));
        };
        let (kind, aggregate) = match (function.as_str(), arguments.as_slice()) {
            ("count", []) => (ColumnType::Long, Aggregate::Count),
            ("max", [value]) => {
                let (scalar, kind) = self.scalar(value)?;
                if matches!(kind, ColumnType::Dynamic | ColumnType::String) {
                    return Err(unsupported("max of dynamic values and texts"));
                }
                (kind, Aggregate::Max(scalar))
            }
            ("count" | "max", _) => return Err(wrong_count(function)),
            _ => return Err(unsupported(&format!("the aggregate {function}"))),
        };
        let name = named.name.ok_or_else(|| unsupported("aggregates without a name"))?;
        Ok((Column { name, kind }, aggregate))
    }

    fn scalar(&self, expression: &Expression) -> Result<(Scalar, ColumnType), KqlError> {
        match expression {
            Expression::Literal(value, kind) => Ok((Scalar::Literal(value.clone()), *kind)),
            Expression::Name(name) => {
                let index = self.index(name).ok_or_else(|| self.unresolved(name))?;
                Ok((Scalar::Column(index), self.columns[index].kind))
            }
            Expression::Member(inner, name) => {
                let inner = self.dynamic(inner)?;
                Ok((Scalar::Member(inner.into(), name.clone()), ColumnType::Dynamic))
            }
            Expression::Call(name, arguments) => self.call(name, arguments),
            Expression::Any(parts) => Ok((Scalar::Any(self.conditions(parts)?), ColumnType::Bool)),
            Expression::All(parts) => Ok((Scalar::All(self.conditions(parts)?), ColumnType::Bool)),
            Expression::Compare(comparison, left, right) => self.compare(*comparison, left, right),
            Expression::Text(test, left, right) => self.text(*test, left, right),
            Expression::In(left, list) => self.in_list(left, list),
        }
    }

    fn conditions(&self, parts: &[Expression]) -> Result<Vec<Scalar>, KqlError> {
        parts.iter().map(|part| self.condition(part)).collect()
    }

    fn dynamic(&self, expression: &Expression) -> Result<Scalar, KqlError> {
        let (scalar, kind) = self.scalar(expression)?;
        if kind == ColumnType::Dynamic { Ok(scalar) } else { Err(self.wrong_type(kind, "dynamic")) }
    }

    fn call(&self, name: &str, arguments: &[Expression]) -> Result<(Scalar, ColumnType), KqlError> {
        let unknown = || match Function::is_other(name) {
            true => unsupported(&format!("the function {name}")),
            false => KqlError::Semantic { code: "SEM0260", message: format!("Unknown function: '{name}'.") },
        };
        let function = Function::named(name).ok_or_else(unknown)?;
        let takes = function.takes();
        let is_count_right = match function.takes_more() {
            true => arguments.len() >= takes.len(),
            false => arguments.len() == takes.len(),
        };
        if !is_count_right {
            return Err(wrong_count(name));
        }
        let takes = takes.iter().chain(takes.last().into_iter().cycle());
        let mut scalars = Vec::with_capacity(arguments.len());
        for (argument, takes) in arguments.iter().zip(takes) {
            let (scalar, kind) = self.scalar(argument)?;
            let fits = match takes {
                Takes::Anything => true,
                Takes::Only(wanted) => kind == *wanted,
                Takes::TextOrDynamic => matches!(kind, ColumnType::String | ColumnType::Dynamic),
            };
            if !fits {
                return Err(self.wrong_type(kind, &format!("what {name}() takes")));
            }
            scalars.push(scalar);
        }
        Ok((Scalar::Call(function, scalars), function.gives()))
    }

    fn compare(
        &self,
        comparison: Comparison,
        left: &Expression,
        right: &Expression,
    ) -> Result<(Scalar, ColumnType), KqlError> {
        let ((left, left_kind), (right, right_kind)) = (self.scalar(left)?, self.scalar(right)?);
        check_comparable(left_kind, right_kind)?;
        if comparison.is_order() && matches!(left_kind, ColumnType::Bool | ColumnType::String) {
            return Err(unsupported(&format!("the order of {left_kind} values")));
        }
        Ok((Scalar::Compare(comparison, left.into(), right.into()), ColumnType::Bool))
    }

    /// `has` and `contains` look into a dynamic value's text; the other tests want a text.
    fn text(&self, test: TextTest, left: &Expression, right: &Expression) -> Result<(Scalar, ColumnType), KqlError> {
        let ((left, left_kind), (right, right_kind)) = (self.scalar(left)?, self.scalar(right)?);
        let looks_inside = matches!(test.relation, Relation::Has | Relation::Contains);
        let fits = left_kind == ColumnType::String || (left_kind == ColumnType::Dynamic && looks_inside);
        if !fits || right_kind != ColumnType::String {
            return Err(incomparable(left_kind, right_kind));
        }
        Ok((Scalar::Text(test, left.into(), right.into()), ColumnType::Bool))
    }

    fn in_list(&self, left: &Expression, list: &[Expression]) -> Result<(Scalar, ColumnType), KqlError> {
        let (left, left_kind) = self.scalar(left)?;
        let mut scalars = Vec::with_capacity(list.len());
        for item in list {
            let (scalar, kind) = self.scalar(item)?;
            check_comparable(left_kind, kind)?;
            scalars.push(scalar);
        }
        if left_kind != ColumnType::String {
            return Err(self.wrong_type(left_kind, "string"));
        }
        Ok((Scalar::In(left.into(), scalars), ColumnType::Bool))
    }

    fn index(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    fn unresolved(&self, name: &str) -> KqlError {
        let operator = self.operator;
        let message = format!("'{operator}' operator: Failed to resolve column or scalar expression named '{name}'");
        KqlError::Semantic { code: "SEM0100", message }
    }

    fn twice(&self, name: &str) -> KqlError {
        let message = format!("'{}' operator: A column named '{name}' is there already", self.operator);
        KqlError::Semantic { code: "SEM0022", message }
    }

    fn wrong_type(&self, kind: ColumnType, wanted: &str) -> KqlError {
        let message = format!("'{}' operator: an expression of type {kind} where {wanted} is expected", self.operator);
        KqlError::Semantic { code: "SEM0085", message }
    }
}

fn wrong_count(function: &str) -> KqlError {
    let message = format!("{function}(): the number of arguments is wrong.");
    KqlError::Semantic { code: "SEM0219", message }
}

fn check_comparable(left: ColumnType, right: ColumnType) -> Result<(), KqlError> {
    if left != ColumnType::Dynamic && left == right { Ok(()) } else { Err(incomparable(left, right)) }
}

fn incomparable(left: ColumnType, right: ColumnType) -> KqlError {
    let message = format!("Cannot compare values of types {left} and {right}. Try adding explicit casts");
    KqlError::Semantic { code: "SEM0064", message }
}
