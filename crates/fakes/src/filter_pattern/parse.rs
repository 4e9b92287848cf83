//! The parser of filter patterns. `&&` binds closer than `||`.

use regex::Regex;

use super::{Expression, Literal, PATTERN_CHARS_MAX, PatternError, PatternKind, Step};
use crate::expression::joined;
use crate::scanner::Scanner;

/// Wildcards in one selector, and selectors with a wildcard in one pattern, that the cloud takes.
const SELECTOR_WILDCARDS_MAX: usize = 1;
const WILDCARD_SELECTORS_MAX: usize = 3;
/// Regular expressions in one pattern that the cloud takes.
const REGULAR_EXPRESSIONS_MAX: usize = 2;
/// What a regular expression may hold beside letters and digits. A colon is on some versions of the page only, so it is
/// refused here.
const EXPRESSION_SIGNS: &str = "_#=@/;,-^$?[]{}|\\*+.";
/// Most nested parentheses: the parser recurses, and the stack is limited.
const DEPTH_MAX: usize = 64;

/// The operators of the cloud that the fake does not support.
const OTHER_OPERATORS: [&str; 8] = ["!=", "<=", ">=", "<", ">", "IS", "NOT", "EXISTS"];

/// Parses a whole pattern.
pub(super) fn pattern(text: &str) -> Result<PatternKind, PatternError> {
    if text.chars().count() > PATTERN_CHARS_MAX {
        return Err(malformed(0, format!("at most {PATTERN_CHARS_MAX} characters")));
    }
    let mut parser = Parser { scanner: Scanner::new(text), wildcard_selectors: 0, expressions: 0, depth: 0 };
    parser.skip_spaces();
    match parser.scanner.peek() {
        None => Ok(PatternKind::Everything),
        Some('{') => parser.braced().map(PatternKind::Json),
        Some('"') => parser.phrase().map(PatternKind::Phrase),
        Some('[') => Err(PatternError::Unsupported("space-delimited patterns are")),
        Some('%') => Err(PatternError::Unsupported("regular expressions outside of a comparison are")),
        Some(_) => Err(TERMS),
    }
}

/// The cloud supports such terms, but does not document exactly where they begin and end in a message.
const TERMS: PatternError = PatternError::Unsupported("patterns of several or unquoted terms are");

struct Parser<'t> {
    scanner: Scanner<'t>,
    wildcard_selectors: usize,
    expressions: usize,
    depth: usize,
}

