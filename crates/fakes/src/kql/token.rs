//! The words of a query: names, literals and signs.
//! <https://learn.microsoft.com/en-us/kusto/query/scalar-data-types/string>

use serde_json::Value as Json;

use super::datetime::DateTime;
use super::{KqlError, SyntaxError};
use crate::scanner::Scanner;

/// One word of a query.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// A name or a keyword; `in~` is one word.
    Name(String),
    Text(String),
    Long(i64),
    DateTime(DateTime),
    Dynamic(Json),
    Sign(&'static str),
    End,
}

/// A word and the byte at which it begins.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Word {
    pub(super) token: Token,
    pub(super) at: usize,
}

/// Longest first, so that `<=` is not read as `<`.
const SIGNS: [&str; 14] = ["==", "!=", "=~", ">=", "<", ">", "=", "|", "(", ")", "[", "]", ",", "."];
/// Signs of Kusto that the fake does not support.
const OTHER_SIGNS: [&str; 12] = ["!~", "<=", "<>", "..", "-", "+", "*", "/", "%", ";", "'", "@"];

/// Reads all words of a query, and the end.
pub(super) fn words(text: &str) -> Result<Vec<Word>, KqlError> {
    let mut reader = Reader { scanner: Scanner::new(text) };
    let mut words = Vec::new();
    loop {
        reader.scanner.run(|c| matches!(c, ' ' | '\t' | '\n' | '\r'));
        let at = reader.scanner.at;
        let token = reader.token()?;
        let is_end = token == Token::End;
        words.push(Word { token, at });
        if is_end {
            return Ok(words);
        }
    }
}

/// Returns a syntax error at a byte of the text.
pub(super) fn syntax_error(text: &str, at: usize, token: &str, wanted: &str) -> KqlError {
    let before = &text[..text.floor_char_boundary(at)];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    KqlError::Syntax(SyntaxError { line, column, token: token.to_owned(), wanted: wanted.to_owned() })
}

struct Reader<'t> {
    scanner: Scanner<'t>,
}

impl<'t> Reader<'t> {
    fn token(&mut self) -> Result<Token, KqlError> {
        match self.scanner.peek() {
            None => Ok(Token::End),
            Some('"') => self.quoted().map(Token::Text),
            Some('0'..='9') => self.number(),
            Some(c) if is_name_part(c) => self.name(),
            Some(_) => self.sign(),
        }
    }

    fn name(&mut self) -> Result<Token, KqlError> {
        let name = self.scanner.run(is_name_part);
        match (name, self.scanner.peek()) {
            ("datetime", Some('(')) => self.datetime(),
            ("dynamic", Some('(')) => self.dynamic(),
            ("in", Some('~')) => {
                self.scanner.at += 1;
                Ok(Token::Name("in~".to_owned()))
            }
            _ => Ok(Token::Name(name.to_owned())),
        }
    }

    fn quoted(&mut self) -> Result<String, KqlError> {
        let begin = self.scanner.at;
        let mut units = Vec::new();
        self.scanner.at += 1;
        loop {
            let at = self.scanner.at;
            let Some(c) = self.next() else {
                return Err(self.wrong(begin, "a closing quote"));
            };
            match c {
                '"' => break,
                '\n' | '\r' => return Err(self.wrong(begin, "a closing quote before the end of the line")),
                '\\' => units.push(self.escape(at)?),
                c => units.extend_from_slice(c.encode_utf16(&mut [0; 2])),
            }
        }
        String::from_utf16(&units).map_err(|_| unsupported("halves of surrogate pairs"))
    }

    /// Reads what follows a backslash, in UTF-16.
    fn escape(&mut self, at: usize) -> Result<u16, KqlError> {
        match self.next() {
            Some(c @ ('\\' | '"')) => Ok(u16::try_from(u32::from(c)).unwrap_or_default()),
            Some('u') => {
                let digits = self.scanner.rest().get(..4).filter(|it| it.bytes().all(|byte| byte.is_ascii_hexdigit()));
                let unit = digits.and_then(|digits| u16::from_str_radix(digits, 16).ok());
                self.scanner.at += digits.map_or(0, str::len);
                unit.ok_or_else(|| self.wrong(at, "four hexadecimal digits"))
            }
            Some('a' | 'b' | 't' | 'n' | 'v' | 'f' | 'r' | '\'' | 'x' | 'U' | '0'..='7') => {
                Err(unsupported("escapes but \\\\, \\\" and \\u"))
            }
            _ => Err(self.wrong(at, "an escape such as \\\\, \\\" or \\u0041")),
        }
    }

    fn number(&mut self) -> Result<Token, KqlError> {
        let begin = self.scanner.at;
        let digits = self.scanner.run(|c| c.is_ascii_digit());
        if self.scanner.peek().is_some_and(|c| is_name_part(c) || c == '.') {
            return Err(unsupported("timespans and numbers that are not whole"));
        }
        digits.parse().map(Token::Long).map_err(|_| self.wrong(begin, "a number within the range of long"))
    }

    fn datetime(&mut self) -> Result<Token, KqlError> {
        let at = self.scanner.at;
        let inner = self.scanner.rest()[1..].split_once(')').map(|(inner, _)| inner);
        let inner: &'t str = inner.ok_or_else(|| self.wrong(at, "')'"))?;
        self.scanner.at += inner.len() + 2;
        let moment = DateTime::parse(inner).ok_or_else(|| self.wrong(at, "a date and time in ISO 8601"))?;
        Ok(Token::DateTime(moment))
    }

    fn dynamic(&mut self) -> Result<Token, KqlError> {
        let at = self.scanner.at;
        let mut values = serde_json::Deserializer::from_str(&self.scanner.rest()[1..]).into_iter::<Json>();
        let value = values.next().and_then(Result::ok);
        let end = at + 1 + values.byte_offset();
        let value = value.ok_or_else(|| self.wrong(at, "a literal of JSON"))?;
        self.scanner.at = end;
        if self.next() == Some(')') { Ok(Token::Dynamic(value)) } else { Err(self.wrong(end, "')'")) }
    }

    fn sign(&mut self) -> Result<Token, KqlError> {
        let rest = self.scanner.rest();
        if OTHER_SIGNS.iter().any(|sign| rest.starts_with(sign)) || self.is_negation() {
            return Err(unsupported("this sign"));
        }
        let sign = SIGNS.into_iter().find(|sign| rest.starts_with(sign));
        let sign = sign.ok_or_else(|| self.wrong(self.scanner.at, "a name, a literal or a sign"))?;
        self.scanner.at += sign.len();
        Ok(Token::Sign(sign))
    }

    /// Returns whether an operator such as `!has` follows.
    fn is_negation(&self) -> bool {
        let after = self.scanner.rest().strip_prefix('!');
        after.is_some_and(|after| after.starts_with(|c: char| c.is_ascii_alphabetic()))
    }

    fn next(&mut self) -> Option<char> {
        let next = self.scanner.peek()?;
        self.scanner.at += next.len_utf8();
        Some(next)
    }

    fn wrong(&self, at: usize, wanted: &str) -> KqlError {
        let token: String = self.scanner.text[self.scanner.text.floor_char_boundary(at)..].chars().take(20).collect();
        syntax_error(self.scanner.text, at, &token, wanted)
    }
}

fn is_name_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

pub(super) fn unsupported(what: &str) -> KqlError {
    KqlError::Unsupported(what.to_owned())
}
