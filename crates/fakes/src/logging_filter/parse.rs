//! The parser of filters. `NOT` binds closest, then `OR`, then `AND`.

use std::sync::Arc;

use regex::Regex;

use super::check::{Check, Literal, flag, number};
use super::function::Function;
use super::schema::{FieldKind, severity, timestamp};
use super::{Expression, FILTER_CHARS_MAX, Field, FilterError};
use crate::expression::{Comparison, joined};
use crate::network::Network;
use crate::scanner::Scanner;

/// Most nested parentheses: the parser recurses, and the stack is limited.
const DEPTH_MAX: usize = 64;

/// Longest first, so that `<=` is not read as `<`.
const OPERATORS: [(&str, Operator); 9] = [
    ("!=", Operator::Compare(Comparison::NotEqual)),
    ("<=", Operator::Compare(Comparison::LessOrEqual)),
    (">=", Operator::Compare(Comparison::GreaterOrEqual)),
    ("=~", Operator::Matches),
    ("!~", Operator::MatchesNot),
    ("=", Operator::Compare(Comparison::Equal)),
    ("<", Operator::Compare(Comparison::Less)),
    (">", Operator::Compare(Comparison::Greater)),
    (":", Operator::Has),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Compare(Comparison),
    Has,
    Matches,
    MatchesNot,
}

/// The contents of parentheses: comparisons, or the values of one comparison.
#[derive(Clone, Copy, Debug)]
enum Inside<'f> {
    Filter,
    Values(&'f Arc<Field>, Operator),
}

/// Parses a whole filter.
pub(super) fn filter(text: &str) -> Result<Expression, FilterError> {
    if text.chars().count() > FILTER_CHARS_MAX {
        return Err(malformed(0, format!("at most {FILTER_CHARS_MAX} characters")));
    }
    let mut parser = Parser { scanner: Scanner::new(text), depth: 0 };
    parser.skip_spaces();
    if parser.scanner.peek().is_none() {
        return Ok(Expression::All(Vec::new()));
    }
    let whole = parser.all(Inside::Filter)?;
    match parser.scanner.peek() {
        None => Ok(whole),
        Some(_) => Err(parser.wanted("the end, or a '(' for this ')'")),
    }
}

struct Parser<'t> {
    scanner: Scanner<'t>,
    depth: usize,
}

impl<'t> Parser<'t> {
    /// Reads up to the end or to a closing parenthesis, with the spaces before it.
    fn all(&mut self, inside: Inside<'_>) -> Result<Expression, FilterError> {
        let mut parts = vec![self.any(inside)?];
        loop {
            let end = self.scanner.at;
            self.skip_spaces();
            match self.scanner.peek() {
                None | Some(')') => return Ok(joined(parts, Expression::All)),
                Some(_) if self.took_word("AND") || self.scanner.at > end => parts.push(self.any(inside)?),
                Some(_) => return Err(self.wanted("a space, or quotes around the whole text")),
            }
        }
    }

    fn any(&mut self, inside: Inside<'_>) -> Result<Expression, FilterError> {
        let mut parts = vec![self.factor(inside)?];
        loop {
            let end = self.scanner.at;
            self.skip_spaces();
            if !self.took_word("OR") {
                self.scanner.at = end;
                return Ok(joined(parts, Expression::Any));
            }
            parts.push(self.factor(inside)?);
        }
    }

    fn factor(&mut self, inside: Inside<'_>) -> Result<Expression, FilterError> {
        self.skip_spaces();
        let is_negated = if self.took_word("NOT") {
            self.skip_spaces();
            true
        } else {
            self.took_minus(inside)
        };
        let term = match inside {
            _ if self.scanner.peek() == Some('(') => self.parenthesised(inside)?,
            Inside::Filter => self.term()?,
            Inside::Values(field, operator) => self.value(field, operator)?,
        };
        Ok(if is_negated { Expression::Not(Box::new(term)) } else { term })
    }

