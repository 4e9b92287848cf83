//! Slack and a webhook over real connections: what each answer, and each lack of one, allows.

use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::Value;
use stakeout_core::delivery::Activity;
use stakeout_core::finding::Finding;
use stakeout_core::route::{Route, Subjects};
use stakeout_core::rule::Level;
use stakeout_http::Network;
use stakeout_notify::signature::SigningKey;
use stakeout_notify::slack::Slack;
use stakeout_notify::webhook::{Credentials, Header, Webhook};
use stakeout_notify::{Background, Channel, Destination, Message, MessageBody, Receipt, SendError};

use crate::server::{Request, Server, answer};
use crate::strategy;

/// Its key is 24 bytes that begin with `canary`.
const SIGNING_SECRET: &str = "whsec_Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5";

type Outcome = (Result<Receipt, SendError>, Vec<Request>);

fn message(finding: &Finding) -> Message<'_> {
    Message { id: "17-abc-1".to_owned(), body: MessageBody::Finding { finding, activity: Activity::Create } }
}

fn slack_at(url: &str) -> Channel {
    let slack =
        Slack::new(SecretString::from(format!("{url}/services/T0/B0/canary")), &Network::default()).expect("loopback");
    Channel::Slack { slack, max_messages: 10 }
}

fn webhook_at(url: &str) -> Channel {
    let header = |name, value: &str| Header::new(name, SecretString::from(value)).expect("a header");
    let credentials = Credentials {
        bearer_token: Some(SecretString::from("bearer-canary")),
        signing_key: SigningKey::parse(&SecretString::from(SIGNING_SECRET)),
        headers: vec![header("X-Api-Key", "header-canary"), header("X-Scheme", "Key 0123-canary")],
    };
    let url = SecretString::from(format!("{url}/in?key=canary"));
    Channel::Webhook(Webhook::new(url, credentials, &Network::default()).expect("loopback"))
}

/// Sends one message to a destination that gives these answers.
async fn outcome_of(channel: fn(&str) -> Channel, answers: Vec<String>) -> Outcome {
    let server = Server::start(answers).await;
    let destination = Destination::new(
        "secops".to_owned(),
        Route::from_level(Subjects::Both, Level::Informational),
        channel(&server.url),
    );
    let finding = strategy::plain_finding(1, Level::Low, 7);
    let outcome =
        for_any_thread(destination.send(&message(&finding), Background::default(), Timestamp::UNIX_EPOCH)).await;
    if let Err(error) = &outcome {
        let shown = format!("{error} {error:?} {destination:?}");
        assert!(!shown.contains("canary") && !shown.contains("Y2FuYXJ5"), "{shown}");
    }
    (outcome, server.requests().await)
}

/// Returns `future`, which a runtime with several threads must be able to move.
fn for_any_thread<F: Future + Send>(future: F) -> F {
    future
}

fn later(after: Option<u64>, reason: &str) -> Result<Receipt, SendError> {
    Err(SendError::Later { after: after.map(Duration::from_secs), reason: reason.to_owned() })
}

fn refused(reason: &str) -> Result<Receipt, SendError> {
    Err(SendError::Refused { reason: reason.to_owned() })
}

#[tokio::test]
async fn slack_takes_blocks() {
    for ok in ["ok", "ok\n", "{\"ok\":true}"] {
        let (outcome, requests) = outcome_of(slack_at, vec![answer(200, "", ok)]).await;
        assert_eq!(outcome, Ok(Receipt::default()));
        assert!(requests[0].head.starts_with("post /services/t0/b0/canary http/1.1"), "{}", requests[0].head);
        assert!(requests[0].head.contains("content-type: application/json"));
        let payload: Value = serde_json::from_str(&requests[0].body).expect("JSON");
        assert_eq!(payload["blocks"][0]["type"], "header");
    }
}

