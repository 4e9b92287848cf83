//! Renders a Slack message as plain text in a border, for `stakeout demo`.
//!
//! A message contains text of an attacker: control characters never reach the terminal.

use serde_json::Value;

/// In a narrower box most words are broken.
const WIDTH_MIN: usize = 24;

/// Draws a message in a box that is `width` columns wide.
pub fn render(message: &Value, width: usize) -> String {
    let inner = width.max(WIDTH_MIN) - 4;
    let mut lines = Vec::new();
    let blocks = message.get("blocks").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let attached = message.get("attachments").and_then(Value::as_array).into_iter().flatten();
    let attached = attached.filter_map(|attachment| attachment.get("blocks")?.as_array()).flatten();
    for block in blocks.iter().chain(attached) {
        draw_block(block, inner, &mut lines);
    }
    if lines.is_empty() {
        lines.extend(text_lines(message.get("text"), inner));
    }
    boxed(&lines, inner)
}

/// A line of text, or a rule across the box.
enum Line {
    Text(String),
    Rule,
}

fn draw_block(block: &Value, inner: usize, lines: &mut Vec<Line>) {
    match block.get("type").and_then(Value::as_str) {
        Some("divider") => return lines.push(Line::Rule),
        Some("context" | "actions") => {
            let elements = block.get("elements").and_then(Value::as_array).into_iter().flatten();
            let elements: Vec<String> = elements.map(element).collect();
            lines.extend(wrapped(&elements.join("  "), inner));
        }
        Some("image") => lines.extend(wrapped(&element(block), inner)),
        _ => {
            lines.extend(block.get("text").into_iter().flat_map(|text| text_lines(Some(text), inner)));
            for field in block.get("fields").and_then(Value::as_array).into_iter().flatten() {
                let field = text_of(Some(field)).replacen('\n', ": ", 1).replace("::", ":");
                lines.extend(wrapped(&field, inner));
            }
            lines.extend(block.get("accessory").into_iter().flat_map(|accessory| wrapped(&element(accessory), inner)));
        }
    }
    if block.get("type").and_then(Value::as_str) == Some("header") {
        lines.push(Line::Rule);
    }
}

fn element(element: &Value) -> String {
    let text_member = |name: &str| element.get(name).and_then(Value::as_str).unwrap_or_default();
    match element.get("type").and_then(Value::as_str) {
        Some("button") => format!("[ {} ] {}", text_of(element.get("text")), harmless(text_member("url"))),
        Some("image") => format!("({})", harmless(text_member("alt_text"))),
        _ => text_of(Some(element)),
    }
}

fn text_lines(text: Option<&Value>, inner: usize) -> Vec<Line> {
    wrapped(&text_of(text), inner)
}

/// Reads a text object, or a text; mrkdwn loses its marks.
fn text_of(text: Option<&Value>) -> String {
    match text {
        Some(Value::String(text)) => harmless(&unmarked(text)),
        Some(object) => {
            let text = object.get("text").and_then(Value::as_str).unwrap_or_default();
            let is_plain = object.get("type").and_then(Value::as_str) == Some("plain_text");
            harmless(&if is_plain { unescaped(text) } else { unmarked(text) })
        }
        None => String::new(),
    }
}

/// Turns `<target|label>` into words, removes the stars of bold text, and undoes escapes last.
fn unmarked(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(open) = rest.find('<') {
        plain.push_str(&unstarred(&rest[..open]));
        let Some(close) = rest[open..].find('>') else {
            rest = &rest[open..];
            break;
        };
        plain.push_str(&sequence(&rest[open + 1..open + close]));
        rest = &rest[open + close + 1..];
    }
    plain.push_str(&unstarred(rest));
    unescaped(&plain)
}

fn sequence(inside: &str) -> String {
    let (target, label) = inside.split_once('|').unwrap_or((inside, ""));
    match target.strip_prefix('!') {
        Some(special) if label.is_empty() => format!("@{special}"),
        Some(_) => label.to_owned(),
        None if label.is_empty() => target.to_owned(),
        None => format!("{label} ({target})"),
    }
}

fn unstarred(text: &str) -> String {
    text.split_inclusive('\n').map(unstarred_line).collect()
}