    fn parenthesised(&mut self, inside: Inside<'_>) -> Result<Expression, FilterError> {
        self.scanner.at += 1;
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.wanted("fewer nested parentheses"));
        }
        let whole = self.all(inside)?;
        if self.scanner.peek() != Some(')') {
            return Err(self.wanted("')'"));
        }
        self.scanner.at += 1;
        self.depth -= 1;
        Ok(whole)
    }

    /// Reads a comparison, a function, or a text in any field.
    fn term(&mut self) -> Result<Expression, FilterError> {
        if self.scanner.peek() == Some('"') {
            return Ok(Expression::Anywhere(Literal::Text(self.quoted(Escapes::OfText)?)));
        }
        let start = self.scanner.at;
        if let Some(path) = self.path()? {
            if self.scanner.peek() == Some('(') {
                return self.call(&self.scanner.text[start..self.scanner.at]).map(Expression::Call);
            }
            let end = self.scanner.at;
            self.skip_spaces();
            if let Some((sign, operator)) =
                OPERATORS.into_iter().find(|(sign, _)| self.scanner.rest().starts_with(sign))
            {
                let field = Arc::new(field(path)?);
                self.scanner.at += sign.len();
                return self.comparison(&field, operator);
            }
            if self.scanner.text[start..end].contains('"') {
                return Err(self.wanted("an operator (= != < <= > >= : =~ !~)"));
            }
        }
        self.scanner.at = start;
        let word = self.unquoted()?;
        match word.as_str() {
            "AND" | "OR" | "NOT" => Err(malformed(start, "a comparison".to_owned())),
            _ => Ok(Expression::Anywhere(Literal::Text(word))),
        }
    }

    fn comparison(&mut self, field: &Arc<Field>, operator: Operator) -> Result<Expression, FilterError> {
        self.skip_spaces();
        match self.scanner.peek() {
            Some('*') if operator == Operator::Has => {
                self.scanner.at += 1;
                Ok(Expression::Test(Arc::clone(field), Check::Present))
            }
            Some('(') => self.parenthesised(Inside::Values(field, operator)),
            _ => self.value(field, operator),
        }
    }

    fn value(&mut self, field: &Arc<Field>, operator: Operator) -> Result<Expression, FilterError> {
        let start = self.scanner.at;
        let is_quoted = self.scanner.peek() == Some('"');
        let is_regex = matches!(operator, Operator::Matches | Operator::MatchesNot);
        if is_regex && !is_quoted {
            return Err(self.wanted("a regular expression in quotes"));
        }
        let text = if is_quoted {
            self.quoted(if is_regex { Escapes::OfRegex } else { Escapes::OfText })?
        } else {
            self.unquoted()?
        };
        let literal = match text.as_str() {
            "AND" | "OR" | "NOT" if !is_quoted => return Err(malformed(start, "a value".to_owned())),
            "NULL_VALUE" if !is_quoted => Literal::Null,
            _ => Literal::Text(text),
        };
        let check = check(field.kind, operator, literal).map_err(|refused| refused.at(start))?;
        Ok(Expression::Test(Arc::clone(field), check))
    }

    fn call(&mut self, name: &str) -> Result<Function, FilterError> {
        let name = name.to_owned();
        self.scanner.at += 1;
        let function = match name.as_str() {
            "log_id" => {
                let id = self.argument()?;
                if id.contains('%') {
                    return Err(FilterError::Unsupported("log_id of a log's encoded name is"));
                }
                Function::LogId(Literal::Text(id.replace('/', "%2F")))
            }
            "sample" => {
                let field = self.field_argument()?;
                let start = self.scanner.at;
                let fraction = number(&self.argument()?).filter(|fraction| (0.0..=1.0).contains(fraction));
                Function::Sample(field, fraction.ok_or_else(|| malformed(start, "a fraction from 0 to 1".to_owned()))?)
            }
            "ip_in_net" => {
                let field = self.field_argument()?;
                let start = self.scanner.at;
                let network = Network::parse(&self.argument()?);
                Function::IpInNet(field, network.ok_or_else(|| malformed(start, "a network".to_owned()))?)
            }
            _ => return Err(FilterError::Unsupported("functions but log_id, sample and ip_in_net are")),
        };
        self.skip_spaces();
        if self.scanner.peek() != Some(')') {
            return Err(self.wanted("')'"));
        }
        self.scanner.at += 1;
        Ok(function)
    }

    fn field_argument(&mut self) -> Result<Field, FilterError> {
        self.skip_spaces();
        let path = self.path()?.ok_or_else(|| self.wanted("a field"))?;
        let field = field(path)?;
        self.skip_spaces();
        if self.scanner.peek() != Some(',') {
            return Err(self.wanted("','"));
        }
        self.scanner.at += 1;
        Ok(field)
    }

    fn argument(&mut self) -> Result<String, FilterError> {
        self.skip_spaces();
        match self.scanner.peek() {
            Some('"') => self.quoted(Escapes::OfText),
            _ => self.unquoted(),
        }
    }

    /// Reads names with dots between them; after a dot a name may be quoted. Returns `None` and does not move if there
    /// is no path.
    fn path(&mut self) -> Result<Option<Vec<String>>, FilterError> {
        let start = self.scanner.at;
        let mut names = Vec::new();
        loop {
            let name = match self.scanner.peek() {
                Some('"') if !names.is_empty() => self.quoted(Escapes::OfText)?,
                Some(c) if c.is_ascii_alphabetic() || matches!(c, '_' | '@') => {
                    self.scanner.run(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '@')).to_owned()
                }
                _ => {
                    self.scanner.at = start;
                    return Ok(None);
                }
            };
            names.push(name);
            if self.scanner.peek() != Some('.') {
                return Ok(Some(names));
            }
            self.scanner.at += 1;
        }
    }

    fn quoted(&mut self, escapes: Escapes) -> Result<String, FilterError> {
        let mut text = String::new();
        let mut chars = self.scanner.rest().char_indices().skip(1);
        while let Some((offset, c)) = chars.next() {
            match c {
                '"' => {
                    self.scanner.at += offset + 1;
                    return Ok(text);
                }
                '\\' => match (chars.next().map(|(_, escaped)| escaped), escapes) {
                    (Some(escaped @ ('"' | '\\')), _) => text.push(escaped),
                    (Some('n'), Escapes::OfText) => text.push('\n'),
                    (Some('r'), Escapes::OfText) => text.push('\r'),
                    (Some('t'), Escapes::OfText) => text.push('\t'),
                    (Some('u'), Escapes::OfText) => {
                        let digits: String = chars.by_ref().take(4).map(|(_, digit)| digit).collect();
                        let is_whole = digits.len() == 4 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
                        let point = if is_whole { u32::from_str_radix(&digits, 16).ok() } else { None };
                        let escaped = point.and_then(char::from_u32);
                        text.push(
                            escaped.ok_or_else(|| self.wanted("four hexadecimal digits of a character after \\u"))?,
                        );
                    }
                    _ => return Err(self.wanted(escapes.wanted())),
                },
                plain => text.push(plain),
            }
        }
        Err(self.wanted("a closing '\"'"))
    }

    /// Reads a word of characters that certainly need no quotes, followed by the end of a word.
    fn unquoted(&mut self) -> Result<String, FilterError> {
        let start = self.scanner.at;
        let word = self.scanner.run(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '+')).to_owned();
        let is_odd = word.starts_with(['-', '+', '.']) && number(&word).is_none() || word.contains("--");
        match self.scanner.peek() {
            _ if word.is_empty() || is_odd => Err(malformed(start, "a word, a number or a quoted text".to_owned())),
            None | Some(')' | ',') => Ok(word),
            Some(c) if c.is_ascii_whitespace() => Ok(word),
            Some(_) => Err(malformed(start, "quotes around a text with special characters".to_owned())),
        }
    }

    /// Takes a word in capitals, if it is a whole word.
    fn took_word(&mut self, word: &str) -> bool {
        let Some(after) = self.scanner.rest().strip_prefix(word) else {
            return false;
        };
        let is_alone = after.chars().next().is_none_or(|c| c.is_ascii_whitespace() || matches!(c, '(' | '"' | '-'));
        if is_alone {
            self.scanner.at += word.len();
        }
        is_alone
    }

    /// Takes a minus that negates. Among values, a minus before a digit belongs to the number.
    fn took_minus(&mut self, inside: Inside<'_>) -> bool {
        let Some(after) = self.scanner.rest().strip_prefix('-') else {
            return false;
        };
        let is_sign = matches!(inside, Inside::Values(..)) && after.starts_with(|c: char| c.is_ascii_digit());
        self.scanner.at += usize::from(!is_sign);
        !is_sign
    }

    /// Skips white space, and comments from `--` to the end of their line.
    fn skip_spaces(&mut self) {
        self.scanner.run(|c| c.is_ascii_whitespace());
        while self.scanner.rest().starts_with("--") {
            self.scanner.run(|c| c != '\n');
            self.scanner.run(|c| c.is_ascii_whitespace());
        }
    }

    fn wanted(&self, wanted: &str) -> FilterError {
        malformed(self.scanner.at, wanted.to_owned())
    }
}

