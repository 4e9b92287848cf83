//! `Publish`: the limits of a message, and the deduplication of FIFO topics.
//! <https://docs.aws.amazon.com/sns/latest/dg/sns-message-attributes.html>

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use siphasher::sip128::SipHasher13;

use super::Published;
use super::topic::{Topic, Topics};
use super::wire::{invalid, invalid_value};
use crate::aws_query::{Parameters, QueryError, element};

/// Message and attributes together.
const MESSAGE_BYTES_MAX: usize = 262_144;
/// "Less than 100 characters long".
const SUBJECT_CHARS_MAX: usize = 99;
/// Subscriptions with raw message delivery drop more, so no publisher may send more.
const ATTRIBUTES_MAX: usize = 10;
const ID_CHARS_MAX: usize = 128;
const DEDUP_INTERVAL: Duration = Duration::from_mins(5);

struct Publish {
    topic_arn: String,
    subject: Option<String>,
    message: String,
    attributes: BTreeMap<String, (String, String)>,
    group_id: Option<String>,
    dedup_id: Option<String>,
}

impl Topics {
    pub(super) fn publish(
        &mut self,
        parameters: Parameters,
        region: &str,
        now: Timestamp,
    ) -> Result<String, QueryError> {
        let mut publish = Publish::read(parameters)?;
        let fresh_id = message_id(self.published.len());
        let topic = self.find(&publish.topic_arn, region)?;
        publish.check_ids(topic)?;
        let first = publish.dedup_id.as_deref().and_then(|id| topic.first_delivery(id, now));
        let message_id = first.clone().unwrap_or(fresh_id);
        if let (None, true, Some(id)) = (&first, topic.is_fifo, &publish.dedup_id) {
            topic.delivered.insert(id.clone(), (now, message_id.clone()));
        }
        let is_fifo = topic.is_fifo;
        self.published.push(Published {
            topic_arn: publish.topic_arn,
            subject: publish.subject,
            message: publish.message,
            attributes: publish.attributes,
            group_id: publish.group_id,
            dedup_id: publish.dedup_id,
            duplicate: first.is_some(),
            message_id: message_id.clone(),
            at: now,
        });
        let mut result = element("MessageId", &message_id);
        if is_fifo {
            result += &element("SequenceNumber", &format!("1{:019}", self.published.len()));
        }
        Ok(result)
    }
}

impl Topic {
    /// Returns the original of a duplicate within the interval, if there is one.
    fn first_delivery(&self, dedup_id: &str, now: Timestamp) -> Option<String> {
        let (at, message_id) = self.delivered.get(dedup_id)?;
        (now.duration_since(*at).unsigned_abs() < DEDUP_INTERVAL).then(|| message_id.clone())
    }
}

impl Publish {
    fn read(mut parameters: Parameters) -> Result<Self, QueryError> {
        let topic_arn = parameters.take("TopicArn");
        let topic_arn = topic_arn.or_else(|| parameters.take("TargetArn"));
        let attributes = read_attributes(&mut parameters)?;
        let structure = parameters.take("MessageStructure");
        let publish = Self {
            topic_arn: topic_arn
                .ok_or_else(|| invalid("TopicArn or TargetArn Reason: no value for required parameter"))?,
            subject: parameters.take("Subject"),
            message: parameters.take("Message").unwrap_or_default(),
            attributes,
            group_id: parameters.take("MessageGroupId"),
            dedup_id: parameters.take("MessageDeduplicationId"),
        };
        parameters.finish().map_err(invalid)?;
        publish.check_message(structure.as_deref())?;
        Ok(publish)
    }

    fn check_message(&self, structure: Option<&str>) -> Result<(), QueryError> {
        if self.message.is_empty() {
            return Err(invalid("Empty message"));
        }
        if let Some(subject) = &self.subject {
            check_subject(subject)?;
        }
        let attributes = self.attributes.iter().map(|(name, (kind, value))| name.len() + kind.len() + value.len());
        if self.message.len() + attributes.sum::<usize>() > MESSAGE_BYTES_MAX {
            return Err(invalid("Message too long"));
        }
        match structure {
            None => Ok(()),
            Some("json") => check_json_message(&self.message),
            Some(_) => Err(invalid("MessageStructure")),
        }
    }

