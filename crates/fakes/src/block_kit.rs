//! A strict validator of Slack messages: the members, blocks, elements and lengths that Block Kit allows.
//! <https://docs.slack.dev/reference/block-kit/blocks>
//!
//! It is stricter than Slack: it refuses unknown members, counts lengths in UTF-16 units, and refuses block and element
//! types that no alert needs (menus, inputs, rich text).

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::slack_refusal::SlackRefusal;

const BLOCKS_MAX: usize = 50;
const MESSAGE_TEXT_MAX: usize = 40_000;
/// Undocumented; messages a little above it fail with `msg_blocks_too_long`.
const BLOCKS_TEXT_MAX: usize = 13_000;
const ATTACHMENTS_MAX: usize = 20;

/// One violated rule, at a JSON pointer into the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// JSON pointer.
    pub at: String,
    /// The rule.
    pub says: String,
}

impl Problem {
    pub(crate) fn new(at: &str, says: &str) -> Self {
        Self { at: at.to_owned(), says: says.to_owned() }
    }
}

/// Validates a message; the error is the answer of Slack, with the reasons.
pub fn check(message: &Value) -> Result<(), (SlackRefusal, Vec<Problem>)> {
    let Value::Object(members) = message else {
        return Err((SlackRefusal::InvalidPayload, vec![Problem::new("", "must be an object")]));
    };
    let mut payload = Judge::default();
    payload.message(members);
    if !payload.problems.is_empty() {
        return Err((SlackRefusal::InvalidPayload, payload.problems));
    }
    if ["text", "blocks", "attachments"].iter().all(|name| is_blank(members.get(*name))) {
        return Err((SlackRefusal::NoText, vec![Problem::new("", "needs text or blocks")]));
    }
    let mut blocks = Judge::default();
    blocks.all_blocks(members);
    if !blocks.problems.is_empty() {
        return Err((SlackRefusal::InvalidBlocks, blocks.problems));
    }
    Ok(())
}

fn is_blank(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.trim().is_empty(),
        Some(Value::Array(items)) => items.is_empty(),
        Some(_) => false,
    }
}

/// The kinds of text object that a member accepts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Any,
}

/// Collects problems, and the values that must be unique or short in a whole message.
#[derive(Default)]
struct Judge {
    problems: Vec<Problem>,
    block_ids: BTreeSet<String>,
    action_ids: BTreeSet<String>,
    text_units: usize,
}

impl Judge {
    fn says(&mut self, at: &str, says: &str) {
        self.problems.push(Problem::new(at, says));
    }