/// The characters after a backslash. In a regular expression only `"` and `\` are allowed, so `\d` is written `\\d`;
/// whether the cloud accepts the former is undocumented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Escapes {
    OfText,
    OfRegex,
}

impl Escapes {
    fn wanted(self) -> &'static str {
        match self {
            Self::OfText => r#"one of " \ n r t u after each \ in a text"#,
            Self::OfRegex => r#"one of " \ after each \ in a regular expression (\d is written \\d)"#,
        }
    }
}

fn malformed(at: usize, wanted: String) -> FilterError {
    FilterError::Malformed { at, wanted }
}

fn field(path: Vec<String>) -> Result<Field, FilterError> {
    match FieldKind::of(&path) {
        Some(kind) => Ok(Field { path, kind }),
        None => Err(FilterError::Undefined { field: path.join(".") }),
    }
}

/// Why a right-hand side does not fit a field.
enum Refused {
    Wants(String),
    Unsupported(&'static str),
}

impl Refused {
    fn at(self, at: usize) -> FilterError {
        match self {
            Self::Wants(wanted) => malformed(at, wanted),
            Self::Unsupported(what) => FilterError::Unsupported(what),
        }
    }
}

/// Builds the check for the kind of a field.
fn check(kind: FieldKind, operator: Operator, literal: Literal) -> Result<Check, Refused> {
    let text = match (&literal, kind) {
        (Literal::Text(text), _) => text.as_str(),
        (Literal::Null, FieldKind::Payload) => "",
        (Literal::Null, _) => {
            return Err(Refused::Wants("a value other than NULL_VALUE, since the field is never null".to_owned()));
        }
    };
    let wants = |what: &str| Refused::Wants(what.to_owned());
    match (kind, operator) {
        (FieldKind::Text | FieldKind::Label | FieldKind::Payload, Operator::Matches) => regex(text).map(Check::Matches),
        (FieldKind::Text | FieldKind::Label | FieldKind::Payload, Operator::MatchesNot) => {
            regex(text).map(Check::MatchesNot)
        }
        (_, Operator::Matches | Operator::MatchesNot) => Err(wants("a text field before a regular expression")),
        (_, Operator::Has) if literal == Literal::Null => Err(wants("= or != before NULL_VALUE")),
        (FieldKind::Time, Operator::Has) => Err(Refused::Unsupported("parts of a time are")),
        (FieldKind::Time, Operator::Compare(comparison)) => {
            timestamp(text).map(|time| Check::Time(comparison, time)).ok_or_else(|| wants("a time as of RFC 3339"))
        }
        (FieldKind::Severity, operator) => {
            severity(text).map(|rank| Check::Severity(operator.comparison(), rank)).ok_or_else(|| wants("a severity"))
        }
        (FieldKind::Number, operator) => {
            number(text).map(|number| Check::Number(operator.comparison(), number)).ok_or_else(|| wants("a number"))
        }
        (FieldKind::Flag, _) if flag(text).is_none() => Err(wants("true or false")),
        (FieldKind::Span, _) => Err(Refused::Unsupported("durations are")),
        (_, Operator::Has) => Ok(Check::Has(literal)),
        (FieldKind::Message(_) | FieldKind::Labels, _) => Err(wants("a field of the object, or ':'")),
        (_, Operator::Compare(Comparison::Equal)) => Ok(Check::Equal(literal)),
        (_, Operator::Compare(Comparison::NotEqual)) => Ok(Check::NotEqual(literal)),
        (FieldKind::Payload, Operator::Compare(comparison)) => {
            Ok(number(text).map_or(Check::CompareUndocumented, |bound| Check::Compare(comparison, bound)))
        }
        (FieldKind::Flag, Operator::Compare(_)) => Err(wants("= or != for what is true or false")),
        (FieldKind::Text | FieldKind::Label, Operator::Compare(_)) => {
            Err(Refused::Unsupported("comparisons of texts by order are"))
        }
    }
}

impl Operator {
    /// Returns the comparison of a number or a severity; for these, `:` is the same as `=`.
    fn comparison(self) -> Comparison {
        match self {
            Self::Compare(comparison) => comparison,
            Self::Has | Self::Matches | Self::MatchesNot => Comparison::Equal,
        }
    }
}

/// The cloud has the syntax of RE2. This engine supports a part of it: it refuses Unicode classes such as `\pL`.
fn regex(text: &str) -> Result<Regex, Refused> {
    Regex::new(text).map_err(|error| Refused::Wants(format!("a regular expression ({error})")))
}