#[tokio::test]
async fn slack_gets_plain_text_once_where_it_refuses_blocks() {
    let refusal = answer(400, "", "invalid_blocks");
    let (outcome, requests) = outcome_of(slack_at, vec![refusal.clone(), answer(200, "", "ok")]).await;
    assert_eq!(outcome, Ok(Receipt { plain_text: true, ..Receipt::default() }));
    let plain: Value = serde_json::from_str(&requests[1].body).expect("JSON");
    assert_eq!((plain.get("blocks"), plain["text"].as_str().map(|text| text.starts_with("low "))), (None, Some(true)));
    let (outcome, requests) = outcome_of(slack_at, vec![refusal, answer(400, "", "invalid_payload")]).await;
    assert_eq!((outcome, requests.len()), (refused("status 400: invalid_payload"), 2));
}

#[tokio::test]
async fn every_answer_of_slack_has_its_meaning() {
    let not_ok = later(None, "status 200, but slack did not answer ok");
    let cases = [
        (answer(429, "retry-after: 30\r\n", ""), later(Some(30), "status 429")),
        (answer(429, "", "ratelimited"), later(None, "status 429: ratelimited")),
        (answer(429, "retry-after: 99999999999\r\n", ""), later(Some(3_600), "status 429")),
        (
            answer(503, "date: Sun, 22 Nov 2026 01:00:00 GMT\r\nretry-after: Sun, 22 Nov 2026 01:00:45 GMT\r\n", ""),
            later(Some(45), "status 503"),
        ),
        (answer(500, "", "rollup_error"), later(None, "status 500: rollup_error")),
        (answer(404, "", "no_service"), refused("status 404: no_service")),
        (answer(403, "", "action_prohibited"), refused("status 403: action_prohibited")),
        (answer(410, "", "channel_is_archived"), refused("status 410: channel_is_archived")),
        (answer(400, "", "user_not_found"), refused("status 400: user_not_found")),
        (answer(302, "location: http://127.0.0.1:1/\r\n", ""), refused("status 302: redirects are not followed")),
        (answer(200, "", "{\"ok\":false,\"error\":\"invalid_auth\"}"), refused("slack answered invalid_auth")),
        (answer(200, "", "{\"ok\":false,\"error\":\"ratelimited\"}"), later(None, "slack answered ratelimited")),
        (answer(200, "", "<html>log in to the wifi</html>"), not_ok.clone()),
        (answer(200, "", ""), not_ok),
        (answer(404, "", "a\u{1b}[31m\u{202e}b"), refused("status 404: a\\u{1b}[31m\\u{202e}b")),
    ];
    for (reply, expected) in cases {
        let (outcome, requests) = outcome_of(slack_at, vec![reply.clone()]).await;
        assert_eq!((outcome, requests.len()), (expected, 1), "{reply}");
    }
}

#[tokio::test]
async fn a_broken_connection_is_tried_later() {
    let halves =
        [String::new(), "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\no".to_owned(), "nonsense\r\n\r\n".to_owned()];
    for half in halves {
        for channel in [slack_at, webhook_at] {
            let (outcome, _) = outcome_of(channel, vec![half.clone()]).await;
            assert!(matches!(outcome, Err(SendError::Later { after: None, .. })), "{half}: {outcome:?}");
        }
    }
}

#[tokio::test]
async fn nobody_there_is_tried_later() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let destination =
        Destination::new("secops".to_owned(), Route::from_level(Subjects::Both, Level::Low), slack_at(&url));
    let finding = strategy::plain_finding(1, Level::Low, 7);
    let Err(SendError::Later { reason, .. }) =
        destination.send(&message(&finding), Background::default(), Timestamp::UNIX_EPOCH).await
    else {
        panic!("not later")
    };
    assert!(reason.starts_with("cannot connect: ") && !reason.contains("canary"), "{reason}");
}

#[tokio::test]
async fn a_webhook_gets_one_object_with_its_delivery_id() {
    let (outcome, requests) = outcome_of(webhook_at, vec![answer(202, "", "thanks")]).await;
    assert_eq!(outcome, Ok(Receipt::default()));
    let head = &requests[0].head;
    for expected in [
        "post /in?key=canary http/1.1",
        "x-stakeout-delivery: 17-abc-1",
        "authorization: bearer bearer-canary",
        "content-type: application/json",
        "x-api-key: header-canary",
        "webhook-id: 17-abc-1",
        "webhook-timestamp: 0",
        "webhook-signature: v1,",
    ] {
        assert!(head.contains(expected), "{expected} in {head}");
    }
    let object: Value = serde_json::from_str(&requests[0].body).expect("JSON");
    assert_eq!((&object["class_uid"], &object["metadata"]["uid"]), (&Value::from(2004), &Value::from("17-abc-1")));
}

