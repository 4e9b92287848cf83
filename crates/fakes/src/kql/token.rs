//! The words of a query: names, literals and signs.
//! <https://learn.microsoft.com/en-us/kusto/query/scalar-data-types/string>

use serde_json::Value as Json;

use super::datetime::DateTime;
use super::{KqlError, SyntaxError};
use crate::scanner::Scanner;

/// One word of a query.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// A name or a keyword; operators such as `!has` and `in~` are one word.
    Name(String),
    /// A name between brackets, which is never a keyword.
    Bracketed(String),
    Text(String),
    Long(i64),
    Real(f64),
    DateTime(Option<DateTime>),
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
const SIGNS: [&str; 20] =
    ["==", "!=", "=~", "!~", "<=", ">=", "<>", "..", "<", ">", "=", "|", "(", ")", "[", "]", ",", ".", "-", ";"];

/// Reads all words of a query, and the end.
pub(super) fn words(text: &str) -> Result<Vec<Word>, KqlError> {
    let mut reader = Reader { scanner: Scanner::new(text) };
    let mut words = Vec::new();
    loop {
        reader.skip_blanks();
        let at = reader.scanner.at;
        let is_first_name_of_stage = words.last().is_none_or(|word: &Word| word.token == Token::Sign("|"));
        let token = reader.token(is_first_name_of_stage)?;
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
    fn token(&mut self, begins_stage: bool) -> Result<Token, KqlError> {
        let Some(first) = self.scanner.peek() else {
            return Ok(Token::End);
        };
        match first {
            '"' | '\'' => self.quoted(first).map(Token::Text),
            '@' if matches!(self.scanner.rest().as_bytes().get(1), Some(b'"' | b'\'')) => {
                self.verbatim().map(Token::Text)
            }
            '0'..='9' => self.number(),
            c if is_name_part(c) => self.name(begins_stage),
            '!' if self.scanner.rest()[1..].starts_with(|c: char| c.is_ascii_alphabetic()) => {
                self.scanner.at += 1;
                let name = self.scanner.run(is_name_part);
                Ok(Token::Name(format!("!{name}{}", self.tilde(name))))
            }
            '[' if self.bracketed_name_begins() => self.bracketed(),
            _ => self.sign(),
        }
    }

    fn name(&mut self, begins_stage: bool) -> Result<Token, KqlError> {
        let name = self.scanner.run(is_name_part);
        match name {
            "datetime" | "date" if self.scanner.peek() == Some('(') => self.datetime(),
            "dynamic" if self.scanner.peek() == Some('(') => self.dynamic(),
            "h" | "H" if matches!(self.scanner.peek(), Some('"' | '\'' | '@')) => Err(unsupported("obfuscated texts")),
            // Operators such as `project-away` are one word.
            _ if begins_stage && self.scanner.peek() == Some('-') => {
                self.scanner.at += 1;
                let more = self.scanner.run(|c| is_name_part(c) || c == '-');
                Ok(Token::Name(format!("{name}-{more}")))
            }
            _ => Ok(Token::Name(format!("{name}{}", self.tilde(name)))),
        }
    }

    /// Takes the `~` that belongs to `in~`.
    fn tilde(&mut self, name: &str) -> &'static str {
        let is_there = name == "in" && self.scanner.peek() == Some('~');
        self.scanner.at += usize::from(is_there);
        if is_there { "~" } else { "" }
    }

    fn quoted(&mut self, quote: char) -> Result<String, KqlError> {
        let begin = self.scanner.at;
        let mut units = Vec::new();
        self.scanner.at += 1;
        loop {
            let at = self.scanner.at;
            let Some(c) = self.next() else {
                return Err(self.wrong(begin, "a closing quote"));
            };
            match c {
                c if c == quote => break,
                '\n' | '\r' => return Err(self.wrong(begin, "a closing quote before the end of the line")),
                '\\' => units.extend(self.escape(at)?),
                c => units.extend_from_slice(c.encode_utf16(&mut [0; 2])),
            }
        }
        String::from_utf16(&units).map_err(|_| unsupported("halves of surrogate pairs"))
    }

    /// Reads what follows a backslash, in UTF-16.
    fn escape(&mut self, at: usize) -> Result<Vec<u16>, KqlError> {
        let unit = match self.next() {
            Some('a') => 7,
            Some('b') => 8,
            Some('t') => 9,
            Some('n') => 10,
            Some('v') => 11,
            Some('f') => 12,
            Some('r') => 13,
            Some(c @ ('\\' | '"' | '\'')) => u16::try_from(u32::from(c)).unwrap_or_default(),
            Some('x') => self.hexadecimal(2, at)?,
            Some('u') => self.hexadecimal(4, at)?,
            Some('U' | '0'..='7') => return Err(unsupported("escapes by \\U and octal digits")),
            _ => return Err(self.wrong(at, "an escape such as \\\\, \\\" or \\u0041")),
        };
        Ok(vec![unit])
    }

    fn hexadecimal(&mut self, digits: usize, at: usize) -> Result<u16, KqlError> {
        let text = self.scanner.rest().get(..digits).filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let unit = text.and_then(|text| u16::from_str_radix(text, 16).ok());
        self.scanner.at += digits.min(self.scanner.rest().len());
        self.scanner.at = self.scanner.text.floor_char_boundary(self.scanner.at);
        unit.ok_or_else(|| self.wrong(at, "hexadecimal digits"))
    }

    /// Reads `@"..."`, in which only a doubled quote is special.
    fn verbatim(&mut self) -> Result<String, KqlError> {
        let begin = self.scanner.at;
        self.scanner.at += 1;
        let quote = self.next().unwrap_or('"');
        let mut text = String::new();
        while let Some(c) = self.next() {
            if c == quote {
                if self.scanner.peek() != Some(quote) {
                    return Ok(text);
                }
                self.scanner.at += 1;
            } else if matches!(c, '\n' | '\r') {
                break;
            }
            text.push(c);
        }
        Err(self.wrong(begin, "a closing quote"))
    }

    fn number(&mut self) -> Result<Token, KqlError> {
        let begin = self.scanner.at;
        let digits = self.scanner.run(|c| c.is_ascii_digit());
        let is_real =
            self.scanner.peek() == Some('.') && self.scanner.rest()[1..].starts_with(|c: char| c.is_ascii_digit());
        if is_real {
            self.scanner.at += 1;
            self.scanner.run(|c| c.is_ascii_digit());
        }
        if self.scanner.peek().is_some_and(is_name_part) {
            return Err(unsupported("timespans, hexadecimal and scientific numbers"));
        }
        let whole = &self.scanner.text[begin..self.scanner.at];
        let number = if is_real { whole.parse().ok().map(Token::Real) } else { digits.parse().ok().map(Token::Long) };
        number.ok_or_else(|| self.wrong(begin, "a number within the range of long"))
    }

    fn datetime(&mut self) -> Result<Token, KqlError> {
        let at = self.scanner.at;
        let inner = self.parenthesised(at)?.trim();
        if inner == "null" {
            return Ok(Token::DateTime(None));
        }
        let unquoted = inner.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')).unwrap_or(inner);
        let moment = DateTime::parse(unquoted).ok_or_else(|| self.wrong(at, "a date and time in ISO 8601"))?;
        Ok(Token::DateTime(Some(moment)))
    }

    fn dynamic(&mut self) -> Result<Token, KqlError> {
        let at = self.scanner.at;
        let mut values = serde_json::Deserializer::from_str(&self.scanner.rest()[1..]).into_iter::<Json>();
        let value = values.next().and_then(Result::ok);
        let end = at + 1 + values.byte_offset();
        let value = value.ok_or_else(|| self.wrong(at, "a literal of JSON"))?;
        self.scanner.at = end;
        self.skip_blanks();
        if self.next() == Some(')') { Ok(Token::Dynamic(value)) } else { Err(self.wrong(end, "')'")) }
    }

    /// Takes all up to the next `)`.
    fn parenthesised(&mut self, at: usize) -> Result<&'t str, KqlError> {
        let inner = self.scanner.rest()[1..].split_once(')').map(|(inner, _)| inner);
        let inner = inner.ok_or_else(|| self.wrong(at, "')'"))?;
        self.scanner.at += inner.len() + 2;
        Ok(inner)
    }

    /// Returns whether this is `['name']` and not an index, which follows its value without a space.
    fn bracketed_name_begins(&self) -> bool {
        let before = self.scanner.text[..self.scanner.at].chars().next_back();
        let follows = before.is_some_and(|c| is_name_part(c) || matches!(c, ')' | ']'));
        !follows && self.scanner.rest()[1..].trim_start().starts_with(['"', '\''])
    }

    fn bracketed(&mut self) -> Result<Token, KqlError> {
        self.scanner.at += 1;
        self.skip_blanks();
        let quote = self.scanner.peek().unwrap_or('"');
        let name = self.quoted(quote)?;
        self.skip_blanks();
        let at = self.scanner.at;
        if self.next() == Some(']') { Ok(Token::Bracketed(name)) } else { Err(self.wrong(at, "']'")) }
    }

    fn sign(&mut self) -> Result<Token, KqlError> {
        let sign = SIGNS.into_iter().find(|sign| self.scanner.rest().starts_with(sign));
        let Some(sign) = sign else {
            return match self.scanner.peek() {
                Some('+' | '*' | '/' | '%') => Err(unsupported("arithmetic")),
                _ => Err(self.wrong(self.scanner.at, "a name, a literal or a sign")),
            };
        };
        self.scanner.at += sign.len();
        Ok(Token::Sign(sign))
    }

    fn skip_blanks(&mut self) {
        loop {
            self.scanner.run(|c| matches!(c, ' ' | '\t' | '\n' | '\r'));
            if !self.scanner.rest().starts_with("//") {
                return;
            }
            self.scanner.run(|c| c != '\n');
        }
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
