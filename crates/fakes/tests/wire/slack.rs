//! The Slack webhook over plain HTTP.

use std::time::Duration;

use serde_json::{Value, json};
use stakeout_fakes::slack::{Slack, SlackRefusal};
use stakeout_fakes::{Fault, Faults};

async fn post(url: &str, message: &Value) -> (u16, Option<String>, String) {
    let body = message.to_string();
    let answer = crate::http().post(url).header("content-type", "application/json; charset=utf-8").body(body);
    let answer = answer.send().await.expect("is answered");
    let retry_after = answer.headers().get("retry-after").and_then(|value| value.to_str().ok()).map(str::to_owned);
    (answer.status().as_u16(), retry_after, answer.text().await.expect("has a body"))
}

#[tokio::test]
async fn messages_are_accepted_and_kept() {
    let slack = Slack::start().await.expect("a loopback port is free");
    let message = json!({"text": "Scan by <!channel>", "blocks": [{"type": "divider"}]});
    assert_eq!(post(&slack.webhook_url(), &message).await, (200, None, "ok".to_owned()));
    assert_eq!(slack.messages(), [message]);
    assert_eq!(slack.active_markup().len(), 1);
    assert_eq!(slack.requests()[0].target, "POST webhook");
}

#[tokio::test]
async fn bad_messages_and_hooks_get_slacks_answers() {
    let slack = Slack::start().await.expect("a loopback port is free");
    let hook = slack.webhook_url();
    let text = json!({"text": "x"});
    for (url, message, expected) in [
        (hook.clone(), json!({}), (400, "no_text")),
        (hook.clone(), json!(7), (400, "invalid_payload")),
        (hook.clone(), json!({"text": "x", "blocks": [{"type": "x"}]}), (400, "invalid_blocks")),
        (format!("{hook}X"), text.clone(), (403, "invalid_token")),
        (format!("{}/services/T1/B1/x", slack.url()), text.clone(), (404, "no_service")),
    ] {
        let (status, _, body) = post(&url, &message).await;
        assert_eq!((status, body.as_str()), expected, "{message}");
    }
    let form = crate::http().post(&hook).header("content-type", "text/plain").body("{\"text\":\"x\"}").send().await;
    assert_eq!(form.expect("is answered").status(), 400);
    assert_eq!(slack.messages(), Vec::<Value>::new());
    assert_eq!(slack.refused()[2].problems[0].at, "/blocks/0/type");
}

#[tokio::test]
async fn faults_look_like_those_of_slack() {
    let slack = Slack::start().await.expect("a loopback port is free");
    let text = json!({"text": "x"});
    let archived = Fault::from(SlackRefusal::ChannelIsArchived);
    for (fault, expected) in [
        (Fault::Throttled { retry_after_s: Some(30) }, (429, Some("30"), "rate_limited")),
        (Fault::Throttled { retry_after_s: None }, (429, None, "rate_limited")),
        (Fault::InternalError, (500, None, "rollup_error")),
        (Fault::Denied, (403, None, "action_prohibited")),
        (archived, (410, None, "channel_is_archived")),
    ] {
        slack.set_faults(Faults::next(1, &fault));
        let (status, retry_after, body) = post(&slack.webhook_url(), &text).await;
        assert_eq!((status, retry_after.as_deref(), body.as_str()), expected);
    }
    assert_eq!(slack.messages(), Vec::<Value>::new());
    slack.set_faults(Faults::next(1, &Fault::AnswerLost));
    assert!(crate::http().post(slack.webhook_url()).json(&text).send().await.is_err());
    assert_eq!(slack.messages(), [text]);
}

#[tokio::test]
async fn the_rate_can_be_limited_to_one_message_a_second() {
    let slack = Slack::start().await.expect("a loopback port is free");
    let text = json!({"text": "x"});
    slack.clock().set("2026-11-22T00:00:00Z".parse().expect("a timestamp"));
    slack.limit_rate(true);
    assert_eq!(post(&slack.webhook_url(), &text).await.0, 200);
    assert_eq!(post(&slack.webhook_url(), &text).await, (429, Some("1".to_owned()), "rate_limited".to_owned()));
    slack.clock().advance(Duration::from_secs(1));
    assert_eq!(post(&slack.webhook_url(), &text).await.0, 200);
}

#[tokio::test]
async fn health_checks_are_not_recorded_and_the_port_closes_on_drop() {
    let slack = Slack::start().await.expect("a loopback port is free");
    let url = slack.url();
    let health = crate::http().get(&url).send().await.expect("is answered").text().await.expect("has a body");
    assert_eq!(health, r#"{"service":"slack","status":"ok"}"#);
    assert_eq!(slack.requests(), []);
    drop(slack);
    while crate::http().get(&url).send().await.is_ok() {
        tokio::task::yield_now().await;
    }
}
