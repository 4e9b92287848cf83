//! The parser: `and` binds closer than `or`, and comparisons closer than both. They do not chain.
//! <https://learn.microsoft.com/en-us/kusto/query/tabular-expression-statements>

use super::KqlError;
use super::syntax::{Comparison, Expression, Named, Operator, Pipeline, Relation, TextTest};
use super::token::{Token, Word, syntax_error, unsupported, words};
use super::value::{Cell, ColumnType};
use crate::expression::joined;

/// Most nested parentheses and calls: the parser recurses, and the stack is limited.
const DEPTH_MAX: usize = 64;
/// Most members and indexes after one value: evaluation recurses through them.
const PATH_STEPS_MAX: usize = 8;

/// Operators and statements of Kusto that this fake does not support.
const OTHER_OPERATORS: [&str; 31] = [
    "as",
    "consume",
    "count",
    "distinct",
    "evaluate",
    "externaldata",
    "facet",
    "find",
    "fork",
    "getschema",
    "invoke",
    "join",
    "lookup",
    "make-series",
    "mv-apply",
    "mv-expand",
    "parse",
    "parse-kv",
    "parse-where",
    "partition",
    "print",
    "project-away",
    "project-keep",
    "project-rename",
    "project-reorder",
    "reduce",
    "render",
    "sample",
    "search",
    "top",
    "union",
];

const TEXT_TESTS: [(&str, Relation, bool); 4] = [
    ("contains", Relation::Contains, true),
    ("contains_cs", Relation::Contains, false),
    ("endswith", Relation::EndsWith, true),
    ("has", Relation::Has, true),
];

const OTHER_TESTS: [&str; 14] = [
    "between",
    "endswith_cs",
    "has_all",
    "has_any",
    "has_any_index",
    "has_cs",
    "hasprefix",
    "hassuffix",
    "in",
    "like",
    "matches",
    "notlike",
    "startswith",
    "startswith_cs",
];

const COMPARISONS: [(&str, Comparison); 5] = [
    ("==", Comparison::Equal),
    ("!=", Comparison::NotEqual),
    ("<", Comparison::Less),
    (">", Comparison::Greater),
    (">=", Comparison::GreaterOrEqual),
];

/// Words that name no column.
const KEYWORDS: [&str; 8] = ["and", "or", "by", "in", "asc", "desc", "contains", "has"];

/// Parses a whole query.
pub(super) fn pipeline(text: &str) -> Result<Pipeline, KqlError> {
    let mut parser = Parser { text, words: words(text)?, next: 0, depth: 0 };
    if let Token::Name(name) = parser.peek() {
        if matches!(name.as_str(), "let" | "set" | "declare" | "alias" | "restrict" | "pattern") {
            return Err(unsupported("statements before the query"));
        }
        if OTHER_OPERATORS.contains(&name.as_str()) && !matches!(parser.peek_after(), Token::Sign("|") | Token::End) {
            return Err(unsupported(&format!("the operator {name}")));
        }
    }
    let table = parser.name("a table")?;
    let mut stages = Vec::new();
    while parser.took("|") {
        stages.push(parser.operator()?);
    }
    match parser.peek() {
        Token::End => Ok(Pipeline { table, stages }),
        _ => Err(parser.wanted("'|' or the end")),
    }
}

struct Parser<'t> {
    text: &'t str,
    /// Ends with [`Token::End`], which is never passed.
    words: Vec<Word>,
    next: usize,
    depth: usize,
}

