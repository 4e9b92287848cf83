//! SNS over the wire: the query protocol that the SDK speaks, and what refusals allow.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use stakeout_aws::Access;
use stakeout_core::delivery::Activity;
use stakeout_core::rule::Level;
use stakeout_http::{Endpoint, Network};
use stakeout_notify::sns::Sns;
use stakeout_notify::{AddressBook, Message, MessageBody, Receipt, SendError, SetupError};

use crate::server::{Server, answer};
use crate::strategy;

const TOPIC: &str = "arn:aws:sns:eu-west-1:123456789012:alerts";
const PUBLISHED: &str = "<PublishResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><PublishResult><MessageId>m-1</MessageId>\
                         </PublishResult><ResponseMetadata><RequestId>r-1</RequestId></ResponseMetadata></PublishResponse>";

async fn topic(topic_arn: &str, endpoint: &str) -> Result<Sns, SetupError> {
    let endpoint = Endpoint::parse_base(endpoint).expect("an address");
    Sns::new(topic_arn.to_owned(), &Access::fake("eu-west-1", endpoint), &Network::default())
}

fn refusal(status: u16, code: &str) -> String {
    let body = format!(
        "<ErrorResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><Error><Type>Sender</Type><Code>{code}</Code>\
         <Message>no</Message></Error><RequestId>r-1</RequestId></ErrorResponse>"
    );
    answer(status, "content-type: text/xml\r\nretry-after: 5\r\n", &body)
}

/// Publishes one finding and returns the outcome with the form that was posted.
async fn published(topic_arn: &str, reply: String) -> (Result<Receipt, SendError>, BTreeMap<String, String>) {
    let server = Server::start(vec![reply]).await;
    let sns = topic(topic_arn, &server.url).await.expect("loopback");
    let finding = strategy::plain_finding(0xabc, Level::Low, 7);
    let message = Message {
        id: "17-abc-1".to_owned(),
        body: MessageBody::Finding { finding: &finding, activity: Activity::Create },
    };
    let outcome = sns.send(&message, &AddressBook::default(), Timestamp::UNIX_EPOCH).await;
    let requests = server.requests().await;
    let form = requests[0].body.split('&').filter_map(|pair| pair.split_once('='));
    (outcome, form.map(|(name, value)| (decoded(name), decoded(value))).collect())
}

/// Decodes a value of a form.
fn decoded(text: &str) -> String {
    let url = stakeout_http::Url::parse(&format!("http://x/?v={text}")).expect("a form's value");
    url.query_pairs().next().map(|(_, value)| value.into_owned()).unwrap_or_default()
}

/// Returns the attributes of a form: name to (type, value).
fn attributes(form: &BTreeMap<String, String>) -> BTreeMap<&str, (&str, &str)> {
    let at = |n: usize, part: &str| form.get(&format!("MessageAttributes.entry.{n}.{part}")).map(String::as_str);
    (1..=10).filter_map(|n| Some((at(n, "Name")?, (at(n, "Value.DataType")?, at(n, "Value.StringValue")?)))).collect()
}

#[tokio::test]
async fn a_finding_is_published_with_attributes() {
    let (outcome, form) = published(TOPIC, answer(200, "content-type: text/xml\r\n", PUBLISHED)).await;
    assert_eq!(outcome, Ok(Receipt { remote_id: Some("m-1".to_owned()), ..Receipt::default() }));
    assert_eq!((form["Action"].as_str(), form["TopicArn"].as_str()), ("Publish", TOPIC));
    assert_eq!(form["Subject"], "Stakeout [Low] Kubernetes scanning by an unauthenticated address");
    assert_eq!(
        attributes(&form),
        BTreeMap::from([
            ("activity", ("String", "Create")),
            ("class", ("String", "2004")),
            ("cluster", ("String.Array", "[\"dev\",\"prod\"]")),
            ("clusters", ("String.Array", "[\"dev\",\"prod\"]")),
            ("provider", ("String", "cloudwatch")),
            ("rule", ("String", "kubernetes-scanning-by-unauthenticated-ip")),
            ("severity", ("String", "Low")),
            ("severity_id", ("Number", "2")),
        ])
    );
    assert_eq!((form.get("MessageGroupId"), form.get("MessageDeduplicationId")), (None, None));
    let object: Value = serde_json::from_str(&form["Message"]).expect("JSON");
    assert_eq!(object["finding_info"]["uid"], "00000000000000000000000000000abc");
}

#[tokio::test]
async fn a_fifo_topic_drops_a_message_that_is_sent_again() {
    let (_, form) = published(&format!("{TOPIC}.fifo"), answer(200, "", PUBLISHED)).await;
    assert_eq!(form["MessageGroupId"], "00000000000000000000000000000abc");
    assert_eq!(form["MessageDeduplicationId"], "17-abc-1");
}

#[tokio::test]
async fn every_refusal_has_its_meaning() {
    for code in [
        "NotFound",
        "AuthorizationError",
        "InvalidParameter",
        "KMSAccessDenied",
        "InvalidClientTokenId",
        "SomethingNew",
    ] {
        let (outcome, _) = published(TOPIC, refusal(403, code)).await;
        assert_eq!(outcome, Err(SendError::Refused { reason: format!("status 403: {code}: no") }));
    }
    for (status, code) in [
        (400, "Throttled"),
        (403, "ExpiredToken"),
        (429, "TooManyRequests"),
        (500, "InternalError"),
        (503, "ServiceUnavailable"),
    ] {
        let (outcome, _) = published(TOPIC, refusal(status, code)).await;
        let reason = format!("status {status}: {code}: no");
        assert_eq!(outcome, Err(SendError::Later { after: Some(Duration::from_secs(5)), reason }));
    }
    for reply in [String::new(), answer(502, "", "<html>"), answer(200, "", "<html>")] {
        let (outcome, _) = published(TOPIC, reply.clone()).await;
        assert!(matches!(outcome, Err(SendError::Later { .. })), "{reply}: {outcome:?}");
    }
}

#[tokio::test]
async fn an_anonymous_credential_is_for_this_machine() {
    assert!(matches!(topic(TOPIC, "https://sns.example").await, Err(SetupError::Address { .. })));
    assert!(matches!(topic(TOPIC, "https://sns.example").await, Err(SetupError::Address { .. })));
    assert!(matches!(topic("alerts", "http://127.0.0.1:1").await, Err(SetupError::Address { .. })));
    assert!(topic(TOPIC, "http://127.0.0.1:1").await.is_ok());
}
