//! A text with Sigma's wildcards and case.

use serde::Serialize;

/// A text in which `*` stands for any characters and `?` for one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Glob {
    parts: Vec<Token>,
    /// The text itself, where it has no wildcard.
    whole: Option<String>,
    cased: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
enum Token {
    Any,
    One,
    Char(char),
}

impl Glob {
    /// Reads Sigma's spelling: `*` and `?` are wildcards unless a backslash precedes them, and a backslash
    /// before a backslash is one backslash.
    #[must_use]
    pub fn parse(text: &str, cased: bool) -> Glob {
        let mut parts = Vec::new();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '*' => parts.push(Token::Any),
                '?' => parts.push(Token::One),
                '\\' => match chars.next_if(|next| matches!(next, '*' | '?' | '\\')) {
                    Some(escaped) => parts.push(Token::Char(escaped)),
                    None => parts.push(Token::Char('\\')),
                },
                c if cased => parts.push(Token::Char(c)),
                c => parts.extend(c.to_lowercase().map(Token::Char)),
            }
        }
        parts.dedup_by(|next, last| *next == Token::Any && *last == Token::Any);
        Glob::of(parts, cased)
    }

    /// Returns the glob that only `text` itself fits.
    pub(super) fn exact(text: &str, cased: bool) -> Glob {
        let chars: Vec<char> = if cased { text.chars().collect() } else { lower(text).collect() };
        Glob::of(chars.into_iter().map(Token::Char).collect(), cased)
    }

    /// Returns the glob with any characters allowed before it.
    #[must_use]
    pub fn after_anything(mut self) -> Glob {
        if self.parts.first() != Some(&Token::Any) {
            self.parts.insert(0, Token::Any);
        }
        Glob::of(self.parts, self.cased)
    }

    /// Returns the glob with any characters allowed behind it.
    #[must_use]
    pub fn before_anything(mut self) -> Glob {
        if self.parts.last() != Some(&Token::Any) {
            self.parts.push(Token::Any);
        }
        Glob::of(self.parts, self.cased)
    }

    fn of(parts: Vec<Token>, cased: bool) -> Glob {
        let whole = parts
            .iter()
            .map(|part| match part {
                Token::Char(c) => Some(*c),
                Token::Any | Token::One => None,
            })
            .collect();
        Glob { parts, whole, cased }
    }

    /// Returns the text itself, where it has no wildcard; in lower case, where case does not count.
    pub(super) fn whole(&self) -> Option<&str> {
        self.whole.as_deref()
    }

    /// Returns the glob as Sigma spells it; in lower case, where case does not count.
    pub(super) fn spelled(&self) -> String {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Token::Any => text.push('*'),
                Token::One => text.push('?'),
                Token::Char(c) => {
                    if matches!(c, '*' | '?' | '\\') {
                        text.push('\\');
                    }
                    text.push(*c);
                }
            }
        }
        text
    }

    /// Returns whether digits alone can fit.
    pub(super) fn may_be_digits(&self) -> bool {
        !self.parts.iter().any(|part| matches!(part, Token::Char(c) if !c.is_ascii_digit()))
    }

    /// Returns whether case counts.
    pub(super) fn is_cased(&self) -> bool {
        self.cased
    }

    /// Returns whether `text` fits.
    pub(super) fn fits(&self, text: &str) -> bool {
        match (self.cased, &self.whole) {
            (true, Some(whole)) => whole == text,
            (true, None) => fits(&self.parts, text.chars()),
            // Nearly all texts are ASCII, and to lower any letter takes fifty times as long as to lower one of those.
            (false, Some(whole)) if text.is_ascii() => text.eq_ignore_ascii_case(whole),
            (false, None) if text.is_ascii() => {
                fits(&self.parts, text.bytes().map(|byte| byte.to_ascii_lowercase().into()))
            }
            (false, _) => fits(&self.parts, lower(text)),
        }
    }
}

/// Returns the letters of `text` in lower case.
pub(super) fn lower(text: &str) -> impl Iterator<Item = char> + Clone + '_ {
    text.chars().flat_map(char::to_lowercase)
}

/// Matches in time proportional to the lengths' product at worst: after a mismatch only the last `*` gives way.
fn fits(parts: &[Token], mut text: impl Iterator<Item = char> + Clone) -> bool {
    let mut part = 0;
    let mut last_any = None;
    loop {
        if parts.get(part) == Some(&Token::Any) {
            part += 1;
            last_any = Some((part, text.clone()));
            continue;
        }
        let Some(next) = text.next() else { break };
        match parts.get(part) {
            Some(Token::One) => part += 1,
            Some(Token::Char(c)) if *c == next => part += 1,
            _ => match &mut last_any {
                Some((behind, from)) => {
                    from.next();
                    part = *behind;
                    text = from.clone();
                }
                None => return false,
            },
        }
    }
    parts[part..].iter().all(|rest| *rest == Token::Any)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(pattern: &str, cased: bool, text: &str) -> bool {
        Glob::parse(pattern, cased).fits(text)
    }

    #[test]
    fn wildcards_and_escapes() {
        assert!(fits("/api/*/pods", true, "/api/v1/pods"));
        assert!(fits("*a*b*", true, "xxaxxabxx"));
        assert!(!fits("*a*b", true, "xxaxxabxx"));
        assert!(fits("v?", true, "v1") && !fits("v?", true, "v12"));
        assert!(fits(r"a\*b", true, "a*b") && !fits(r"a\*b", true, "axb"));
        assert!(fits(r"C:\dir\\x", true, r"C:\dir\x"));
        assert!(fits("", true, "") && !fits("", true, "a"));
    }

    #[test]
    fn case_counts_only_where_it_is_asked_for() {
        assert!(fits("KubeCTL*", false, "kubectl/v1") && !fits("KubeCTL*", true, "kubectl/v1"));
        assert!(fits("STRASSE ÄÖ", false, "strasse äö"));
    }

    #[test]
    fn a_hostile_text_does_not_take_long() {
        assert!(!fits(&"*a".repeat(50), true, &"b".repeat(49)));
        assert!(!fits(&format!("{}c", "*a".repeat(30)), true, &"a".repeat(20_000)));
    }
}
