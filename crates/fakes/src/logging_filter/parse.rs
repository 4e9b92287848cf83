//! The parser of filters. `NOT` binds closest, then `OR`, then `AND`.

use regex::Regex;

use super::schema::{FieldKind, timestamp};
use super::{Check, Expression, FILTER_CHARS_MAX, Field, FilterError};
use crate::expression::joined;
use crate::network::Network;
use crate::scanner::Scanner;

/// Most nested parentheses: the parser recurses, and the stack is limited.
const DEPTH_MAX: usize = 64;

/// Longest first, so that `>=` is not read as `>`.
const OPERATORS: [(&str, Operator); 9] = [
    (":*", Operator::IsPresent),
    ("=~", Operator::Matches),
    (">=", Operator::AtLeast),
    ("!=", Operator::Other),
    ("<=", Operator::Other),
    ("!~", Operator::Other),
    ("=", Operator::Equals),
    ("<", Operator::Before),
    (">", Operator::Other),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    IsPresent,
    Equals,
    Matches,
    AtLeast,
    Before,
    /// One of the cloud's that the fake does not support.
    Other,
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
    let whole = parser.all()?;
    match parser.scanner.peek() {
        None => Ok(whole),
        Some(_) => Err(parser.wanted("the end, or a '(' for this ')'")),
    }
}

struct Parser<'t> {
    scanner: Scanner<'t>,
    depth: usize,
}

