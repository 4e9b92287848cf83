//! Slack with slack_sdk: its models and its client against the fake, and our messages against its models.

use std::collections::BTreeMap;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use stakeout_core::delivery::Subject;
use stakeout_core::finding::FindingKey;
use stakeout_core::rule::Level;
use stakeout_fakes::slack::SlackRefusal;
use stakeout_fakes::slack_api::{BOT_TOKEN, CHANNEL};
use stakeout_fakes::{Fault, Faults, Slack, SlackApi};
use stakeout_notify::{Digest, Message, MessageBody, slack};

use super::answered;
use super::strategy;

/// How many hostile findings and notices are rendered, with random activities.
const FINDINGS: usize = 150;

/// Limits of Slack that its models do not check.
const UNCHECKED_BY_MODELS: [&str; 2] = ["51 blocks", "field of 2001"];

/// What `slack_payloads.py` prints for a payload that it has sent.
#[derive(Debug, PartialEq, serde::Deserialize)]
struct Status {
    problem: Option<String>,
    status: u16,
    body: String,
    retry_after: Option<String>,
}

fn sent(slack: &Slack, payloads: &[Value]) -> Vec<Status> {
    answered("slack_payloads.py", &[&slack.webhook_url()], &json!(payloads).to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_fake_and_the_models_of_slack_agree() {
    let slack = Slack::start().await.expect("a free port");
    let results: BTreeMap<String, (bool, u16, String)> = answered("slack_models.py", &[&slack.webhook_url()], "");
    let mut unlike = Vec::new();
    for (name, (is_valid, status, body)) in &results {
        match (status, body.as_str()) {
            (200, "ok") if *is_valid => {}
            (400, "invalid_blocks") if !is_valid => {}
            (400, "invalid_blocks") => unlike.push(name.as_str()),
            _ => panic!("{name}: valid is {is_valid}, answered {status} {body}"),
        }
    }
    assert_eq!(unlike, UNCHECKED_BY_MODELS);
    let taken = results.values().filter(|(_, status, _)| *status == 200).count();
    assert_eq!((results.len(), slack.messages().len()), (28, taken));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_of_slack_reads_refusals() {
    let slack = Slack::start().await.expect("a free port");
    let faults = [
        (Fault::Throttled { retry_after_s: Some(3) }, 429, "rate_limited", Some("3")),
        (Fault::from(SlackRefusal::NoService), 404, "no_service", None),
        (Fault::from(SlackRefusal::ChannelIsArchived), 410, "channel_is_archived", None),
        (Fault::InternalError, 500, "rollup_error", None),
    ];
    for (fault, status, body, retry_after) in faults {
        slack.set_faults(Faults::next(1, &fault));
        let status =
            Status { problem: None, status, body: body.to_owned(), retry_after: retry_after.map(str::to_owned) };
        assert_eq!(sent(&slack, &[json!({"text": "x"})]), [status], "{fault:?}");
    }
}

/// The client of slack_sdk posts, edits and answers in the fake of the Web API, and reads its refusals.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_web_client_of_slack_edits_messages() {
    let slack = SlackApi::start().await.expect("a free port");
    let url = format!("{}/api/", slack.endpoint());
    let results: Value = answered("slack_api.py", &[&url, BOT_TOKEN, CHANNEL.1], "");
    let refused = |error: &str| json!([200, error, false]);
    let expected = json!({
        "user": "stakeout", "same message": true, "thread": true, "form": true,
        "wrong token": refused("invalid_auth"),
        "wrong channel": refused("channel_not_found"),
        "edit by name": refused("channel_not_found"),
        "wrong message": refused("message_not_found"),
        "wrong thread": refused("thread_not_found"),
        "nothing to say": refused("no_text"),
        "too long": refused("msg_too_long"),
        "wrong blocks": refused("invalid_blocks"),
        "unknown method": refused("unknown_method"),
    });
    assert_eq!(results, expected);
    let messages = slack.messages();
    assert_eq!(messages.iter().map(|message| message.edits).collect::<Vec<_>>(), [1, 0, 0]);
    assert_eq!((messages[0].payload["text"].as_str(), messages[1].is_broadcast), (Some("edited"), true));
    for (fault, status, error, has_wait) in [
        (Fault::Throttled { retry_after_s: Some(3) }, 429, "ratelimited", true),
        (Fault::InternalError, 500, "internal_error", false),
    ] {
        slack.set_faults(Faults { script: [None, None, None, None, None].into(), ..Faults::default() });
        slack.faults().script_next(1, &fault);
        let results: Value = answered("slack_api.py", &[&url, BOT_TOKEN, CHANNEL.1], "");
        assert_eq!(results["wrong token"], json!([status, error, has_wait]), "{results}");
    }
}

/// Generates hostile values, the same on each run.
fn drawn<S: Strategy>(strategy: &S, number: usize) -> Vec<S::Value> {
    let mut runner = TestRunner::deterministic();
    (0..number).map(|_| strategy.new_tree(&mut runner).expect("it filters nothing").current()).collect()
}

/// Renders messages of every kind about hostile findings.
fn our_messages() -> Vec<Value> {
    let findings = drawn(&(strategy::finding(), strategy::activity()), FINDINGS);
    let notices = drawn(&strategy::notice(), FINDINGS);
    let names = drawn(&strategy::text(64), 20);
    let plain = strategy::plain_finding(0xabc, Level::High, 12);
    let shown: Vec<_> = findings.iter().map(|(finding, activity)| (finding, *activity)).collect();

    let mut bodies: Vec<MessageBody<'_>> =
        shown.iter().map(|(finding, activity)| MessageBody::Finding { finding, activity: *activity }).collect();
    bodies.extend(notices.iter().map(MessageBody::Notice));
    bodies.extend(names.iter().map(|name| MessageBody::Test { destination: name }));
    bodies.extend(shown.chunks(15).zip(notices.chunks(15)).map(|(shown, notices)| {
        let forgotten = vec![Subject::Finding(FindingKey(1))];
        let (findings, notices) = (shown.to_vec(), notices.iter().collect());
        MessageBody::Digest(Digest { findings, notices, forgotten, ..Digest::default() }.in_order())
    }));
    bodies.push(MessageBody::Forgotten((0..2_000).map(|key| Subject::Finding(FindingKey(key))).collect()));
    bodies.push(MessageBody::Finding { finding: &plain, activity: stakeout_core::delivery::Activity::Create });
    bodies.into_iter().map(|body| slack::message(&Message { id: "1".to_owned(), body })).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_messages_are_valid_for_the_models_and_the_fake() {
    let slack = Slack::start().await.expect("a free port");
    let payloads = our_messages();
    let results = sent(&slack, &payloads);
    assert_eq!(results.len(), 2 * FINDINGS + 20 + FINDINGS / 15 + 2);
    for (payload, status) in payloads.iter().zip(results) {
        let taken = Status { problem: None, status: 200, body: "ok".to_owned(), retry_after: None };
        assert_eq!(status, taken, "{payload:#}\n{:?}", slack.refused().last());
    }
    assert_eq!(slack.messages(), payloads, "what arrived is what was rendered");
}