    fn message(&mut self, members: &Map<String, Value>) {
        const KNOWN: &[&str] = &[
            "text",
            "blocks",
            "attachments",
            "mrkdwn",
            "parse",
            "thread_ts",
            "unfurl_links",
            "unfurl_media",
            "response_type",
            "replace_original",
            "delete_original",
            "metadata",
        ];
        self.known_members("", members, KNOWN);
        match members.get("text") {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) if units(text) <= MESSAGE_TEXT_MAX => {}
            Some(_) => self.says("/text", "must be a text of at most 40000 characters"),
        }
        for flag in ["mrkdwn", "unfurl_links", "unfurl_media", "replace_original", "delete_original"] {
            self.optional(&format!("/{flag}"), members.get(flag), "must be true or false", Value::is_boolean);
        }
        for list in ["blocks", "attachments"] {
            self.optional(&format!("/{list}"), members.get(list), "must be an array", Value::is_array);
        }
        self.optional("/metadata", members.get("metadata"), "must be an object", Value::is_object);
        // <https://docs.slack.dev/reference/methods/chat.postMessage>
        let is_parse = |parse: &Value| parse == "none" || parse == "full";
        self.optional("/parse", members.get("parse"), "must be none or full", is_parse);
        for text in ["thread_ts", "response_type"] {
            self.optional(&format!("/{text}"), members.get(text), "must be a text", Value::is_string);
        }
    }

    fn all_blocks(&mut self, members: &Map<String, Value>) {
        self.blocks("/blocks", members.get("blocks"));
        let attachments = items(members.get("attachments"));
        if attachments.len() > ATTACHMENTS_MAX {
            self.says("/attachments", "at most 20 attachments");
        }
        for (index, attachment) in attachments.iter().enumerate() {
            let at = format!("/attachments/{index}");
            let Some(members) = self.object(&at, attachment) else {
                continue;
            };
            self.known_members(&at, members, &["color", "fallback", "blocks"]);
            self.length(&format!("{at}/color"), members.get("color"), 1, 7);
            self.length(&format!("{at}/fallback"), members.get("fallback"), 1, MESSAGE_TEXT_MAX);
            self.blocks(&format!("{at}/blocks"), members.get("blocks"));
        }
        if self.text_units > BLOCKS_TEXT_MAX {
            self.says("/blocks", "at most 13000 characters of text in all blocks together");
        }
    }

    fn blocks(&mut self, at: &str, blocks: Option<&Value>) {
        let blocks = items(blocks);
        if blocks.len() > BLOCKS_MAX {
            self.says(at, "at most 50 blocks");
        }
        for (index, block) in blocks.iter().enumerate() {
            self.block(&format!("{at}/{index}"), block);
        }
    }

    fn block(&mut self, at: &str, block: &Value) {
        let Some(block) = self.object(at, block) else {
            return;
        };
        if let Some(id) = self.length(&format!("{at}/block_id"), block.get("block_id"), 1, 255)
            && !self.block_ids.insert(id.to_owned())
        {
            self.says(&format!("{at}/block_id"), "must be unique in the message");
        }
        match block.get("type").and_then(Value::as_str) {
            Some("section") => self.section(at, block),
            Some("header") => {
                self.known_members(at, block, &["type", "block_id", "text"]);
                self.text(&format!("{at}/text"), block.get("text"), Kind::Plain, 150);
            }
            Some("divider") => self.known_members(at, block, &["type", "block_id"]),
            Some("context") => {
                self.known_members(at, block, &["type", "block_id", "elements"]);
                self.elements(at, block, 10, Self::context_element);
            }
            Some("actions") => {
                self.known_members(at, block, &["type", "block_id", "elements"]);
                self.elements(at, block, 25, Self::button);
            }
            Some("image") => self.image_block(at, block),
            Some("markdown") => {
                self.known_members(at, block, &["type", "block_id", "text"]);
                self.required_length(&format!("{at}/text"), block.get("text"), 12_000);
            }
            _ => self.says(&format!("{at}/type"), "must be a block type that the fake knows"),
        }
    }

    fn section(&mut self, at: &str, block: &Map<String, Value>) {
        self.known_members(at, block, &["type", "block_id", "text", "fields", "accessory", "expand"]);
        if block.get("text").is_none() && block.get("fields").is_none() {
            self.says(at, "needs text or fields");
        }
        if let Some(text) = block.get("text") {
            self.text(&format!("{at}/text"), Some(text), Kind::Any, 3000);
        }
        if let Some(fields) = block.get("fields") {
            self.fields(&format!("{at}/fields"), fields);
        }
        if let Some(accessory) = block.get("accessory") {
            self.accessory(&format!("{at}/accessory"), accessory);
        }
        self.optional(&format!("{at}/expand"), block.get("expand"), "must be true or false", Value::is_boolean);
    }

    fn fields(&mut self, at: &str, fields: &Value) {
        let fields = items(Some(fields));
        if !(1..=10).contains(&fields.len()) {
            self.says(at, "must be an array of 1 to 10 text objects");
        }
        for (index, field) in fields.iter().enumerate() {
            self.text(&format!("{at}/{index}"), Some(field), Kind::Any, 2000);
        }
    }

    fn accessory(&mut self, at: &str, accessory: &Value) {
        match accessory.get("type").and_then(Value::as_str) {
            Some("button") => self.button(at, accessory),
            Some("image") => self.image_element(at, accessory),
            _ => self.says(&format!("{at}/type"), "must be button or image"),
        }
    }

    fn elements(&mut self, at: &str, block: &Map<String, Value>, max: usize, judge: fn(&mut Self, &str, &Value)) {
        let elements = items(block.get("elements"));
        if !(1..=max).contains(&elements.len()) {
            self.says(&format!("{at}/elements"), &format!("must be an array of 1 to {max} elements"));
        }
        for (index, element) in elements.iter().enumerate() {
            judge(self, &format!("{at}/elements/{index}"), element);
        }
    }

    fn context_element(&mut self, at: &str, element: &Value) {
        match element.get("type").and_then(Value::as_str) {
            Some("image") => self.image_element(at, element),
            _ => self.text(at, Some(element), Kind::Any, 3000),
        }
    }

    fn button(&mut self, at: &str, button: &Value) {
        const KNOWN: &[&str] = &["type", "text", "action_id", "url", "value", "style", "accessibility_label"];
        let Some(button) = self.object(at, button) else {
            return;
        };
        self.known_members(at, button, KNOWN);
        if button.get("type").and_then(Value::as_str) != Some("button") {
            self.says(&format!("{at}/type"), "must be button");
        }
        self.text(&format!("{at}/text"), button.get("text"), Kind::Plain, 75);
        if let Some(id) = self.length(&format!("{at}/action_id"), button.get("action_id"), 1, 255)
            && !self.action_ids.insert(id.to_owned())
        {
            self.says(&format!("{at}/action_id"), "must be unique in the message");
        }
        self.url(&format!("{at}/url"), button.get("url"));
        self.length(&format!("{at}/value"), button.get("value"), 1, 2000);
        self.length(&format!("{at}/accessibility_label"), button.get("accessibility_label"), 1, 75);
        let is_style = |style: &Value| style == "primary" || style == "danger";
        self.optional(&format!("{at}/style"), button.get("style"), "must be primary or danger", is_style);
    }

    fn image_block(&mut self, at: &str, block: &Map<String, Value>) {
        self.known_members(at, block, &["type", "block_id", "image_url", "alt_text", "title"]);
        self.image(at, block);
        if let Some(title) = block.get("title") {
            self.text(&format!("{at}/title"), Some(title), Kind::Plain, 2000);
        }
    }

    fn image_element(&mut self, at: &str, element: &Value) {
        let Some(element) = self.object(at, element) else {
            return;
        };
        self.known_members(at, element, &["type", "image_url", "alt_text"]);
        self.image(at, element);
    }

    fn image(&mut self, at: &str, image: &Map<String, Value>) {
        if image.get("image_url").is_none() {
            self.says(at, "needs image_url");
        }
        self.url(&format!("{at}/image_url"), image.get("image_url"));
        self.required_length(&format!("{at}/alt_text"), image.get("alt_text"), 2000);
    }

    /// Validates a text object.
    fn text(&mut self, at: &str, text: Option<&Value>, kind: Kind, max: usize) {
        let Some(text) = text else {
            return self.says(at, "is missing");
        };
        let Some(object) = self.object(at, text) else {
            return;
        };
        let (known, flag) = match object.get("type").and_then(Value::as_str) {
            Some("plain_text") => (["type", "text", "emoji"], "emoji"),
            Some("mrkdwn") if kind == Kind::Any => (["type", "text", "verbatim"], "verbatim"),
            _ => {
                let kinds = if kind == Kind::Any { "must be plain_text or mrkdwn" } else { "must be plain_text" };
                return self.says(&format!("{at}/type"), kinds);
            }
        };
        self.known_members(at, object, &known);
        self.optional(&format!("{at}/{flag}"), object.get(flag), "must be true or false", Value::is_boolean);
        self.required_length(&format!("{at}/text"), object.get("text"), max);
    }

    fn url(&mut self, at: &str, url: Option<&Value>) {
        if let Some(url) = self.length(at, url, 1, 3000)
            && !(url.starts_with("https://") || url.starts_with("http://"))
        {
            self.says(at, "must be an http or https URL");
        }
    }

    fn required_length(&mut self, at: &str, text: Option<&Value>, max: usize) {
        match text {
            None => self.says(at, "is missing"),
            Some(_) => self.text_units += self.length(at, text, 1, max).map_or(0, units),
        }
    }

    /// Validates an optional member; returns it if it is a text of valid length.
    fn length<'v>(&mut self, at: &str, text: Option<&'v Value>, min: usize, max: usize) -> Option<&'v str> {
        let text = text?;
        match text.as_str().filter(|text| (min..=max).contains(&units(text))) {
            Some(text) => Some(text),
            None => {
                self.says(at, &format!("must be a text of {min} to {max} characters"));
                None
            }
        }
    }

    fn optional(&mut self, at: &str, value: Option<&Value>, says: &str, fits: impl Fn(&Value) -> bool) {
        if value.is_some_and(|value| !fits(value)) {
            self.says(at, says);
        }
    }

    fn object<'v>(&mut self, at: &str, value: &'v Value) -> Option<&'v Map<String, Value>> {
        if value.is_object() {
            return value.as_object();
        }
        self.says(at, "must be an object");
        None
    }

    fn known_members(&mut self, at: &str, members: &Map<String, Value>, known: &[&str]) {
        for name in members.keys().filter(|name| !known.contains(&name.as_str())) {
            self.says(&format!("{at}/{name}"), "is unknown");
        }
    }
}

fn items(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

#[cfg(test)]
mod tests;
