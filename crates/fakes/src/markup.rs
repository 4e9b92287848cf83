//! Finds the active parts of a Slack message: mentions that notify people, links that can be clicked.
//! <https://docs.slack.dev/messaging/formatting-message-text>
//!
//! It errs on the side of caution: sequences inside code spans count, and so do names that Slack turns into mentions in
//! mrkdwn objects that are not `verbatim`.

use serde_json::Value;

/// One active part of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActiveMarkup {
    /// JSON pointer to the text that holds it.
    pub at: String,
    /// What it does.
    pub kind: ActiveKind,
    /// The sequence in the message.
    pub raw: String,
}

/// The effect of an active part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActiveKind {
    /// `<!channel>`, `<!here>`, `<!everyone>`: notifies everybody.
    Broadcast,
    /// `<@U...>`, `<!subteam^S...>`: notifies a person or group.
    Mention,
    /// `<#C...>`.
    Channel,
    /// `<https://...|label>`, or any other scheme.
    Link,
    /// Any other `<!...>`, such as a date.
    Special,
    /// `@here`, `@channel`, `@everyone` or `#name` as plain words, where Slack resolves names itself.
    Name,
    /// A URL as plain words; harmless, and not reported, if `unfurl_links` and `unfurl_media` are false.
    UnfurledUrl,
}

/// Finds all active parts of a message, in the order of its texts.
pub fn active_markup(message: &Value) -> Vec<ActiveMarkup> {
    let is_off = |name: &str| message.get(name) == Some(&Value::Bool(false));
    let unfurls = !(is_off("unfurl_links") && is_off("unfurl_media"));
    let mut found = Vec::new();
    if let Some(text) = message.get("text").and_then(Value::as_str)
        && !is_off("mrkdwn")
    {
        find_in("/text", text, Reading { resolves_names: false, unfurls }, &mut found);
    }
    for list in ["blocks", "attachments"] {
        if let Some(value) = message.get(list) {
            walk(&format!("/{list}"), value, unfurls, &mut found);
        }
    }
    found
}

/// How Slack reads one text.
#[derive(Clone, Copy)]
struct Reading {
    resolves_names: bool,
    unfurls: bool,
}

fn walk(at: &str, value: &Value, unfurls: bool, found: &mut Vec<ActiveMarkup>) {
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                walk(&format!("{at}/{index}"), item, unfurls, found);
            }
        }
        Value::Object(members) => {
            let is_marked = matches!(members.get("type").and_then(Value::as_str), Some("mrkdwn" | "markdown"));
            if let (true, Some(text)) = (is_marked, members.get("text").and_then(Value::as_str)) {
                let is_verbatim = members.get("verbatim") == Some(&Value::Bool(true));
                find_in(&format!("{at}/text"), text, Reading { resolves_names: !is_verbatim, unfurls }, found);
            }
            for (name, member) in members {
                walk(&format!("{at}/{name}"), member, unfurls, found);
            }
        }
        _ => {}
    }
}

fn find_in(at: &str, text: &str, reading: Reading, found: &mut Vec<ActiveMarkup>) {
    let mut report = |kind, raw: &str| {
        found.push(ActiveMarkup { at: at.to_owned(), kind, raw: raw.to_owned() });
    };
    let mut rest = text;
    while let Some(open) = rest.find('<') {
        words(&rest[..open], reading, &mut report);
        rest = &rest[open..];
        let end = rest.find('>').map(|close| close + 1);
        match end.and_then(|end| kind_of(&rest[1..end - 1]).map(|kind| (end, kind))) {
            Some((end, kind)) => {
                report(kind, &rest[..end]);
                rest = &rest[end..];
            }
            None => rest = &rest[1..],
        }
    }
    words(rest, reading, &mut report);
}

/// Returns the effect of the inside of `<...>`, if any.
fn kind_of(inside: &str) -> Option<ActiveKind> {
    let target = inside.split('|').next().unwrap_or_default();
    match target.chars().next()? {
        '@' => Some(ActiveKind::Mention),
        '#' => Some(ActiveKind::Channel),
        '!' => Some(match target.split('^').next().unwrap_or_default() {
            "!channel" | "!here" | "!everyone" | "!group" => ActiveKind::Broadcast,
            "!subteam" => ActiveKind::Mention,
            _ => ActiveKind::Special,
        }),
        _ => is_url(target).then_some(ActiveKind::Link),
    }
}

fn is_url(target: &str) -> bool {
    let Some((scheme, rest)) = target.split_once(':') else {
        return false;
    };
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    is_scheme && !rest.is_empty() && !target.contains(char::is_whitespace)
}

fn words(text: &str, reading: Reading, report: &mut impl FnMut(ActiveKind, &str)) {
    for word in text.split(|c: char| c.is_whitespace() || matches!(c, '(' | ')' | ',' | ';' | '"' | '`' | '*')) {
        let lower = word.to_lowercase();
        let broadcasts = ["@here", "@channel", "@everyone"];
        let is_channel = lower.strip_prefix('#').is_some_and(|name| name.starts_with(|c: char| c.is_ascii_lowercase()));
        let is_name = is_channel || broadcasts.iter().any(|broadcast| lower.starts_with(broadcast));
        if reading.resolves_names && is_name {
            report(ActiveKind::Name, word);
        }
        if reading.unfurls && (lower.starts_with("http://") || lower.starts_with("https://")) {
            report(ActiveKind::UnfurledUrl, word);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn live(text: &str) -> Vec<(ActiveKind, String)> {
        let message = json!({
            "unfurl_links": false, "unfurl_media": false,
            "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": true}}],
        });
        active_markup(&message).into_iter().map(|active| (active.kind, active.raw)).collect()
    }

    #[test]
    fn control_sequences_are_live() {
        for (text, kind) in [
            ("<!channel>", ActiveKind::Broadcast),
            ("<!here|here>", ActiveKind::Broadcast),
            ("<@U123>", ActiveKind::Mention),
            ("<!subteam^S1|@team>", ActiveKind::Mention),
            ("<#C1|general>", ActiveKind::Channel),
            ("<https://evil.example|your bank>", ActiveKind::Link),
            ("<javascript:alert(1)>", ActiveKind::Link),
            ("<!date^1^{date}|x>", ActiveKind::Special),
        ] {
            assert_eq!(live(&format!("before < {text} `after`")), [(kind, text.to_owned())]);
        }
    }

    #[test]
    fn escaped_and_plain_text_is_not() {
        for text in ["&lt;!channel&gt;", "a < b > c", "< @U1>", "<>", "https://plain.example", "@here #general"] {
            assert_eq!(live(text), [], "{text}");
        }
    }

    #[test]
    fn plain_text_objects_never_are_and_loose_mrkdwn_resolves_names() {
        let message = json!({
            "text": "<!here> https://unfurled.example @here",
            "blocks": [
                {"type": "header", "text": {"type": "plain_text", "text": "<!channel>"}},
                {"type": "context", "elements": [{"type": "mrkdwn", "text": "(@channel) #1 #ops"}]},
            ],
        });
        let at = |at: &str, kind, raw: &str| ActiveMarkup { at: at.to_owned(), kind, raw: raw.to_owned() };
        assert_eq!(
            active_markup(&message),
            [
                at("/text", ActiveKind::Broadcast, "<!here>"),
                at("/text", ActiveKind::UnfurledUrl, "https://unfurled.example"),
                at("/blocks/1/elements/0/text", ActiveKind::Name, "@channel"),
                at("/blocks/1/elements/0/text", ActiveKind::Name, "#ops"),
            ]
        );
    }
}