    /// Checks the parameters of FIFO topics, and fills in the content-based deduplication id.
    fn check_ids(&mut self, topic: &Topic) -> Result<(), QueryError> {
        for (name, id) in [("MessageGroupId", &self.group_id), ("MessageDeduplicationId", &self.dedup_id)] {
            if id.as_deref().is_some_and(|id| !is_id(id)) {
                return Err(invalid(format!(
                    "{name} Reason: {name} can only include alphanumeric and punctuation characters. 1 to 128 in length"
                )));
            }
        }
        if !topic.is_fifo {
            return match self.dedup_id {
                Some(_) => Err(invalid(
                    "MessageDeduplicationId Reason: The request includes MessageDeduplicationId parameter that is not valid for this topic type",
                )),
                None => Ok(()),
            };
        }
        if self.group_id.is_none() {
            return Err(invalid("The MessageGroupId parameter is required for FIFO topics"));
        }
        if self.dedup_id.is_none() && topic.is_content_based {
            self.dedup_id = Some(content_id(&self.message));
        }
        match self.dedup_id {
            Some(_) => Ok(()),
            None => Err(invalid(
                "The topic should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly",
            )),
        }
    }
}

fn read_attributes(parameters: &mut Parameters) -> Result<BTreeMap<String, (String, String)>, QueryError> {
    let mut attributes = BTreeMap::new();
    for (name, mut members) in parameters.take_map("MessageAttributes", "Name") {
        let kind = members.remove("Value.DataType").unwrap_or_default();
        let member = if kind == "Binary" { "Value.BinaryValue" } else { "Value.StringValue" };
        let value = members.remove(member).unwrap_or_default();
        if let Some(unknown) = members.into_keys().next() {
            return Err(invalid_value(format!("'{name}' has an unexpected member {unknown}")));
        }
        check_attribute(&name, &kind, &value)?;
        if attributes.insert(name.clone(), (kind, value)).is_some() {
            return Err(invalid_value(format!("'{name}' is given twice")));
        }
    }
    if attributes.len() > ATTRIBUTES_MAX {
        let why = format!("more than {ATTRIBUTES_MAX} attributes are lost where messages are delivered raw");
        return Err(invalid_value(why));
    }
    Ok(attributes)
}

fn check_attribute(name: &str, kind: &str, value: &str) -> Result<(), QueryError> {
    let is_spelled = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
    let lower = name.to_ascii_lowercase();
    let is_reserved = lower.starts_with("aws.") || lower.starts_with("amazon.");
    let has_bad_dot = name.starts_with('.') || name.ends_with('.') || name.contains("..");
    if name.is_empty() || name.len() > 256 || !is_spelled || is_reserved || has_bad_dot {
        return Err(invalid_value(format!("the name '{name}' is not allowed")));
    }
    if value.is_empty() {
        return Err(invalid_value(format!("'{name}' must have a non-empty value of its type '{kind}'")));
    }
    let fits = match kind {
        "String" => true,
        "String.Array" => is_flat_array(value),
        "Number" => is_number(value),
        "Binary" => {
            value.len().is_multiple_of(4) && value.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(&b))
        }
        _ => {
            return Err(invalid_value(format!("'{name}' has the unknown type '{kind}'")));
        }
    };
    if fits { Ok(()) } else { Err(invalid_value(format!("the value of '{name}' is no {kind}"))) }
}

/// Checks for a JSON array without nested arrays or objects.
fn is_flat_array(value: &str) -> bool {
    match serde_json::from_str(value) {
        Ok(Value::Array(items)) => items.iter().all(|item| !item.is_array() && !item.is_object()),
        _ => false,
    }
}

fn is_number(value: &str) -> bool {
    let is_spelled = value.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+' | b'e' | b'E'));
    is_spelled && value.parse::<f64>().is_ok_and(f64::is_finite)
}

fn check_subject(subject: &str) -> Result<(), QueryError> {
    let has_start = subject.starts_with(|c: char| c.is_ascii_graphic());
    let is_printable = subject.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
    if has_start && is_printable && subject.len() <= SUBJECT_CHARS_MAX {
        return Ok(());
    }
    Err(invalid("Subject"))
}

fn check_json_message(message: &str) -> Result<(), QueryError> {
    match serde_json::from_str::<Value>(message) {
        Ok(Value::Object(members)) if members.get("default").is_some_and(Value::is_string) => Ok(()),
        Ok(_) => Err(invalid("Message Structure - No default entry in JSON message body")),
        Err(_) => Err(invalid("Message Structure - JSON message body failed to parse")),
    }
}

fn is_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= ID_CHARS_MAX && id.bytes().all(|b| b.is_ascii_graphic())
}

/// Replaces the cloud's SHA-256 of the message; only its equality matters.
fn content_id(message: &str) -> String {
    format!("{:032x}", SipHasher13::new().hash(message.as_bytes()).as_u128())
}

/// Returns a UUID made from a counter.
fn message_id(before: usize) -> String {
    let number = u128::from(u64::try_from(before).unwrap_or(u64::MAX));
    let digits = format!("{:032x}", SipHasher13::new().hash(&number.to_be_bytes()).as_u128());
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}
