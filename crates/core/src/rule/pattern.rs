//! What a field's value is compared with: Sigma's values, wildcards and case.

use serde::Serialize;

use crate::field::FieldValue;
use crate::prefilter::Literal;

/// One value of a selection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Pattern {
    /// `null`: the field is missing.
    Null,
    /// A number, such as `403`.
    Number(i64),
    /// `true` or `false`.
    Fact(bool),
    /// A text with wildcards.
    Text(Glob),
}

/// A text in which `*` stands for any characters and `?` for one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Glob {
    parts: Vec<Part>,
    /// The text itself, where it has no wildcard.
    whole: Option<String>,
    cased: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
enum Part {
    Any,
    One,
    Char(char),
}

impl Pattern {
    /// Tells whether a field's value fits. Of a field with several values any one may fit.
    #[must_use]
    pub fn fits(&self, value: &FieldValue<'_>) -> bool {
        match (self, value) {
            (Pattern::Null, value) => *value == FieldValue::Missing,
            (_, FieldValue::Missing) => false,
            (Pattern::Number(number), FieldValue::Number(value)) => number == value,
            (Pattern::Fact(fact), FieldValue::Fact(value)) => fact == value,
            (Pattern::Text(glob), value) => value.any_text(|text| glob.fits(text)),
            (Pattern::Number(number), value) => {
                let number = number.to_string();
                value.any_text(|text| text == number)
            }
            (Pattern::Fact(fact), value) => value.any_text(|text| text == if *fact { "true" } else { "false" }),
        }
    }

    /// Returns the literal that the whole value must be, where there is one.
    #[must_use]
    pub fn literal(&self) -> Option<Literal> {
        match self {
            Pattern::Number(number) => Some(Literal::Number(*number)),
            Pattern::Text(glob) => glob.whole.clone().map(|text| Literal::Text { text, cased: glob.cased }),
            Pattern::Null | Pattern::Fact(_) => None,
        }
    }
}

impl Glob {
    /// Reads Sigma's spelling: `*` and `?` are wildcards unless a backslash stands before them, and a backslash
    /// before a backslash is one backslash.
    #[must_use]
    pub fn parse(text: &str, cased: bool) -> Glob {
        let mut parts = Vec::new();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '*' => parts.push(Part::Any),
                '?' => parts.push(Part::One),
                '\\' => match chars.next_if(|next| matches!(next, '*' | '?' | '\\')) {
                    Some(escaped) => parts.push(Part::Char(escaped)),
                    None => parts.push(Part::Char('\\')),
                },
                c if cased => parts.push(Part::Char(c)),
                c => parts.extend(c.to_lowercase().map(Part::Char)),
            }
        }
        parts.dedup_by(|next, last| *next == Part::Any && *last == Part::Any);
        Glob::of(parts, cased)
    }

    /// Returns the glob with any characters allowed before it.
    #[must_use]
    pub fn after_anything(mut self) -> Glob {
        if self.parts.first() != Some(&Part::Any) {
            self.parts.insert(0, Part::Any);
        }
        Glob::of(self.parts, self.cased)
    }

    /// Returns the glob with any characters allowed behind it.
    #[must_use]
    pub fn before_anything(mut self) -> Glob {
        if self.parts.last() != Some(&Part::Any) {
            self.parts.push(Part::Any);
        }
        Glob::of(self.parts, self.cased)
    }

    fn of(parts: Vec<Part>, cased: bool) -> Glob {
        let whole = parts
            .iter()
            .map(|part| match part {
                Part::Char(c) => Some(*c),
                Part::Any | Part::One => None,
            })
            .collect();
        Glob { parts, whole, cased }
    }

    fn fits(&self, text: &str) -> bool {
        if let (true, Some(whole)) = (self.cased, &self.whole) {
            return whole == text;
        }
        let chars: Vec<char> =
            if self.cased { text.chars().collect() } else { text.chars().flat_map(char::to_lowercase).collect() };
        fits(&self.parts, &chars)
    }
}

/// Matches in time proportional to the lengths' product at worst: after a mismatch only the last `*` gives way.
fn fits(parts: &[Part], text: &[char]) -> bool {
    let (mut part, mut at) = (0, 0);
    let mut last_any: Option<(usize, usize)> = None;
    while at < text.len() {
        match parts.get(part) {
            Some(Part::Any) => {
                last_any = Some((part, at));
                part += 1;
            }
            Some(Part::One) => {
                part += 1;
                at += 1;
            }
            Some(Part::Char(c)) if *c == text[at] => {
                part += 1;
                at += 1;
            }
            _ => match last_any {
                Some((any, from)) => {
                    part = any + 1;
                    at = from + 1;
                    last_any = Some((any, at));
                }
                None => return false,
            },
        }
    }
    parts[part..].iter().all(|rest| *rest == Part::Any)
}

impl FieldValue<'_> {
    fn any_text(&self, mut fits: impl FnMut(&str) -> bool) -> bool {
        match self {
            FieldValue::Missing => false,
            FieldValue::Text(text) => fits(text),
            FieldValue::Made(text) => fits(text),
            FieldValue::Texts(texts) => texts.iter().any(|text| fits(text)),
            FieldValue::Number(number) => fits(&number.to_string()),
            FieldValue::Fact(fact) => fits(if *fact { "true" } else { "false" }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(pattern: &str, cased: bool, text: &str) -> bool {
        Pattern::Text(Glob::parse(pattern, cased)).fits(&FieldValue::Text(text))
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
