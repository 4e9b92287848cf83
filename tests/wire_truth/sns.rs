//! SNS with boto3: the same requests to the fake and to moto, which also delivers to queues.

use serde_json::{Value, json};
use stakeout_fakes::Sns;

use super::{Differs, Facts, answered, assert_alike};
use crate::support::python::Moto;

/// Differences of moto.
const MOTO_DIFFERS: &[Differs] = &[
    ("another region's topic", "moto looks it up in the region that the request was signed for"),
    ("attribute of no type", "moto's code is that of other parameters"),
    ("attribute that is no number", "moto's code is that of other parameters"),
    ("attribute with a space in its name", "moto checks no names of attributes"),
    ("attribute without a value", "moto's code is that of other parameters"),
    ("eleven attributes", "the API takes them too, raw delivery drops them; the fake is stricter"),
    ("empty message", "moto takes it"),
    ("fifo", "moto gives no sequence number"),
    ("fifo: a deduplication id of 129", "moto does not look at it"),
    ("fifo: a group with a space", "moto does not look at it"),
    ("fifo: by content", "moto gives no sequence number"),
    ("fifo: no group", "moto's code is one that the API does not know"),
    ("fifo: sent again", "moto's queue drops it, but its topic gives it another id"),
    ("json structure without default", "moto does not look into the message"),
    ("subject of two lines", "moto looks at the length only"),
    ("subject that is not ascii", "moto looks at the length only"),
    ("with attributes over 262144", "moto counts the message alone"),
];

/// The documented answers of the cloud.
fn documented() -> Value {
    let taken = json!(["MessageId"]);
    let taken_in_order = json!(["MessageId", "SequenceNumber"]);
    let invalid = "InvalidParameterException InvalidParameter";
    let invalid_value = "InvalidParameterValueException ParameterValueInvalid";
    json!({
        "a topic twice": true,
        "topics": ["alerts", "alerts.fifo", "content.fifo"],
        "a fifo name without the attribute": invalid,
        "the attribute without a fifo name": invalid,
        "is fifo": "true",
        "message": taken,
        "subject and attributes": taken,
        "fifo": taken_in_order,
        "fifo: sent again": true,
        "fifo: by content": taken_in_order,
        "no such topic": "NotFoundException NotFound",
        "another region's topic": invalid,
        "no arn": invalid,
        "fifo: no group": invalid,
        "fifo: no deduplication id": invalid,
        "fifo: a group with a space": invalid,
        "fifo: a deduplication id of 129": invalid,
        "standard: a deduplication id": invalid,
        "empty message": invalid,
        "message of 262145": invalid,
        "message of 262144": taken,
        "with attributes over 262144": invalid,
        "subject of 99": taken,
        "subject of 101": invalid,
        "subject of two lines": invalid,
        "subject that is not ascii": invalid,
        "attribute without a value": invalid_value,
        "attribute of no type": invalid_value,
        "attribute that is no number": invalid_value,
        "attribute with a space in its name": invalid_value,
        "eleven attributes": invalid_value,
        "json structure": taken,
        "json structure without default": invalid,
    })
}

/// Returns the messages that the fake accepted for a topic and would deliver, in the form of a queue.
fn delivered(sns: &Sns, topic: &str) -> Vec<Value> {
    let delivered = sns.messages().into_iter().filter(|sent| sent.topic_arn.ends_with(topic) && !sent.duplicate);
    delivered
        .map(|sent| {
            json!({
                "subject": sent.subject,
                "message": sent.message,
                "attributes": sent.attributes,
                "group": sent.group_id,
                "dedup": sent.dedup_id,
            })
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn boto3_is_answered_as_documented_and_by_moto_alike() {
    let sns = Sns::start().await.expect("a free port");
    let fake: Facts = answered("sns.py", &[&sns.endpoint()], "");
    let moto = Moto::start();
    let mut others: Facts = answered("sns.py", &[moto.endpoint(), moto.endpoint()], "");

    // Both accepted the first two of each topic; only moto accepts some of the later ones.
    let arrived = others.remove("arrived").expect("moto has queues");
    for (queue, topic) in [":alerts", ":alerts.fifo"].into_iter().enumerate() {
        let arrived = arrived[queue].as_array().expect("messages");
        assert_eq!(arrived[..2], delivered(&sns, topic)[..2], "{topic}");
    }
    assert_alike(&fake, &others, MOTO_DIFFERS);
    assert_eq!(Value::Object(fake), documented());
}