impl Parser<'_> {
    /// Reads up to the end or to a closing parenthesis, with the spaces before it.
    fn all(&mut self) -> Result<Expression, FilterError> {
        let mut parts = vec![self.any()?];
        loop {
            self.skip_spaces();
            match self.scanner.peek() {
                None | Some(')') => return Ok(joined(parts, Expression::All)),
                Some(_) if self.took_word("AND") => parts.push(self.any()?),
                Some(c) if c.is_ascii_alphabetic() || matches!(c, '"' | '(' | '-') => {
                    return Err(FilterError::Unsupported("comparisons without AND or OR between them are"));
                }
                Some(_) => return Err(self.wanted("AND, OR or the end")),
            }
        }
    }

    fn any(&mut self) -> Result<Expression, FilterError> {
        let mut parts = vec![self.factor()?];
        loop {
            self.skip_spaces();
            if !self.took_word("OR") {
                return Ok(joined(parts, Expression::Any));
            }
            parts.push(self.factor()?);
        }
    }

    fn factor(&mut self) -> Result<Expression, FilterError> {
        self.skip_spaces();
        let is_negated = self.took_word("NOT");
        self.skip_spaces();
        let term = match self.scanner.peek() {
            Some('(') => self.parenthesised()?,
            Some('-') => return Err(FilterError::Unsupported("a minus for NOT is")),
            _ => self.term()?,
        };
        Ok(if is_negated { Expression::Not(Box::new(term)) } else { term })
    }

    fn parenthesised(&mut self) -> Result<Expression, FilterError> {
        self.scanner.at += 1;
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.wanted("fewer nested parentheses"));
        }
        let whole = self.all()?;
        self.expect(')')?;
        self.depth -= 1;
        Ok(whole)
    }

    /// Reads a comparison or a function.
    fn term(&mut self) -> Result<Expression, FilterError> {
        let start = self.scanner.at;
        if self.scanner.peek() == Some('"') {
            return Err(FilterError::Unsupported("texts in any field are"));
        }
        let path = self.path()?;
        if self.scanner.peek() == Some('(') {
            return match path.as_slice() {
                [name] if name == "ip_in_net" => self.ip_in_net(),
                [name] if name == "log_id" => self.log_id(),
                _ => Err(FilterError::Unsupported("functions but ip_in_net and log_id are")),
            };
        }
        self.skip_spaces();
        let found = OPERATORS.into_iter().find(|(sign, _)| self.scanner.rest().starts_with(sign));
        let Some((sign, operator)) = found else {
            return Err(match self.scanner.peek() {
                Some(':') => FilterError::Unsupported("`:` before anything but `*` is"),
                _ if path.iter().any(|name| matches!(name.as_str(), "AND" | "OR" | "NOT")) => {
                    malformed(start, "a comparison".to_owned())
                }
                None | Some(')' | ' ') if path.len() == 1 => FilterError::Unsupported("texts in any field are"),
                _ => self.wanted("an operator"),
            });
        };
        let field = field(path)?;
        self.scanner.at += sign.len();
        let check = self.check(field.kind, operator)?;
        Ok(Expression::Test(field, check))
    }

    /// Reads the right-hand side of an operator, and builds the check for the kind of the field.
    fn check(&mut self, kind: FieldKind, operator: Operator) -> Result<Check, FilterError> {
        if operator == Operator::IsPresent {
            return Ok(Check::Present);
        }
        self.skip_spaces();
        let start = self.scanner.at;
        let is_quoted = self.scanner.peek() == Some('"');
        match (kind, operator) {
            (_, Operator::IsPresent | Operator::Other) => Err(FilterError::Unsupported("this operator is")),
            (_, _) if self.scanner.peek() == Some('(') => Err(FilterError::Unsupported("values in parentheses are")),
            (FieldKind::Message(_) | FieldKind::Labels, _) => Err(malformed(start, "a field of the object".to_owned())),
            (FieldKind::Text | FieldKind::Label | FieldKind::Payload, Operator::Equals) => {
                let text = if is_quoted { self.quoted(Escapes::OfText)? } else { self.number()? };
                Ok(Check::Equal(text))
            }
            (FieldKind::Text | FieldKind::Label | FieldKind::Payload, Operator::Matches) => {
                if !is_quoted {
                    return Err(self.wanted("a regular expression in quotes"));
                }
                let text = self.quoted(Escapes::OfRegex)?;
                // The cloud has the syntax of RE2. This engine supports a part of it.
                let regex =
                    Regex::new(&text).map_err(|error| malformed(start, format!("a regular expression ({error})")));
                regex.map(Check::Matches)
            }
            (FieldKind::Time, Operator::AtLeast | Operator::Before) if is_quoted => {
                let time = timestamp(&self.quoted(Escapes::OfText)?);
                let time = time.ok_or_else(|| malformed(start, "a time as of RFC 3339".to_owned()))?;
                Ok(if operator == Operator::AtLeast { Check::AtLeast(time) } else { Check::Before(time) })
            }
            _ => Err(FilterError::Unsupported("this comparison of this field is")),
        }
    }

    fn ip_in_net(&mut self) -> Result<Expression, FilterError> {
        self.scanner.at += 1;
        self.skip_spaces();
        let path = self.path()?;
        let field = field(path)?;
        self.skip_spaces();
        self.expect(',')?;
        self.skip_spaces();
        let start = self.scanner.at;
        if self.scanner.peek() != Some('"') {
            return Err(self.wanted("a network in quotes"));
        }
        let network = Network::parse(&self.quoted(Escapes::OfText)?);
        let network = network.ok_or_else(|| malformed(start, "a network".to_owned()))?;
        self.skip_spaces();
        self.expect(')')?;
        Ok(Expression::Test(field, Check::IpInNet(network)))
    }

    /// Reads the id of a log, without the URL encoding that `logName` has.
    /// <https://cloud.google.com/logging/docs/view/logging-query-language#log_id>
    fn log_id(&mut self) -> Result<Expression, FilterError> {
        self.scanner.at += 1;
        self.skip_spaces();
        if self.scanner.peek() != Some('"') {
            return Err(self.wanted("the id of a log in quotes"));
        }
        let id = self.quoted(Escapes::OfText)?;
        self.skip_spaces();
        self.expect(')')?;
        Ok(Expression::Test(field(vec!["logName".to_owned()])?, Check::OfLog(id)))
    }

    /// Reads names with dots between them; after a dot a name may be quoted.
    fn path(&mut self) -> Result<Vec<String>, FilterError> {
        let mut names = Vec::new();
        loop {
            let name = match self.scanner.peek() {
                Some('"') if !names.is_empty() => self.quoted(Escapes::OfText)?,
                Some(c) if c.is_ascii_alphabetic() || matches!(c, '_' | '@') => {
                    self.scanner.run(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '@')).to_owned()
                }
                _ => return Err(self.wanted("a field")),
            };
            names.push(name);
            if self.scanner.peek() != Some('.') {
                return Ok(names);
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
                '\\' => match chars.next() {
                    Some((_, escaped @ ('"' | '\\'))) => text.push(escaped),
                    Some((_, 'n' | 'r' | 't' | 'u')) if escapes == Escapes::OfText => {
                        return Err(FilterError::Unsupported("escapes but \\\" and \\\\ are"));
                    }
                    _ => return Err(self.wanted(r#"one of " \ after each \"#)),
                },
                plain => text.push(plain),
            }
        }
        Err(self.wanted("a closing '\"'"))
    }

    /// Reads a whole number, which needs no quotes.
    fn number(&mut self) -> Result<String, FilterError> {
        let start = self.scanner.at;
        let word = self.scanner.run(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '+'));
        match self.scanner.peek() {
            _ if word.is_empty() => Err(malformed(start, "a word, a number or a quoted text".to_owned())),
            Some(c) if !c.is_ascii_whitespace() && c != ')' => {
                Err(malformed(start, "quotes around a text with special characters".to_owned()))
            }
            _ if word.parse::<i32>().is_err() => Err(FilterError::Unsupported("words without quotes are")),
            _ => Ok(word.to_owned()),
        }
    }

    /// Takes a word in capitals, if it is a whole word.
    fn took_word(&mut self, word: &str) -> bool {
        let Some(after) = self.scanner.rest().strip_prefix(word) else {
            return false;
        };
        let is_alone = after.chars().next().is_none_or(|c| c.is_ascii_whitespace() || c == '(');
        if is_alone {
            self.scanner.at += word.len();
        }
        is_alone
    }

    fn expect(&mut self, sign: char) -> Result<(), FilterError> {
        if self.scanner.peek() != Some(sign) {
            return Err(self.wanted(&format!("'{sign}'")));
        }
        self.scanner.at += 1;
        Ok(())
    }

    fn skip_spaces(&mut self) {
        self.scanner.run(|c| c.is_ascii_whitespace());
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

fn malformed(at: usize, wanted: String) -> FilterError {
    FilterError::Malformed { at, wanted }
}

fn field(path: Vec<String>) -> Result<Field, FilterError> {
    match FieldKind::of(&path) {
        Some(kind) => Ok(Field { path, kind }),
        None => Err(FilterError::Undefined { field: path.join(".") }),
    }
}
