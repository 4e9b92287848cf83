//! Topics: `CreateTopic`, `GetTopicAttributes` and `ListTopics`.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::wire::{invalid, topic_not_found};
use super::{ACCOUNT, Published};
use crate::aws_query::{Parameters, QueryError, element};

const FIFO_SUFFIX: &str = ".fifo";

#[derive(Debug, Default)]
pub(super) struct Topics {
    topics: BTreeMap<String, Topic>,
    pub(super) published: Vec<Published>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Topic {
    pub(super) is_fifo: bool,
    pub(super) is_content_based: bool,
    /// The last delivery of each deduplication id: its time and message.
    pub(super) delivered: BTreeMap<String, (Timestamp, String)>,
}

impl Topics {
    pub(super) fn create(&mut self, region: &str, name: &str, is_content_based: bool) -> String {
        let arn = topic_arn(region, name);
        let topic = Topic { is_fifo: name.ends_with(FIFO_SUFFIX), is_content_based, delivered: BTreeMap::new() };
        self.topics.entry(arn.clone()).or_insert(topic);
        arn
    }

    pub(super) fn create_topic(&mut self, mut parameters: Parameters, region: &str) -> Result<String, QueryError> {
        let name = parameters.take("Name").unwrap_or_default();
        let mut is_fifo = false;
        let mut is_content_based = false;
        for (attribute, mut members) in parameters.take_map("Attributes", "key") {
            match (attribute.as_str(), members.remove("value").as_deref()) {
                ("FifoTopic", Some(value)) => is_fifo = truth("FifoTopic", value)?,
                ("ContentBasedDeduplication", Some(value)) => {
                    is_content_based = truth("ContentBasedDeduplication", value)?;
                }
                ("DisplayName", Some(_)) => {}
                _ => {
                    return Err(invalid(format!("Attributes Reason: {attribute} is unknown to the fake")));
                }
            }
        }
        parameters.finish().map_err(invalid)?;
        check_name(&name, is_fifo)?;
        if is_content_based && !is_fifo {
            return Err(invalid("Attributes Reason: Content-based deduplication is for FIFO topics"));
        }
        let asked = Topic { is_fifo, is_content_based, delivered: BTreeMap::new() };
        match self.topics.get(&topic_arn(region, &name)) {
            Some(there) if (there.is_fifo, there.is_content_based) != (asked.is_fifo, asked.is_content_based) => {
                Err(invalid("Attributes Reason: Topic already exists with different attributes"))
            }
            _ => Ok(element("TopicArn", &self.create(region, &name, is_content_based))),
        }
    }

    pub(super) fn get_topic_attributes(
        &mut self,
        mut parameters: Parameters,
        region: &str,
    ) -> Result<String, QueryError> {
        let arn = parameters.take("TopicArn").unwrap_or_default();
        parameters.finish().map_err(invalid)?;
        let topic = self.find(&arn, region)?;
        let mut attributes = vec![("TopicArn", arn.as_str()), ("Owner", ACCOUNT)];
        if topic.is_fifo {
            attributes.push(("FifoTopic", "true"));
            attributes.push(("ContentBasedDeduplication", if topic.is_content_based { "true" } else { "false" }));
        }
        let entry = |(key, value)| format!("<entry>{}{}</entry>", element("key", key), element("value", value));
        let entries: String = attributes.into_iter().map(entry).collect();
        Ok(format!("<Attributes>{entries}</Attributes>"))
    }

    pub(super) fn list_topics(&mut self, parameters: Parameters, region: &str) -> Result<String, QueryError> {
        parameters.finish().map_err(invalid)?;
        let here = topic_arn(region, "");
        let arns = self.topics.keys().filter(|arn| arn.starts_with(&here));
        let members: String = arns.map(|arn| format!("<member>{}</member>", element("TopicArn", arn))).collect();
        Ok(format!("<Topics>{members}</Topics>"))
    }

    /// Finds the topic of an ARN in the signed region.
    pub(super) fn find(&mut self, arn: &str, region: &str) -> Result<&mut Topic, QueryError> {
        let fields: Vec<&str> = arn.split(':').collect();
        match fields[..] {
            ["arn", "aws", "sns", its_region, account, name] if !account.is_empty() && !name.is_empty() => {
                if its_region != region {
                    return Err(invalid(format!("TopicArn Reason: the request went to region {region}")));
                }
            }
            _ => {
                return Err(invalid("TopicArn Reason: An ARN must have at least 6 elements"));
            }
        }
        self.topics.get_mut(arn).ok_or_else(topic_not_found)
    }
}

fn topic_arn(region: &str, name: &str) -> String {
    format!("arn:aws:sns:{region}:{ACCOUNT}:{name}")
}

fn truth(attribute: &str, value: &str) -> Result<bool, QueryError> {
    value.parse().map_err(|_| invalid(format!("Attributes Reason: {attribute}: Invalid value {value}")))
}

fn check_name(name: &str, is_fifo: bool) -> Result<(), QueryError> {
    let stem = if is_fifo { name.strip_suffix(FIFO_SUFFIX) } else { Some(name) };
    let Some(stem) = stem else {
        return Err(invalid("Topic Name Reason: the name of a FIFO topic must end in .fifo"));
    };
    let has_length = !stem.is_empty() && name.len() <= 256;
    if !has_length || !stem.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') {
        return Err(invalid("Topic Name"));
    }
    Ok(())
}