impl Parser<'_> {
    fn braced(&mut self) -> Result<Expression, PatternError> {
        self.expect("{")?;
        let expression = self.any()?;
        self.expect("}")?;
        self.skip_spaces();
        if self.scanner.peek().is_some() {
            return Err(self.wanted("the end"));
        }
        Ok(expression)
    }

    fn phrase(&mut self) -> Result<String, PatternError> {
        let phrase = self.quoted()?;
        if phrase.is_empty() {
            return Err(PatternError::Unsupported("empty phrases are"));
        }
        self.skip_spaces();
        match self.scanner.peek() {
            None => Ok(phrase),
            Some(_) => Err(TERMS),
        }
    }

    fn any(&mut self) -> Result<Expression, PatternError> {
        let mut parts = vec![self.all()?];
        while self.took("||") {
            parts.push(self.all()?);
        }
        Ok(joined(parts, Expression::Any))
    }

    fn all(&mut self) -> Result<Expression, PatternError> {
        let mut parts = vec![self.term()?];
        while self.took("&&") {
            parts.push(self.term()?);
        }
        Ok(joined(parts, Expression::All))
    }

    fn term(&mut self) -> Result<Expression, PatternError> {
        if self.took("(") {
            self.depth += 1;
            if self.depth > DEPTH_MAX {
                return Err(self.wanted("fewer nested parentheses"));
            }
            let inner = self.any()?;
            self.expect(")")?;
            self.depth -= 1;
            return Ok(inner);
        }
        let selector = self.selector()?;
        self.skip_spaces();
        if OTHER_OPERATORS.iter().any(|operator| self.scanner.rest().starts_with(operator)) {
            return Err(PatternError::Unsupported("operators but = are"));
        }
        self.expect("=")?;
        Ok(Expression::Equals(selector, self.literal()?))
    }

    fn selector(&mut self) -> Result<Vec<Step>, PatternError> {
        self.expect("$")?;
        let mut steps = Vec::new();
        loop {
            match self.scanner.peek() {
                Some('.') => steps.push(self.member()?),
                Some('[') if !steps.is_empty() => steps.push(self.item()?),
                _ => break,
            }
        }
        if steps.is_empty() {
            return Err(self.wanted("a property selector such as $.verb"));
        }
        let wildcards = steps.iter().filter(|step| **step == Step::AnyItem).count();
        self.wildcard_selectors += usize::from(wildcards > 0);
        if wildcards > SELECTOR_WILDCARDS_MAX || self.wildcard_selectors > WILDCARD_SELECTORS_MAX {
            return Err(self.wanted("fewer wildcard selectors (1 a selector, 3 a pattern)"));
        }
        Ok(steps)
    }

    fn member(&mut self) -> Result<Step, PatternError> {
        self.scanner.at += 1;
        if self.scanner.peek() == Some('*') {
            return Err(PatternError::Unsupported("selectors of any member are"));
        }
        let name = self.scanner.run(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        if name.is_empty() {
            return Err(self.wanted("a property name of letters, digits, '-' and '_'"));
        }
        Ok(Step::Member(name.to_owned()))
    }

    fn item(&mut self) -> Result<Step, PatternError> {
        self.scanner.at += 1;
        if self.scanner.peek().is_some_and(|c| c.is_ascii_digit()) {
            return Err(PatternError::Unsupported("selectors of one item are"));
        }
        match self.scanner.rest().strip_prefix("*]") {
            Some(_) => self.scanner.at += 2,
            None => return Err(self.wanted("an index or '*', and ']'")),
        }
        Ok(Step::AnyItem)
    }

    fn literal(&mut self) -> Result<Literal, PatternError> {
        self.skip_spaces();
        match self.scanner.peek() {
            Some('"') => match self.quoted()? {
                text if text.contains('*') => Err(PatternError::Unsupported("wildcards in a text are")),
                text => Ok(Literal::Text(text)),
            },
            Some('%') => self.expression().map(Literal::Expression),
            _ => self.number(),
        }
    }

    fn expression(&mut self) -> Result<Regex, PatternError> {
        self.scanner.at += 1;
        let start = self.scanner.at;
        let text = self.scanner.run(|c| c.is_ascii_alphanumeric() || EXPRESSION_SIGNS.contains(c));
        if text.is_empty() || self.scanner.peek() != Some('%') {
            return Err(self.wanted("letters, digits or one of _ # = @ / ; , - ^ $ ? [ ] { } | \\ * + . and then '%'"));
        }
        self.scanner.at += 1;
        self.expressions += 1;
        if self.expressions > REGULAR_EXPRESSIONS_MAX {
            return Err(self.wanted("fewer regular expressions (2 a pattern)"));
        }
        Regex::new(text).map_err(|_| malformed(start, "a regular expression".to_owned()))
    }

    fn quoted(&mut self) -> Result<String, PatternError> {
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
                    _ => return Err(self.wanted("'\"' or '\\' after each '\\' in the text")),
                },
                plain => text.push(plain),
            }
        }
        Err(self.wanted("a closing '\"'"))
    }

    /// Reads a whole number. The cloud takes fractions, exponents and words as well.
    fn number(&mut self) -> Result<Literal, PatternError> {
        let start = self.scanner.at;
        let word = self.scanner.run(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '*' | '-' | '+' | '_'));
        if word.is_empty() {
            return Err(malformed(start, "a number, a word or a quoted text".to_owned()));
        }
        if word.parse::<i64>().is_err() {
            return Err(PatternError::Unsupported("words and numbers that are not whole are"));
        }
        word.parse().map(Literal::Number).map_err(|_| malformed(start, "a number".to_owned()))
    }

    fn took(&mut self, sign: &str) -> bool {
        self.skip_spaces();
        let is_there = self.scanner.rest().starts_with(sign);
        if is_there {
            self.scanner.at += sign.len();
        }
        is_there
    }

    fn expect(&mut self, sign: &str) -> Result<(), PatternError> {
        if self.took(sign) { Ok(()) } else { Err(self.wanted(&format!("'{sign}'"))) }
    }

    fn skip_spaces(&mut self) {
        self.scanner.run(|c| c.is_ascii_whitespace());
    }

    fn wanted(&self, wanted: &str) -> PatternError {
        malformed(self.scanner.at, wanted.to_owned())
    }
}

fn malformed(at: usize, wanted: String) -> PatternError {
    PatternError::Malformed { at, wanted }
}