/// Drops pairs of stars that open before a word and close after one.
fn unstarred_line(line: &str) -> String {
    let is_opening = |at: usize| {
        line[at + 1..].starts_with(|c: char| !c.is_whitespace() && c != '*')
            && !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '/' || c == '`')
    };
    let Some(open) = line.match_indices('*').map(|(at, _)| at).find(|at| is_opening(*at)) else {
        return line.to_owned();
    };
    let Some(close) = line[open + 1..].find('*').map(|at| open + 1 + at) else {
        return line.to_owned();
    };
    format!("{}{}{}", &line[..open], &line[open + 1..close], unstarred_line(&line[close + 1..]))
}

fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

/// Replaces characters that control a terminal or the reading direction.
fn harmless(text: &str) -> String {
    let is_obeyed = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if is_obeyed(c) { '\u{fffd}' } else { c }).collect()
}

fn wrapped(text: &str, inner: usize) -> Vec<Line> {
    let lines = text.trim_end().split('\n');
    lines.flat_map(|line| wrapped_line(line, inner)).map(Line::Text).collect()
}

fn wrapped_line(line: &str, inner: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut current = String::new();
    for word in line.split_inclusive(' ') {
        if columns(&current) + columns(word.trim_end()) > inner && !current.is_empty() {
            lines.push(std::mem::take(&mut current));
        }
        for c in word.chars() {
            if columns(&current) + column(c) > inner {
                lines.push(std::mem::take(&mut current));
                if c == ' ' {
                    continue;
                }
            }
            current.push(c);
        }
    }
    lines.push(current);
    lines
}

fn boxed(lines: &[Line], inner: usize) -> String {
    let rule = "\u{2500}".repeat(inner + 2);
    let mut drawn = format!("\u{256d}{rule}\u{256e}\n");
    for (index, line) in lines.iter().enumerate() {
        match line {
            // A rule next to the border is useless.
            Line::Rule if index + 1 == lines.len() => {}
            Line::Rule => drawn += &format!("\u{251c}{rule}\u{2524}\n"),
            Line::Text(text) => {
                let text = text.trim_end();
                let padding = " ".repeat(inner.saturating_sub(columns(text)));
                drawn += &format!("\u{2502} {text}{padding} \u{2502}\n");
            }
        }
    }
    drawn + &format!("\u{2570}{rule}\u{256f}\n")
}

fn columns(text: &str) -> usize {
    text.chars().map(column).sum()
}

/// The columns of a character: near enough for wide scripts and emoji.
fn column(c: char) -> usize {
    match c {
        '\u{200b}'..='\u{200d}' | '\u{fe00}'..='\u{fe0f}' | '\u{300}'..='\u{36f}' => 0,
        '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}' | '\u{f900}'..='\u{faff}' => 2,
        '\u{fe30}'..='\u{fe4f}' | '\u{ff00}'..='\u{ff60}' | '\u{1f300}'..='\u{1faff}' | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_message_is_drawn_in_a_box() {
        let message = json!({"text": "not drawn", "blocks": [
            {"type": "header", "text": {"type": "plain_text", "text": "Scan & more"}},
            {"type": "section", "text": {"type": "mrkdwn", "text": "*11* requests from &lt;x&gt; <https://a.example|runbook>"},
             "fields": [{"type": "mrkdwn", "text": "*Source*\n`203.0.113.7`"}]},
            {"type": "divider"},
            {"type": "context", "elements": [{"type": "mrkdwn", "text": "\u{1b}[31mred GET /*"}]},
            {"type": "actions", "elements": [
                {"type": "button", "text": {"type": "plain_text", "text": "Open"}, "url": "https://b.example"}]},
        ]});
        let expected = "\
╭──────────────────────────────────╮
│ Scan & more                      │
├──────────────────────────────────┤
│ 11 requests from <x> runbook     │
│ (https://a.example)              │
│ Source: `203.0.113.7`            │
├──────────────────────────────────┤
│ \u{fffd}[31mred GET /*                  │
│ [ Open ] https://b.example       │
╰──────────────────────────────────╯
";
        assert_eq!(render(&message, 36), expected);
    }

    #[test]
    fn a_message_without_blocks_shows_its_text() {
        assert_eq!(
            render(&json!({"text": "hello"}), 24),
            "╭──────────────────────╮\n│ hello                │\n╰──────────────────────╯\n"
        );
    }

    proptest! {
        #[test]
        fn every_line_has_the_width_and_no_control_characters(text in ".{0,120}", width in 0_usize..90) {
            let message = json!({"blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": text}}]});
            for line in render(&message, width).lines() {
                prop_assert_eq!(columns(line), width.max(WIDTH_MIN), "{}", line);
                prop_assert!(!line.contains(char::is_control));
            }
        }
    }
}
