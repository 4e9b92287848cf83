//! What the judge takes and what it refuses.

use serde_json::{Value, json};

use super::*;

fn status(message: &Value) -> Option<(SlackRefusal, String)> {
    let (refusal, problems) = check(message).err()?;
    problems.into_iter().next().map(|problem| (refusal, problem.at))
}

fn block(block: &Value) -> Option<(SlackRefusal, String)> {
    status(&json!({"text": "fallback", "blocks": [block]}))
}

fn section(text: &str) -> Value {
    json!({"type": "section", "text": {"type": "mrkdwn", "text": text}})
}

#[test]
fn good_messages_are_accepted() {
    let button = json!({"type": "button", "text": {"type": "plain_text", "text": "Open", "emoji": true}, "url": "https://x.example", "style": "danger"});
    let image = json!({"type": "image", "image_url": "https://x.example/i.png", "alt_text": "i"});
    for message in [
        json!({"text": "x"}),
        json!({"text": "x", "parse": "none", "mrkdwn": false}),
        json!({"blocks": [section("x")]}),
        json!({"attachments": [{"color": "#d00000", "fallback": "x", "blocks": [section("x")]}]}),
        json!({"text": "x".repeat(40_000), "unfurl_links": false, "unfurl_media": false, "blocks": [
            {"type": "header", "text": {"type": "plain_text", "text": "h".repeat(150)}, "block_id": "a"},
            {"type": "section", "fields": vec![json!({"type": "mrkdwn", "text": "f", "verbatim": true}); 10], "accessory": button},
            {"type": "divider", "block_id": "b"},
            {"type": "context", "elements": [image, {"type": "plain_text", "text": "c"}]},
            {"type": "actions", "elements": [button]},
            {"type": "markdown", "text": "**bold**"},
            section(&"s".repeat(3000)),
        ]}),
    ] {
        assert_eq!(check(&message), Ok(()), "{message}");
    }
}

#[test]
fn bad_payloads_differ_from_bad_blocks() {
    let long = "x".repeat(40_001);
    for (message, at) in [
        (json!([]), ""),
        (json!({"text": 7}), "/text"),
        (json!({"text": long}), "/text"),
        (json!({"text": "x", "blocks": {}}), "/blocks"),
        (json!({"text": "x", "unfurl_links": "no"}), "/unfurl_links"),
        (json!({"text": "x", "parse": true}), "/parse"),
        (json!({"txt": "x"}), "/txt"),
    ] {
        assert_eq!(status(&message), Some((SlackRefusal::InvalidPayload, at.to_owned())), "{message}");
    }
    for message in [json!({}), json!({"text": ""}), json!({"text": " ", "blocks": []})] {
        assert_eq!(status(&message), Some((SlackRefusal::NoText, String::new())), "{message}");
    }
}

#[test]
fn errors_point_at_the_bad_block() {
    let text = |kind: &str, length: usize| json!({"type": kind, "text": "x".repeat(length)});
    let button = |member: &str, value: Value| {
        let mut button = json!({"type": "button", "text": text("plain_text", 1)});
        button[member] = value;
        json!({"type": "actions", "elements": [button]})
    };
    for (bad, at) in [
        (json!("section"), ""),
        (json!({"type": "input"}), "/type"),
        (json!({"type": "section"}), ""),
        (json!({"type": "section", "text": "x"}), "/text"),
        (json!({"type": "section", "text": text("mrkdwn", 0)}), "/text/text"),
        (json!({"type": "section", "text": text("mrkdwn", 3001)}), "/text/text"),
        (json!({"type": "section", "text": {"type": "mrkdwn", "text": "x", "emoji": true}}), "/text/emoji"),
        (json!({"type": "section", "text": {"type": "html", "text": "x"}}), "/text/type"),
        (json!({"type": "section", "text": text("mrkdwn", 1), "color": "red"}), "/color"),
        (json!({"type": "section", "fields": []}), "/fields"),
        (json!({"type": "section", "fields": vec![text("mrkdwn", 1); 11]}), "/fields"),
        (json!({"type": "section", "fields": [text("mrkdwn", 2001)]}), "/fields/0/text"),
        (json!({"type": "section", "text": text("mrkdwn", 1), "accessory": {"type": "overflow"}}), "/accessory/type"),
        (json!({"type": "header", "text": text("mrkdwn", 1)}), "/text/type"),
        (json!({"type": "header", "text": text("plain_text", 151)}), "/text/text"),
        (json!({"type": "header"}), "/text"),
        (json!({"type": "divider", "text": "x"}), "/text"),
        (json!({"type": "divider", "block_id": "x".repeat(256)}), "/block_id"),
        (json!({"type": "context", "elements": []}), "/elements"),
        (json!({"type": "context", "elements": vec![text("mrkdwn", 1); 11]}), "/elements"),
        (json!({"type": "actions", "elements": [text("mrkdwn", 1)]}), "/elements/0/type"),
        (json!({"type": "image", "image_url": "ftp://x", "alt_text": "x"}), "/image_url"),
        (json!({"type": "image", "image_url": "https://x.example"}), "/alt_text"),
        (button("text", text("plain_text", 76)), "/elements/0/text/text"),
        (button("url", json!(format!("https://{}", "x".repeat(3000)))), "/elements/0/url"),
        (button("url", json!("javascript:alert(1)")), "/elements/0/url"),
        (button("value", json!("x".repeat(2001))), "/elements/0/value"),
        (button("style", json!("loud")), "/elements/0/style"),
    ] {
        assert_eq!(block(&bad), Some((SlackRefusal::InvalidBlocks, format!("/blocks/0{at}"))), "{bad}");
    }
}

#[test]
fn a_message_has_limits_as_a_whole() {
    let blocks = |blocks: Vec<Value>| status(&json!({"text": "x", "blocks": blocks}));
    let refused = |at: &str| Some((SlackRefusal::InvalidBlocks, at.to_owned()));
    assert_eq!(blocks(vec![json!({"type": "divider"}); 50]), None);
    assert_eq!(blocks(vec![json!({"type": "divider"}); 51]), refused("/blocks"));
    assert_eq!(blocks(vec![json!({"type": "divider", "block_id": "a"}); 2]), refused("/blocks/1/block_id"));
    assert_eq!(blocks(vec![section(&"x".repeat(2600)); 5]), None);
    assert_eq!(blocks(vec![section(&"x".repeat(2601)); 5]), refused("/blocks"));
    // Counted as Slack's clients count: an emoji is two.
    assert_eq!(blocks(vec![section(&"\u{1f6a8}".repeat(1501))]), refused("/blocks/0/text/text"));
}
