//! Text that an attacker chose, through the whole pipeline: it reaches Slack harmless and within its limits.

use stakeout_fakes::markup::ActiveKind;

use super::audit::{Asked, DAY, HOUR, Line, MINUTE};
use super::world::World;

const EVIL: [&str; 14] = [
    "<!channel>",
    "<!here|all of you>",
    "<@U012ABCDEF>",
    "<#C012ABCDEF>",
    "<!subteam^S012ABCDEF>",
    "<https://evil.example|your bank>",
    "https://evil.example/unfurl",
    "`code` ```block``` `<!channel>`",
    "&lt;!channel&gt; &amp;lt;!here&amp;gt;",
    "\u{202e}\u{2066}gpj.exe\u{2069}",
    "one\u{2028}two\u{2029}three\u{85}four",
    "\u{0}\u{7}\u{1b}[2J\u{1b}]0;owned\u{7}\r\n*bold* _it_ ~gone~",
    "\u{200b}\u{feff}\u{1f468}\u{200d}\u{1f469} \u{e0041}",
    "@channel @everyone #general",
];

/// Lines whose every text is hostile: named and unnamed users, long and short.
pub(crate) fn lines() -> Vec<Line> {
    let mut lines = Vec::new();
    for (place, evil) in (0..).zip(EVIL) {
        for (n, long) in [(0, false), (1, true)] {
            let mut asked = Asked::new(DAY + 10 * MINUTE + place, "8.8.8.8", 403, 2 * place + n);
            let text = if long { evil.repeat(6_000 / evil.chars().count()) } else { evil.to_owned() };
            asked.uri = format!("/api/v1/namespaces/{text}/pods?{text}");
            asked.agent.clone_from(&text);
            asked.audit_id = format!("{text}{n}");
            if n == 1 {
                asked.username = text;
            }
            lines.push(asked.line());
        }
    }
    lines
}

/// Every text in a value, whatever it is called.
fn texts(value: &serde_json::Value) -> Vec<&str> {
    match value {
        serde_json::Value::String(text) => vec![text],
        serde_json::Value::Array(items) => items.iter().flat_map(texts).collect(),
        serde_json::Value::Object(members) => members.values().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}

/// Whether a character can hide, reorder or break text.
fn is_treacherous(c: char) -> bool {
    let is_hidden =
        matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    (c.is_control() && c != '\n') || is_hidden || ('\u{e0000}'..='\u{e0fff}').contains(&c)
}

fn assert_harmless(world: &World) {
    assert_eq!(world.slack.refused(), []);
    for live in world.slack.active_markup() {
        let is_ours = live.kind == ActiveKind::Link && live.raw.starts_with("<https://attack.mitre.org/techniques/T");
        assert!(is_ours, "{live:?}");
    }
    for message in world.slack.messages() {
        for text in texts(&message) {
            assert!(!text.contains(is_treacherous), "{text:?}");
        }
    }
}

#[test]
fn hostile_text_reaches_slack_harmless_in_single_messages() {
    let world = World::new();
    world.ingest(&lines());
    world.once_done(DAY + HOUR);
    assert_harmless(&world);
    let shown: String = world.slack.messages().iter().map(ToString::to_string).collect();
    assert_eq!(world.slack.messages().len(), 3);
    assert!(shown.contains("&lt;!channel&gt;"), "the evidence is missing: {shown}");
    assert!(shown.contains(r"\\u{1b}"), "what is hidden is not shown: {shown}");
    assert_eq!(world.reported().len(), 3);
}

#[test]
fn hostile_text_reaches_slack_harmless_in_a_digest() {
    let world = World::new();
    let mut spread = lines();
    for (n, line) in spread.iter_mut().enumerate() {
        line.text = line.text.replace("8.8.8.8", &format!("8.8.8.{n}"));
    }
    world.ingest(&spread);
    world.once_done(DAY + HOUR);
    assert_harmless(&world);
    assert_eq!((world.slack.messages().len(), world.reported().len()), (1, 14));
}

#[test]
fn lines_that_the_provider_cut_off_are_counted() {
    let world = World::new();
    let body = "x".repeat(250_000);
    for n in 0..12 {
        let ms = (DAY + 20 * MINUTE + n) * 1000;
        // EKS cuts a line at its limit and says so; the times, which stand behind the bodies, are gone.
        let text = format!(
            r#"{{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"RequestResponse","auditID":"{n}","stage":"ResponseComplete","requestURI":"/api/v1/pods","verb":"create","user":{{"username":"jane"}},"sourceIPs":["8.8.8.8"],"responseStatus":{{"code":403}},"requestObject":{{"data":"{body}[Truncated...]"#
        );
        world.ingest(&[Line { ms, text }]);
    }
    let ran = world.once_done(DAY + HOUR);
    let counts: Vec<i64> = world.reported().into_iter().map(|reported| reported.episode.count).collect();
    assert_eq!(counts, [12], "{}", ran.stderr);
}
