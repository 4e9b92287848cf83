//! JSON text on one line, safe for terminals, log viewers and JavaScript.
//!
//! JSON escapes quotes and the C0 controls by itself. DEL, the C1 controls, bidirectional, zero-width and
//! line-separating characters are legal in it, but they can break or reverse a line on a screen. So this module
//! writes them as `\uXXXX`, which every parser reads back as the same text.

use std::io;

use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{Formatter, Serializer};
use stakeout_core::text::is_invisible;

/// Returns `value` as JSON text on one line, without the line's end.
#[must_use]
pub fn to_line(value: &Value) -> String {
    let mut bytes = Vec::with_capacity(4_096);
    value
        .serialize(&mut Serializer::with_formatter(&mut bytes, Visible))
        .expect("a JSON value always writes to memory");
    String::from_utf8(bytes).expect("JSON text is UTF-8")
}

/// Returns `value` as indented JSON text on several lines, without the last line's end.
#[must_use]
pub fn to_lines(value: &impl Serialize) -> String {
    let indented = serde_json::to_string_pretty(value).expect("texts and numbers always write as JSON");
    let mut shown = String::with_capacity(indented.len());
    for c in indented.chars() {
        // JSON escapes line ends in texts by itself, so this one is between the lines.
        if c != '\n' && is_invisible(c) {
            c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| shown.push_str(&format!("\\u{unit:04x}")));
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Writes compact JSON with invisible characters escaped, in keys as in values.
struct Visible;

impl Formatter for Visible {
    fn write_string_fragment<W>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()>
    where
        W: ?Sized + io::Write,
    {
        let mut rest = fragment;
        while let Some((at, hidden)) = rest.char_indices().find(|(_, c)| is_invisible(*c)) {
            writer.write_all(&rest.as_bytes()[..at])?;
            for unit in hidden.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            rest = &rest[at + hidden.len_utf8()..];
        }
        writer.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn invisible_characters_are_spelled_and_read_back() {
        let value = json!({"k\u{200b}": "a\u{202e}b\u{2028}\u{7f}\u{9b}31m\u{1b}[0m\u{e0041}\"ü\n"});
        let line = to_line(&value);
        assert_eq!(line, r#"{"k\u200b":"a\u202eb\u2028\u007f\u009b31m\u001b[0m\udb40\udc41\"ü\n"}"#);
        let lines = to_lines(&value);
        assert!(lines.lines().count() == 3 && !lines.contains(|c| c != '\n' && is_invisible(c)), "{lines}");
        for text in [line, lines] {
            assert_eq!(serde_json::from_str::<Value>(&text).expect("JSON"), value);
        }
    }
}