impl Parser<'_> {
    fn operator(&mut self) -> Result<Operator, KqlError> {
        let Token::Name(name) = self.peek().clone() else {
            return Err(self.wanted("an operator such as where"));
        };
        if OTHER_OPERATORS.contains(&name.as_str()) {
            return Err(unsupported(&format!("the operator {name}")));
        }
        let operators = ["where", "extend", "project", "take", "sort", "summarize"];
        if !operators.contains(&name.as_str()) {
            return Err(self.wanted("an operator such as where"));
        }
        self.advance();
        match name.as_str() {
            "where" => self.any().map(Operator::Where),
            "extend" => self.list(Self::named).map(Operator::Extend),
            "project" => self.list(Self::named).map(Operator::Project),
            "take" => self.rows().map(Operator::Take),
            "sort" => {
                self.expect_name("by")?;
                self.list(Self::ascending).map(Operator::Sort)
            }
            _ => {
                let aggregates = self.list(Self::named)?;
                let groups = if self.took_name("by") { self.list(Self::named)? } else { Vec::new() };
                Ok(Operator::Summarize(aggregates, groups))
            }
        }
    }

    fn rows(&mut self) -> Result<i64, KqlError> {
        let Token::Long(rows) = *self.peek() else {
            return Err(self.wanted("a number of rows"));
        };
        self.advance();
        Ok(rows)
    }

    fn named(&mut self) -> Result<Named, KqlError> {
        let is_assigned = *self.peek_after() == Token::Sign("=");
        let name = if is_assigned { Some(self.name("a name of a column")?) } else { None };
        if is_assigned {
            self.advance();
        }
        Ok(Named { name, expression: self.any()? })
    }

    fn ascending(&mut self) -> Result<Expression, KqlError> {
        let expression = self.any()?;
        if !self.took_name("asc") || self.is_name("nulls") {
            return Err(unsupported("other orders than asc"));
        }
        Ok(expression)
    }

    fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Result<T, KqlError>) -> Result<Vec<T>, KqlError> {
        let mut items = vec![item(self)?];
        while self.took(",") {
            items.push(item(self)?);
        }
        Ok(items)
    }

    fn any(&mut self) -> Result<Expression, KqlError> {
        self.deeper(|parser| {
            let mut parts = vec![parser.all()?];
            while parser.took_name("or") {
                parts.push(parser.all()?);
            }
            Ok(joined(parts, Expression::Any))
        })
    }

    fn all(&mut self) -> Result<Expression, KqlError> {
        let mut parts = vec![self.test()?];
        while self.took_name("and") {
            parts.push(self.test()?);
        }
        Ok(joined(parts, Expression::All))
    }

    fn test(&mut self) -> Result<Expression, KqlError> {
        let left = self.operand()?;
        let test = match self.peek().clone() {
            Token::Sign("=~") => self.text_test(left, Relation::Equals, true),
            Token::Sign(sign) => match COMPARISONS.into_iter().find(|(known, _)| *known == sign) {
                Some((_, comparison)) => {
                    self.advance();
                    Ok(Expression::Compare(comparison, left.into(), self.operand()?.into()))
                }
                None => return Ok(left),
            },
            Token::Name(name) if name == "in~" => self.in_list(left),
            Token::Name(name) if OTHER_TESTS.contains(&name.as_str()) => {
                Err(unsupported(&format!("the operator {name}")))
            }
            Token::Name(name) => match TEXT_TESTS.into_iter().find(|(known, ..)| *known == name) {
                Some((_, relation, ignores_case)) => self.text_test(left, relation, ignores_case),
                None => return Ok(left),
            },
            _ => return Ok(left),
        }?;
        if self.begins_test() {
            return Err(self.wanted("'and', 'or' or parentheses around the first comparison"));
        }
        Ok(test)
    }

    fn begins_test(&self) -> bool {
        match self.peek() {
            Token::Sign(sign) => *sign == "=~" || COMPARISONS.iter().any(|(known, _)| known == sign),
            Token::Name(name) => name == "in~" || TEXT_TESTS.iter().any(|(known, ..)| known == name),
            _ => false,
        }
    }

    fn text_test(&mut self, left: Expression, relation: Relation, ignores_case: bool) -> Result<Expression, KqlError> {
        self.advance();
        let right = self.operand()?;
        Ok(Expression::Text(TextTest { relation, ignores_case }, left.into(), right.into()))
    }

    fn in_list(&mut self, left: Expression) -> Result<Expression, KqlError> {
        self.advance();
        self.expect("(")?;
        let list = self.list(Self::any)?;
        self.expect(")")?;
        Ok(Expression::In(left.into(), list))
    }

    fn operand(&mut self) -> Result<Expression, KqlError> {
        let mut operand = self.primary()?;
        for _ in 0..=PATH_STEPS_MAX {
            if self.took(".") {
                let name = self.name("a name of a member")?;
                operand = Expression::Member(operand.into(), name);
            } else if self.took("[") {
                let Token::Text(name) = self.peek().clone() else {
                    return Err(unsupported("indexes that are not texts"));
                };
                self.advance();
                self.expect("]")?;
                operand = Expression::Member(operand.into(), name);
            } else {
                return Ok(operand);
            }
        }
        Err(self.wanted("a shorter path"))
    }

    fn primary(&mut self) -> Result<Expression, KqlError> {
        let literal = match self.peek().clone() {
            Token::Text(text) => Expression::Literal(Cell::text(&text), ColumnType::String),
            Token::Long(number) => Expression::Literal(Cell::Long(number), ColumnType::Long),
            Token::DateTime(moment) => Expression::Literal(Cell::DateTime(moment), ColumnType::DateTime),
            Token::Dynamic(json) => Expression::Literal(Cell::dynamic(json), ColumnType::Dynamic),
            Token::Name(_) if *self.peek_after() == Token::Sign("(") => return self.call(),
            Token::Name(_) => return self.name("a value").map(Expression::Name),
            Token::Sign("(") => {
                self.advance();
                let inner = self.any()?;
                self.expect(")")?;
                return Ok(inner);
            }
            _ => return Err(self.wanted("a value")),
        };
        self.advance();
        Ok(literal)
    }

    fn call(&mut self) -> Result<Expression, KqlError> {
        let name = self.name("a function")?;
        self.expect("(")?;
        if self.took(")") {
            return Ok(Expression::Call(name, Vec::new()));
        }
        let arguments = self.list(Self::any)?;
        self.expect(")")?;
        Ok(Expression::Call(name, arguments))
    }

    fn deeper<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T, KqlError>) -> Result<T, KqlError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.wanted("fewer nested parentheses"));
        }
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    fn name(&mut self, wanted: &str) -> Result<String, KqlError> {
        let name = match self.peek() {
            Token::Name(name) if !KEYWORDS.contains(&name.as_str()) => name.clone(),
            _ => return Err(self.wanted(wanted)),
        };
        self.advance();
        Ok(name)
    }

    fn is_name(&self, name: &str) -> bool {
        matches!(self.peek(), Token::Name(found) if found == name)
    }

    fn took_name(&mut self, name: &str) -> bool {
        let is_there = self.is_name(name);
        if is_there {
            self.advance();
        }
        is_there
    }

    fn expect_name(&mut self, name: &str) -> Result<(), KqlError> {
        if self.took_name(name) { Ok(()) } else { Err(self.wanted(&format!("'{name}'"))) }
    }

    fn took(&mut self, sign: &'static str) -> bool {
        let is_there = *self.peek() == Token::Sign(sign);
        if is_there {
            self.advance();
        }
        is_there
    }

    fn expect(&mut self, sign: &'static str) -> Result<(), KqlError> {
        if self.took(sign) { Ok(()) } else { Err(self.wanted(&format!("'{sign}'"))) }
    }

    fn peek(&self) -> &Token {
        self.word(self.next).map_or(&Token::End, |word| &word.token)
    }

    fn peek_after(&self) -> &Token {
        self.word(self.next + 1).map_or(&Token::End, |word| &word.token)
    }

    fn word(&self, index: usize) -> Option<&Word> {
        self.words.get(index)
    }

    fn advance(&mut self) {
        self.next += 1;
    }

    fn wanted(&self, wanted: &str) -> KqlError {
        let begin = self.word(self.next).map_or(self.text.len(), |word| word.at);
        let end = self.word(self.next + 1).map_or(self.text.len(), |word| word.at);
        let token = self.text.get(begin..end).unwrap_or_default().trim();
        syntax_error(self.text, begin, token, wanted)
    }
}
