//! Text that Slack may be given: escaped, bounded, and without a way to mention, link or format.
//!
//! Slack reads `&`, `<` and `>` as its own (<https://docs.slack.dev/messaging/formatting-message-text#escaping>), and
//! a backtick ends a code span. Everything that was read from a log stands in a code span, in which Slack reads
//! no other markup; and all of it is `verbatim`, so that a bare address becomes no link.

use stakeout_core::text::visible;

/// A piece of Slack's mrkdwn that is safe to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Markup(String);

impl Markup {
    /// Returns a piece in words of our own; only constants and other safe pieces may be written into it.
    pub(super) fn ours(text: impl Into<String>) -> Markup {
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

/// Returns `text` as a code span of at most `units_max` units; an empty text is shown as such.
pub(super) fn code(text: &str, units_max: usize) -> String {
    if text.is_empty() {
        return "(empty)".to_owned();
    }
    format!("`{}`", escaped(text, units_max.saturating_sub(2)))
}

/// Returns a link of ours. The address must be one that we made, without `|` and `>`.
pub(super) fn link(url: &str, label: &str) -> String {
    format!("<{url}|{label}>")
}

/// Returns `text` with nothing in it that Slack acts on, at most `units_max` units long as sent.
///
/// The cut is made while escaping, so that no escape is cut through.
pub(super) fn escaped(text: &str, units_max: usize) -> String {
    let shown = visible(text);
    let mut safe = String::with_capacity(shown.len());
    let mut units = 0;
    // Where to cut, should the rest not fit: the longest beginning that leaves room for `…`.
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

/// Returns the length by which Slack's limits are held here: UTF-16 units, never less than characters.
pub(super) fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_is_acted_on() {
        assert_eq!(escaped("<!channel> & `x`", 100), "&lt;!channel&gt; &amp; 'x'");
        assert_eq!(code("a\u{202e}`b\n", 100), "`a\\u{202e}'b\\u{a}`");
        assert_eq!(code("", 100), "(empty)");
    }

    #[test]
    fn no_escape_is_cut_through() {
        assert_eq!(escaped("<<<", 12), "&lt;&lt;&lt;");
        assert_eq!(escaped("<<<", 11), "&lt;&lt;…");
        assert_eq!(escaped("<<<", 8), "&lt;…");
        assert_eq!(escaped("ab", 1), "…");
        assert_eq!(units(&escaped(&"😀&".repeat(50), 33)), 31);
    }
}
