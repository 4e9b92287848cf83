//! Texts of events, times and lists, for a page: bounded, and without characters that have no shape.

use maud::{Markup, html};
use stakeout_core::text::{bounded, visible};
use stakeout_core::time::Second;
use stakeout_notify::text::{span, utc};

/// Longest text of an event, in characters.
const CHARS_MAX: usize = 320;

/// Returns the text, fit for a page. The templates escape its markup.
pub(super) fn shown(text: &str) -> String {
    bounded(&visible(&bounded(text, CHARS_MAX)), CHARS_MAX)
}

/// Returns a time.
pub(super) fn time(at: Second) -> Markup {
    html! { time datetime=(at) { (utc(at)) } }
}

/// Returns how long before `now` something was, such as `29 min 18 s`.
pub(super) fn since(at: Second, now: Second) -> String {
    span(now.0.saturating_sub(at.0))
}

/// Returns at most `max` texts, and how many more there are.
pub(super) fn some<T: AsRef<str>>(texts: impl ExactSizeIterator<Item = T>, max: usize) -> String {
    let more = texts.len().saturating_sub(max);
    let named: Vec<String> = texts.take(max).map(|text| shown(text.as_ref())).collect();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    named.join(", ") + &more
}
