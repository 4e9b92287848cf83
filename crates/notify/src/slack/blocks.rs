//! Block Kit within Slack's limits (<https://docs.slack.dev/reference/block-kit/blocks/>). Nothing can be clicked but buttons,
//! which lead to the consoles of the providers.

use serde_json::{Value, json};

use super::markup::{Markup, escaped, units};

/// Longest text of all blocks together. Slack refuses about 13,000 characters; the exact limit is undocumented.
pub const TEXT_UNITS_MAX: usize = 11_000;
/// Most blocks of a message.
const BLOCKS_MAX: usize = 50;
/// Longest text of a header.
const HEADER_UNITS_MAX: usize = 150;
/// Longest text of a section, and of an element of a context block.
const SECTION_UNITS_MAX: usize = 3_000;
/// Longest text of a section's field.
const FIELD_UNITS_MAX: usize = 2_000;
/// Most fields of a section.
const FIELDS_MAX: usize = 10;
/// Longest text of a button.
const BUTTON_UNITS_MAX: usize = 75;
/// Longest address of a button.
const URL_CHARS_MAX: usize = 3_000;
/// Most buttons of a message: more than a row of them is not read.
const BUTTONS_MAX: usize = 4;
/// Reserved for the context block, which holds the uid.
const CONTEXT_UNITS: usize = 1_000;
/// Reserved for the line that counts the omitted lines.
const MORE_UNITS: usize = 40;

/// The blocks of a message in order, and the units that are left.
pub(super) struct Blocks {
    blocks: Vec<Value>,
    units_left: usize,
}

impl Blocks {
    /// Returns an empty list of blocks.
    pub(super) fn new() -> Blocks {
        Blocks { blocks: Vec::new(), units_left: TEXT_UNITS_MAX - CONTEXT_UNITS }
    }

    /// Adds a header: raw text in large letters.
    pub(super) fn header(&mut self, text: &str) {
        let text = escaped(text, HEADER_UNITS_MAX);
        self.units_left = self.units_left.saturating_sub(units(&text));
        self.push(json!({"type": "header", "text": {"type": "plain_text", "text": text, "emoji": false}}));
    }

    /// Adds a section with as many of these lines as fit.
    pub(super) fn section(&mut self, lines: &[Markup]) {
        if let Some(text) = self.fitted(lines, SECTION_UNITS_MAX) {
            self.push(json!({"type": "section", "text": text}));
        }
    }

    /// Adds those of these lines that fit, in as many sections as they need, and returns how many. Leaves `reserved` units.
    pub(super) fn listing(&mut self, lines: &[Markup], reserved: usize) -> usize {
        let mut shown = 0;
        while shown < lines.len() {
            let free = SECTION_UNITS_MAX.min(self.units_left.saturating_sub(reserved));
            let mut used = 0;
            let fits = |line: &&Markup| {
                used += units(line.as_str()) + 1;
                used <= free
            };
            let part: Vec<&str> = lines[shown..].iter().take_while(fits).map(Markup::as_str).collect();
            if part.is_empty() {
                break;
            }
            shown += part.len();
            let text = part.join("\n");
            self.units_left -= units(&text);
            self.push(json!({"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": true}}));
        }
        shown
    }

    /// Adds a section of fields, each with as many of its lines as fit.
    pub(super) fn fields(&mut self, fields: &[Vec<Markup>]) {
        let shown: Vec<Value> =
            fields.iter().take(FIELDS_MAX).filter_map(|lines| self.fitted(lines, FIELD_UNITS_MAX)).collect();
        if !shown.is_empty() {
            self.push(json!({"type": "section", "fields": shown}));
        }
    }

    /// Adds a row of buttons, each with its text and address. One whose address is too long is left out.
    pub(super) fn buttons(&mut self, buttons: &[(String, String)]) {
        let fits = |(_, url): &&(String, String)| url.len() <= URL_CHARS_MAX;
        let button = |(at, (text, url)): (usize, &(String, String))| {
            let text = escaped(text, BUTTON_UNITS_MAX);
            self.units_left = self.units_left.saturating_sub(units(&text));
            let text = json!({"type": "plain_text", "text": text, "emoji": false});
            json!({"type": "button", "action_id": format!("console-{at}"), "text": text, "url": url})
        };
        let elements: Vec<Value> = buttons.iter().filter(fits).take(BUTTONS_MAX).enumerate().map(button).collect();
        if !elements.is_empty() {
            self.push(json!({"type": "actions", "elements": elements}));
        }
    }

    /// Adds the context in small letters, and returns the blocks.
    pub(super) fn finish(mut self, lines: &[Markup]) -> Vec<Value> {
        self.units_left = CONTEXT_UNITS;
        if let Some(text) = self.fitted(lines, CONTEXT_UNITS) {
            self.blocks.truncate(BLOCKS_MAX - 1);
            self.push(json!({"type": "context", "elements": [text]}));
        }
        self.blocks
    }

    fn push(&mut self, block: Value) {
        if self.blocks.len() < BLOCKS_MAX {
            self.blocks.push(block);
        }
    }

    /// Returns a text object of the lines that fit, with the number of the others, or `None` if none fits.
    fn fitted(&mut self, lines: &[Markup], units_max: usize) -> Option<Value> {
        let units_free = units_max.min(self.units_left);
        let mut text = String::new();
        for (shown, line) in lines.iter().enumerate() {
            let is_last = shown + 1 == lines.len();
            let separator = usize::from(shown > 0);
            let reserve = if is_last { 0 } else { MORE_UNITS };
            if units(&text) + separator + units(line.as_str()) + reserve > units_free {
                if shown > 0 {
                    text.push_str(&format!("\n… and {} more", lines.len() - shown));
                }
                break;
            }
            if shown > 0 {
                text.push('\n');
            }
            text.push_str(line.as_str());
        }
        if text.is_empty() {
            return None;
        }
        self.units_left -= units(&text);
        Some(json!({"type": "mrkdwn", "text": text, "verbatim": true}))
    }
}

/// Returns the payload; `fallback` is also markup: Slack shows it in notifications, and if it refuses the blocks.
pub(super) fn payload(fallback: &str, blocks: &[Value]) -> Value {
    json!({"text": fallback, "blocks": blocks, "unfurl_links": false, "unfurl_media": false})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_do_not_fit_are_counted() {
        let mut blocks = Blocks::new();
        blocks.section(&vec![Markup::trusted("x".repeat(999)); 5]);
        let shown = blocks.finish(&[]);
        let text = shown[0]["text"]["text"].as_str().expect("a text");
        assert!(text.ends_with("x\n… and 3 more"), "{}", &text[text.len() - 30..]);
        assert!(units(text) <= SECTION_UNITS_MAX);
    }

    #[test]
    fn the_context_always_fits() {
        let mut blocks = Blocks::new();
        for _ in 0..60 {
            blocks.section(&[Markup::trusted("y".repeat(2_000))]);
        }
        let shown = blocks.finish(&[Markup::trusted("uid")]);
        assert_eq!(shown.last().expect("a block")["elements"][0]["text"], "uid");
        assert_eq!(shown.len(), 6);
    }
}
