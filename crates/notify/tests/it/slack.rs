//! Messages stay within Slack's limits, and Slack never interprets the text of an attacker.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;
use stakeout_core::delivery::{Activity, Subject};
use stakeout_core::finding::FindingKey;
use stakeout_core::rule::Level;
use stakeout_core::text::is_invisible;
use stakeout_notify::{AddressBook, Digest, Message, MessageBody, slack};

use crate::strategy;

/// Asserts Slack's limits on blocks and texts, and that every text is harmless.
pub(crate) fn assert_harmless(payload: &Value) {
    let blocks = payload["blocks"].as_array().expect("blocks");
    assert!((1..=50).contains(&blocks.len()));
    let mut total = 0;
    for block in blocks {
        match block["type"].as_str() {
            Some("header") => total += assert_text(&block["text"], "plain_text", 150),
            Some("section") => {
                if !block["text"].is_null() {
                    total += assert_text(&block["text"], "mrkdwn", 3_000);
                }
                let fields = block["fields"].as_array().map(Vec::as_slice).unwrap_or_default();
                assert!(fields.len() <= 10 && (!fields.is_empty() || !block["text"].is_null()));
                total += fields.iter().map(|field| assert_text(field, "mrkdwn", 2_000)).sum::<usize>();
            }
            Some("context") => {
                let elements = block["elements"].as_array().expect("elements");
                assert!((1..=10).contains(&elements.len()));
                total += elements.iter().map(|element| assert_text(element, "mrkdwn", 3_000)).sum::<usize>();
            }
            Some("actions") => {
                for button in block["elements"].as_array().expect("buttons") {
                    total += assert_text(&button["text"], "plain_text", 75);
                    let url = button["url"].as_str().expect("an address");
                    assert!(url.starts_with("https://") && url.len() <= 3_000, "{url}");
                }
            }
            other => panic!("a block of type {other:?}"),
        }
    }
    assert!(total <= slack::TEXT_UNITS_MAX, "{total}");
    assert_safe(payload["text"].as_str().expect("a fallback"));
    assert_eq!(payload["unfurl_links"], Value::Bool(false));
    assert_eq!(payload["unfurl_media"], Value::Bool(false));
    let plain = slack::plain_text(payload);
    assert!(plain["blocks"].is_null() && !plain["text"].as_str().expect("a text").is_empty());
}

fn assert_text(object: &Value, kind: &str, units_max: usize) -> usize {
    assert_eq!(object["type"], kind);
    let text = object["text"].as_str().expect("a text");
    let units = text.encode_utf16().count();
    assert!((1..=units_max).contains(&units), "{units} of {units_max}");
    if kind == "mrkdwn" {
        assert_eq!(object["verbatim"], Value::Bool(true));
    }
    assert_safe(text);
    units
}

/// Asserts that `<`, `>` and `&` belong to our markup, that code spans end on their line, and that all text is visible.
fn assert_safe(text: &str) {
    let mut rest = text.to_owned();
    for technique in ["T1046", "T1613", "T1078.001", "T9999"] {
        let path = technique.replace('.', "/");
        rest = rest.replace(&format!("<https://attack.mitre.org/techniques/{path}/|{technique}>"), "");
    }
    for escape in ["&amp;", "&lt;", "&gt;"] {
        rest = rest.replace(escape, "");
    }
    assert!(!rest.contains(['<', '>', '&']), "{rest}");
    for line in text.lines() {
        assert_eq!(line.matches('`').count() % 2, 0, "{line}");
        assert!(!line.contains(is_invisible), "{line:?}");
    }
}

/// Returns the text outside of code spans, where Slack would read markup.
fn outside_of_code(text: &str) -> String {
    text.lines().flat_map(|line| line.split('`').step_by(2)).collect()
}

/// Asserts that Slack would read nothing of an attacker as markup: outside of code spans and of the header, all is ours.
pub(crate) fn assert_outside_of_code_is_ours(payload: &Value) {
    let texts = payload["blocks"].as_array().expect("blocks").iter().skip(1).map(|block| {
        let fields = block["fields"].as_array().into_iter().flatten();
        let elements = block["elements"].as_array().into_iter().flatten();
        let objects = fields.chain(elements).chain([&block["text"]]);
        objects.filter_map(|object| object["text"].as_str()).map(outside_of_code).collect::<String>()
    });
    let fallback = payload["text"].as_str().map(outside_of_code);
    for text in texts.chain(fallback) {
        for bait in ["evil", "channel", "U12345", ":fire:", "_i_", "~s~", "X-Injected", "gpj"] {
            assert!(!text.contains(bait), "{bait} in {text}");
        }
    }
}

