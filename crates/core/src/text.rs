//! Text for people. Text from outside is bounded, and its invisible characters are made visible.

use std::borrow::Cow;
use std::fmt::Display;

/// Longest text of a service that goes into an error, in characters: its messages are a sentence or two, a proxy's may be
/// a page.
pub const REASON_CHARS_MAX: usize = 600;

/// Returns the text of a service, fit for an error: one visible line of at most [`REASON_CHARS_MAX`] characters.
#[must_use]
pub fn reason(text: &str) -> String {
    // A page is cut before it is searched for invisible characters, and cut again after they are spelled out.
    let line = bounded(text, REASON_CHARS_MAX).replace(['\r', '\n'], " ");
    bounded(&visible(line.trim_end()), REASON_CHARS_MAX)
}

/// Returns `text` cut to `chars_max` characters; a cut text ends in `…` and is no longer than the limit.
#[must_use]
pub fn bounded(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        None => text.to_owned(),
        Some(_) => {
            let kept = text.char_indices().nth(chars_max.saturating_sub(1)).map_or(0, |(at, _)| at);
            format!("{}…", &text[..kept])
        }
    }
}

/// Returns `text` itself where it is short enough, else what [`bounded`] makes of it.
#[must_use]
pub fn bounded_cow(text: &str, chars_max: usize) -> Cow<'_, str> {
    if text.len() <= chars_max { Cow::Borrowed(text) } else { Cow::Owned(bounded(text, chars_max)) }
}

/// Returns `text` with control, bidirectional, zero-width and line-separating characters shown as `\u{..}`.
///
/// Such characters can turn a line around, hide a part of it or move a terminal's cursor.
#[must_use]
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_invisible(c) {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Returns whether a character has no shape of its own, or changes how others are shown.
#[must_use]
pub fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{00ad}' | '\u{034f}' | '\u{061c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Returns `1 finding` or `2 findings`, for a noun with a regular plural.
#[must_use]
pub fn counted<N: Copy + Display + PartialEq + From<u8>>(number: N, noun: &str) -> String {
    if number == N::from(1) {
        return format!("{number} {noun}");
    }
    match noun.strip_suffix('y').filter(|stem| !stem.ends_with(['a', 'e', 'o', 'u'])) {
        Some(stem) => format!("{number} {stem}ies"),
        None if noun.ends_with('s') => format!("{number} {noun}es"),
        None => format!("{number} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular() {
        for (noun, expected) in [
            ("rule", ["0 rules", "1 rule", "2 rules"]),
            ("address", ["0 addresses", "1 address", "2 addresses"]),
            ("entry", ["0 entries", "1 entry", "2 entries"]),
            ("day", ["0 days", "1 day", "2 days"]),
        ] {
            assert_eq!([0, 1, 2].map(|number| counted::<u64>(number, noun)), expected);
        }
    }

    #[test]
    fn a_bounded_text_never_exceeds_its_limit() {
        assert_eq!(bounded("kubectl", 7), "kubectl");
        assert_eq!(bounded("kubectl/v1", 7), "kubect…");
        assert_eq!(bounded("äöü", 2), "ä…");
        assert_eq!(bounded("a", 0), "…");
    }

    #[test]
    fn a_reason_is_bounded_even_after_it_is_spelled_out() {
        assert_eq!(reason(&"\u{7}".repeat(5_000)).chars().count(), REASON_CHARS_MAX);
        assert_eq!(reason("a\nb\u{202e}\n"), "a b\\u{202e}");
    }

    #[test]
    fn what_cannot_be_seen_is_spelled_out() {
        assert_eq!(visible("a\u{202e}b\n\u{1b}[31m\u{2028}\u{200b}"), "a\\u{202e}b\\u{a}\\u{1b}[31m\\u{2028}\\u{200b}");
        assert_eq!(visible("/api/v1/pods?limit=500 ünïcödé"), "/api/v1/pods?limit=500 ünïcödé");
    }
}
