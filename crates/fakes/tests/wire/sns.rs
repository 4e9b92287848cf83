//! SNS through the official SDK.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_sns::Client;
use aws_sdk_sns::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sns::operation::publish::builders::PublishFluentBuilder;
use aws_sdk_sns::types::MessageAttributeValue;
use stakeout_fakes::{Fault, Faults, Sns};

async fn start() -> (Sns, Client) {
    let sns = Sns::start().await.expect("a loopback port is free");
    let client = Client::new(&crate::aws(sns.endpoint()).await);
    (sns, client)
}

fn attribute(kind: &str, value: &str) -> MessageAttributeValue {
    MessageAttributeValue::builder().data_type(kind).string_value(value).build().expect("is whole")
}

async fn refusal(publish: PublishFluentBuilder) -> String {
    match publish.send().await {
        Ok(answer) => format!("taken as {answer:?}"),
        Err(SdkError::ServiceError(refused)) => refused.err().code().unwrap_or_default().to_owned(),
        Err(other) => format!("{other:?}"),
    }
}

#[tokio::test]
async fn a_message_is_recorded_as_it_was_sent() {
    let (sns, client) = start().await;
    let arn = client.create_topic().name("findings").send().await.expect("is made").topic_arn.expect("has an ARN");
    assert_eq!(arn, "arn:aws:sns:eu-west-1:000000000000:findings");
    let answer = client
        .publish()
        .topic_arn(&arn)
        .subject("Scan from 203.0.113.7")
        .message("{\"a\": \"\u{e9}&<+ %\"}")
        .message_attributes("level", attribute("String", "low"))
        .message_attributes("clusters", attribute("String.Array", r#"["a","b"]"#))
        .message_attributes("count", attribute("Number", "11"))
        .send()
        .await
        .expect("is taken");
    let message = sns.messages().remove(0);
    assert_eq!(message.topic_arn, arn);
    assert_eq!(message.subject.as_deref(), Some("Scan from 203.0.113.7"));
    assert_eq!(message.message, "{\"a\": \"\u{e9}&<+ %\"}");
    let pair = |kind: &str, value: &str| (kind.to_owned(), value.to_owned());
    let attributes = [
        ("level".to_owned(), pair("String", "low")),
        ("clusters".to_owned(), pair("String.Array", r#"["a","b"]"#)),
        ("count".to_owned(), pair("Number", "11")),
    ];
    assert_eq!(message.attributes, BTreeMap::from(attributes));
    assert_eq!(answer.message_id, Some(message.message_id));
    let topics = client.list_topics().send().await.expect("is answered");
    assert_eq!(topics.topics()[0].topic_arn(), Some(arn.as_str()));
    let attributes = client.get_topic_attributes().topic_arn(&arn).send().await.expect("is answered");
    assert_eq!(attributes.attributes().and_then(|all| all.get("TopicArn")), Some(&arn));
}

#[tokio::test]
async fn bad_messages_are_refused() {
    let (sns, client) = start().await;
    let arn = sns.create_topic("eu-west-1", "findings");
    let other_region = sns.create_topic("us-east-1", "findings");
    let publish = || client.publish().topic_arn(&arn).message("x");
    let with = |kind: &str, value: &str| publish().message_attributes("a", attribute(kind, value));
    let many =
        (0..11).fold(publish(), |publish, n| publish.message_attributes(format!("a{n}"), attribute("String", "x")));
    for (bad, expected) in [
        (client.publish().topic_arn(format!("{arn}-none")).message("x"), "NotFound"),
        (client.publish().topic_arn("findings").message("x"), "InvalidParameter"),
        (client.publish().topic_arn(&other_region).message("x"), "InvalidParameter"),
        (client.publish().topic_arn(&arn).message(""), "InvalidParameter"),
        (client.publish().topic_arn(&arn).message("x".repeat(262_145)), "InvalidParameter"),
        (
            client
                .publish()
                .topic_arn(&arn)
                .message("x".repeat(262_140))
                .message_attributes("a", attribute("String", "x")),
            "InvalidParameter",
        ),
        (publish().subject(""), "InvalidParameter"),
        (publish().subject(" x"), "InvalidParameter"),
        (publish().subject("a\nb"), "InvalidParameter"),
        (publish().subject("caf\u{e9}"), "InvalidParameter"),
        (publish().subject("x".repeat(100)), "InvalidParameter"),
        (publish().message_structure("json"), "InvalidParameter"),
        (publish().message_deduplication_id("x"), "InvalidParameter"),
        (publish().phone_number("+15550100"), "InvalidParameter"),
        (with("Number", "many"), "ParameterValueInvalid"),
        (with("String.Array", "a,b"), "ParameterValueInvalid"),
        (with("String.Array", "[[1]]"), "ParameterValueInvalid"),
        (with("Text", "x"), "ParameterValueInvalid"),
        (with("String", ""), "ParameterValueInvalid"),
        (publish().message_attributes("a b", attribute("String", "x")), "ParameterValueInvalid"),
        (publish().message_attributes("AWS.x", attribute("String", "x")), "ParameterValueInvalid"),
        (many, "ParameterValueInvalid"),
    ] {
        assert_eq!(refusal(bad.clone()).await, expected, "{bad:?}");
    }
    assert_eq!(sns.messages(), []);
    assert!(publish().subject("x".repeat(99)).send().await.is_ok());
}

#[tokio::test]
async fn fifo_topics_drop_duplicates_within_five_minutes() {
    let (sns, client) = start().await;
    let by_id = sns.create_topic("eu-west-1", "findings.fifo");
    let by_content = sns.create_content_based_topic("eu-west-1", "content.fifo");
    let publish = |arn: &str| client.publish().topic_arn(arn).message("x");
    assert_eq!(refusal(publish(&by_id).message_deduplication_id("d")).await, "InvalidParameter");
    assert_eq!(refusal(publish(&by_id).message_group_id("g")).await, "InvalidParameter");
    for arn in [&by_id, &by_content] {
        let send = || {
            let publish = publish(arn).message_group_id("g");
            if arn == &by_id { publish.message_deduplication_id("d").send() } else { publish.send() }
        };
        let before = sns.messages().len();
        let first = send().await.expect("is taken");
        assert!(first.sequence_number().is_some());
        sns.clock().advance(Duration::from_secs(299));
        assert_eq!(send().await.expect("is taken").message_id, first.message_id);
        sns.clock().advance(Duration::from_secs(1));
        assert_ne!(send().await.expect("is taken").message_id, first.message_id);
        let duplicates: Vec<bool> = sns.messages()[before..].iter().map(|message| message.duplicate).collect();
        assert_eq!(duplicates, [false, true, false]);
    }
}

#[tokio::test]
async fn faults_arrive_as_the_sdk_names_them() {
    let (sns, client) = start().await;
    let arn = sns.create_topic("eu-west-1", "findings");
    let publish = client.publish().topic_arn(&arn).message("x");
    for (fault, expected) in [
        (Fault::Throttled { retry_after_s: Some(3) }, "Throttling"),
        (Fault::InternalError, "InternalError"),
        (Fault::Unavailable, "ServiceUnavailable"),
        (Fault::Denied, "AuthorizationError"),
    ] {
        sns.set_faults(Faults::next(1, &fault));
        assert_eq!(refusal(publish.clone()).await, expected);
    }
    assert_eq!(sns.messages(), []);
    sns.set_faults(Faults::next(1, &Fault::AnswerLost));
    assert!(matches!(publish.send().await, Err(SdkError::DispatchFailure(_))));
    assert_eq!(sns.messages().len(), 1, "the message was taken all the same");
}