#[test]
fn a_finding_shows_what_an_analyst_needs() {
    let finding = strategy::plain_finding(0xabc, Level::Low, 123);
    let payload = slack::finding_message(&finding, Activity::Create, &AddressBook::default());
    assert_harmless(&payload);
    let texts: Vec<&str> = [
        "/blocks/0/text/text",
        "/blocks/1/text/text",
        "/blocks/2/fields/0/text",
        "/blocks/2/fields/2/text",
        "/blocks/3/text/text",
        "/blocks/4/elements/0/text",
    ]
    .iter()
    .map(|path| payload.pointer(path).and_then(Value::as_str).unwrap_or("missing"))
    .collect();
    assert_eq!(
        texts,
        [
            "[Low] Kubernetes scanning by an unauthenticated address",
            "`198.51.100.7` (documentation) sent *123 requests* to the Kubernetes API of clusters `dev`, `prod` \
             from 2026-11-22 01:00:52 to 01:30:10 UTC.",
            "*Frequency*\n123 requests in 29 min 18 s (4.2/min)",
            "*Response codes*\n111 × 403, 12 × 401",
            "*MITRE ATT&amp;CK:* <https://attack.mitre.org/techniques/T1046/|T1046> Network Service Discovery\n\
             *Possible false positive:* A scanner of your own",
            "uid `00000000000000000000000000000abc` · `stakeout findings show 00000000000000000000000000000abc`\n\
             rule `kubernetes-scanning-by-unauthenticated-ip` · risk 20",
        ]
    );
}

#[test]
fn a_digest_names_the_top_and_counts_the_rest() {
    let findings: Vec<_> = (0..40u8)
        .map(|n| strategy::plain_finding(n.into(), Level::ALL[usize::from(n) % 5], u64::from(n) + 1))
        .collect();
    let shown = findings.iter().map(|finding| (finding, Activity::Create)).collect();
    let digest = Digest { findings: shown, ..Digest::default() }.in_order();
    let payload = slack::digest_message(&digest);
    assert_harmless(&payload);
    let text = payload.to_string();
    for expected in [
        "40 findings",
        "8 critical, 8 high, 8 medium, 8 low, 8 informational",
        "40 × `kubernetes-scanning-by-unauthenticated-ip`",
        "• critical `kubernetes-scanning-by-unauthenticated-ip` `198.51.100.7`, 40 requests",
        "30 more findings.",
        "stakeout findings list",
    ] {
        assert!(text.contains(expected), "{expected} in {text}");
    }
    assert_eq!(text.matches('•').count(), 10);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn findings_are_harmless(finding in strategy::finding(), activity in strategy::activity()) {
        let payload = slack::finding_message(&finding, activity, &AddressBook::default());
        assert_harmless(&payload);
        let context = payload["blocks"].as_array().and_then(|blocks| blocks.last()).expect("a context");
        prop_assert!(context.to_string().contains(&finding.key.to_string()));
    }

    #[test]
    fn the_text_of_clients_is_in_code_spans(mut finding in strategy::finding()) {
        // The rule's texts belong to the user; without them everything outside of code is ours.
        let rule = Arc::make_mut(&mut finding.rule);
        rule.title = "title".to_owned();
        rule.falsepositives.clear();
        rule.runbook.clear();
        let payload = slack::finding_message(&finding, Activity::Create, &AddressBook::default());
        assert_outside_of_code_is_ours(&payload);
    }

    #[test]
    fn other_messages_are_harmless(findings in vec(strategy::finding(), 0..15), notices in vec(strategy::notice(), 0..15), name in strategy::text(64)) {
        for notice in &notices {
            assert_harmless(&slack::notice_message(notice));
        }
        let shown = findings.iter().map(|finding| (finding, Activity::Create)).collect();
        let bodies = [
            MessageBody::Digest(Digest { findings: shown, notices: notices.iter().collect(), forgotten: vec![Subject::Finding(FindingKey(3))], ..Digest::default() }.in_order()),
            MessageBody::Forgotten((0..2_000).map(|key| Subject::Finding(FindingKey(key))).collect()),
            MessageBody::Test { destination: &name },
        ];
        for body in bodies {
            assert_harmless(&slack::message(&Message { id: "9-x".to_owned(), body }));
        }
    }
}
