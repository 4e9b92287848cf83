//! The plain webhook over plain HTTP.

use std::num::NonZeroU32;

use serde_json::json;
use stakeout_fakes::{Fault, Faults, Webhook};

async fn post(webhook: &Webhook, body: &'static str) -> Result<u16, reqwest::Error> {
    let answer = crate::http().post(webhook.url()).body(body).send().await?;
    let status = answer.status().as_u16();
    answer.bytes().await.map(|_| status)
}

#[tokio::test]
async fn json_and_json_lines_are_kept() {
    let webhook = Webhook::start().await.expect("a loopback port is free");
    for (body, expected) in [("{\"a\":\n 1}", 200), ("{\"b\":2}\n[3]\n", 200), ("plain", 400), ("", 400)] {
        assert_eq!(post(&webhook, body).await.expect("is answered"), expected, "{body}");
    }
    assert_eq!(webhook.values(), [json!({"a": 1}), json!({"b": 2}), json!([3])]);
    assert_eq!(webhook.posts()[1].path, "/hook");
}

#[tokio::test]
async fn every_nth_request_gets_a_fault() {
    let webhook = Webhook::start().await.expect("a loopback port is free");
    let second = NonZeroU32::new(2).expect("two is not zero");
    webhook.set_faults(Faults::every(second, Fault::Answer { status: 418, body: "teapot".to_owned() }));
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(post(&webhook, "{}").await.expect("is answered"));
    }
    assert_eq!(statuses, [200, 418, 200, 418]);
    webhook.set_faults(Faults::always(Fault::ResetMidBody));
    assert!(post(&webhook, "{}").await.is_err());
    assert_eq!(webhook.values().len(), 3);
}