#[tokio::test]
async fn every_answer_of_a_webhook_has_its_meaning() {
    let cases = [
        (answer(204, "", ""), Ok(Receipt::default())),
        (answer(400, "", "no"), refused("status 400: no")),
        (answer(401, "", ""), refused("status 401")),
        (answer(408, "", ""), later(None, "status 408")),
        (answer(429, "retry-after: 7\r\n", ""), later(Some(7), "status 429")),
        (answer(307, "location: https://evil.example/\r\n", ""), refused("status 307: redirects are not followed")),
        (answer(502, "", ""), later(None, "status 502")),
    ];
    for (reply, expected) in cases {
        let (outcome, _) = outcome_of(webhook_at, vec![reply.clone()]).await;
        assert_eq!(outcome, expected, "{reply}");
    }
}

/// A proxy or a debugging receiver may answer with the request.
#[tokio::test]
async fn an_answer_that_repeats_the_secrets_does_not_get_into_the_error() {
    for body in [
        "no: authorization: Bearer bearer-canary",
        "no: POST /in?key=canary HTTP/1.1",
        "no: {\"path\": \"\\/in?key=canary\", \"token\": \"bearer-canary\"}",
        "no: x-api-key: header-canary, x-scheme: 0123-canary",
        "no: the secret is not whsec_Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5",
    ] {
        let (outcome, _) = outcome_of(webhook_at, vec![answer(400, "", body)]).await;
        let Err(SendError::Refused { reason }) = outcome else { panic!("not refused") };
        assert!(
            !reason.contains("canary") && !reason.contains("Y2FuYXJ5") && reason.starts_with("status 400: no: "),
            "{reason}"
        );
    }
    let echo = answer(500, "", "cannot POST /services/T0/B0/canary here");
    assert_eq!(outcome_of(slack_at, vec![echo]).await.0, later(None, "status 500: cannot POST [secret] here"));
    let echo = answer(200, "", "{\"ok\":false,\"error\":\"no_\\/services\\/T0\\/B0\\/canary\"}");
    assert_eq!(outcome_of(slack_at, vec![echo]).await.0, refused("slack answered no_[secret]"));
}

#[tokio::test]
async fn an_answer_without_end_is_cut() {
    let (outcome, _) = outcome_of(slack_at, vec![answer(404, "", &"x".repeat(100_000))]).await;
    let Err(SendError::Refused { reason }) = outcome else { panic!("not refused") };
    assert!(reason.chars().count() <= 200, "{reason}");
}

#[test]
fn a_webhook_is_https_or_loopback() {
    let is_allowed =
        |url: &str| Webhook::new(SecretString::from(url), Credentials::default(), &Network::default()).is_ok();
    assert!(
        is_allowed("https://siem.example/in") && is_allowed("http://127.0.0.1:1/in") && is_allowed("http://[::1]/in")
    );
    for bad in ["http://siem.example/in", "https://user:secret@siem.example/", "file:///etc/passwd", "siem"] {
        assert!(!is_allowed(bad), "{bad}");
    }
}

#[test]
fn a_header_of_the_user_breaks_no_request() {
    let problem = |name: &str, value: &str| Header::new(name, SecretString::from(value)).err();
    assert_eq!([problem("X-Api-Key", "a b"), problem("Authorization", "Basic dTpw")], [None, None]);
    for reserved in
        ["Host", "CONTENT-LENGTH", "Transfer-Encoding", "Connection", "webhook-signature", "X-Stakeout-Delivery"]
    {
        assert_eq!(problem(reserved, "x"), Some("Stakeout or the connection sets this header"), "{reserved}");
    }
    for (name, value) in [("", "x"), ("X Y", "x"), ("X:", "x"), ("X", "a\r\nHost: b"), ("X", "\u{e4}"), ("X", "a\0")] {
        assert!(problem(name, value).is_some(), "{name:?} {value:?}");
    }
}
