//! Text that is safe to send to Slack: escaped, bounded, and unable to mention, link or format.
//!
//! Slack interprets `&`, `<` and `>` (<https://docs.slack.dev/messaging/formatting-message-text#escaping>), and
//! a backtick ends a code span. All text from a log is in a code span, in which Slack ignores
//! other markup; and all of it is `verbatim`, so that a bare address does not become a link.

use std::collections::BTreeSet;

use stakeout_core::address::SourceIp;
use stakeout_core::text::visible;

use crate::text::network_of;

/// Longest text of a rule (title, false positive), and longest phrase of a step, that is shown.
pub(super) const TEXT_UNITS_MAX: usize = 400;
/// Longest name (cluster, user, namespace) that is shown.
const NAME_UNITS_MAX: usize = 120;
/// Most values of a list that are shown.
pub(super) const VALUES_MAX: usize = 10;

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

/// Returns a name (cluster, user, namespace) as a code span.
pub(super) fn name(text: &str) -> String {
    code(text, NAME_UNITS_MAX)
}

/// Returns a label and at most [`VALUES_MAX`] values, which are markup.
pub(super) fn field(label: &str, values: impl Iterator<Item = String>) -> Vec<Markup> {
    labelled_lines(label, first_values(values))
}

/// Returns lines of markup, the first with a label.
pub(super) fn labelled_lines(label: &str, lines: Vec<String>) -> Vec<Markup> {
    let mut lines: Vec<Markup> = lines.into_iter().map(Markup::trusted).collect();
    if let Some(first) = lines.first_mut() {
        *first = Markup::labelled(label, first.as_str());
    }
    lines
}

/// Returns the first values, and how many others there are.
pub(super) fn first_values(mut values: impl Iterator<Item = String>) -> Vec<String> {
    let mut shown: Vec<String> = values.by_ref().take(VALUES_MAX).collect();
    let more = values.count();
    if more > 0 {
        shown.push(format!("… and {more} more"));
    }
    shown
}

/// Returns a source with the kind of its network.
pub(super) fn shown_source(source: SourceIp) -> String {
    format!("`{source}` ({})", network_of(&source))
}

/// Returns the first clusters, and how many others there are.
pub(super) fn clusters(clusters: &BTreeSet<String>) -> String {
    let shown: Vec<String> = clusters.iter().take(VALUES_MAX).map(|cluster| name(cluster)).collect();
    let more = clusters.len().saturating_sub(VALUES_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let noun = if clusters.len() == 1 { "cluster" } else { "clusters" };
    format!("{noun} {}{more}", shown.join(", "))
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
