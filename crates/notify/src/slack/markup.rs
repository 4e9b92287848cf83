//! Text that is safe to send to Slack: escaped, bounded, and unable to mention, link or format.
//!
//! Slack interprets `&`, `<` and `>` (<https://docs.slack.dev/messaging/formatting-message-text#escaping>), and
//! a backtick ends a code span. All text from a log is in a code span, in which Slack ignores
//! other markup; and all of it is `verbatim`, so that a bare address does not become a link.

use stakeout_core::text::visible;

/// A piece of Slack's mrkdwn that is safe to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Markup(String);

impl Markup {
    /// Returns a piece of trusted markup: only constants and safe pieces may be part of it.
    pub(super) fn trusted(text: impl Into<String>) -> Markup {
        Markup(text.into())
    }

    /// Returns a bold label before `rest`.
    pub(super) fn labelled(label: &str, rest: &str) -> Markup {
        Markup(format!("*{label}*\n{rest}"))
    }

    /// Returns the text to send.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Returns `text` as a code span of at most `units_max` units, or `(empty)`.
pub(super) fn code(text: &str, units_max: usize) -> String {
    if text.is_empty() {
        return "(empty)".to_owned();
    }
    format!("`{}`", escaped(text, units_max.saturating_sub(2)))
}

/// Returns a link. The caller builds its address, which contains neither `|` nor `>`.
pub(super) fn link(url: &str, label: &str) -> String {
    format!("<{url}|{label}>")
}

/// Returns `text` without anything that Slack interprets, at most `units_max` units long as sent.
///
/// It truncates while escaping, so that no escape is split.
pub(super) fn escaped(text: &str, units_max: usize) -> String {
    let shown = visible(text);
    let mut safe = String::with_capacity(shown.len());
    let mut units = 0;
    // Where to truncate if the rest does not fit: the longest prefix that leaves space for `…`.
    let mut cut = 0;
    for c in shown.chars() {
        let mut buffer = [0; 4];
        let piece = match c {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            '`' => "'",
            other => other.encode_utf8(&mut buffer),
        };
        units += self::units(piece);
        if units > units_max {
            safe.truncate(cut);
            safe.push('…');
            return safe;
        }
        safe.push_str(piece);
        if units < units_max {
            cut = safe.len();
        }
    }
    safe
}

/// Returns the length that counts for Slack's limits: UTF-16 units, never less than characters.
pub(super) fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_text_has_no_markup() {
        assert_eq!(escaped("<!channel> & `x`", 100), "&lt;!channel&gt; &amp; 'x'");
        assert_eq!(code("a\u{202e}`b\n", 100), "`a\\u{202e}'b\\u{a}`");
        assert_eq!(code("", 100), "(empty)");
    }

    #[test]
    fn no_escape_is_split() {
        assert_eq!(escaped("<<<", 12), "&lt;&lt;&lt;");
        assert_eq!(escaped("<<<", 11), "&lt;&lt;…");
        assert_eq!(escaped("<<<", 8), "&lt;…");
        assert_eq!(escaped("ab", 1), "…");
        assert_eq!(units(&escaped(&"😀&".repeat(50), 33)), 31);
    }
}
