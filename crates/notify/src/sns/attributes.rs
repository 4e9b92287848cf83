//! Message attributes, for the filter policies of subscriptions
//! (<https://docs.aws.amazon.com/sns/latest/dg/sns-message-attributes.html>).
//!
//! A policy such as `{"cluster": ["prod"]}` matches a text as well as an array that contains it, so `cluster`, `provider`
//! and the `rule` of an incident become arrays where there are several. At most ten attributes pass to SQS with raw
//! delivery; these are at most nine.

use std::collections::HashMap;

use aws_sdk_sns::types::MessageAttributeValue;
use serde_json::{Value, json};
use stakeout_core::text::{bounded, visible};

use crate::error::SendError;
use crate::notification::{IncidentReport, Message, MessageBody};
use crate::ocsf;

/// Bytes that a message reserves for its attributes; [`of`] never returns more.
pub(super) const BYTES_MAX: usize = 65_536;
/// Most clusters in the attributes.
const CLUSTERS_MAX: usize = 20;
/// Most rules in the attributes.
const RULES_MAX: usize = 16;
/// Longest value of an attribute, in characters.
const VALUE_CHARS_MAX: usize = 256;

/// Returns the attributes of `message`, whose OCSF form is `object`.
pub(super) fn of(message: &Message<'_>, object: &Value) -> Result<HashMap<String, MessageAttributeValue>, SendError> {
    let mut attributes = HashMap::new();
    let mut put = |name: &str, value: Result<MessageAttributeValue, SendError>| {
        value.map(|value| attributes.insert(name.to_owned(), value))
    };
    put("class", text(&object["class_uid"].to_string()))?;
    put("severity", text(object["severity"].as_str().unwrap_or_default()))?;
    put("severity_id", typed("Number", object["severity_id"].to_string()))?;
    put("activity", text(object["activity_name"].as_str().unwrap_or_default()))?;
    match &message.body {
        MessageBody::Incident(IncidentReport { incident, .. }) => {
            put("rule", one_or_several(&shown(incident.rules.iter().take(RULES_MAX))))?;
            put("actor", text(incident.actor.kind()))?;
            put("let_in", text(if incident.is_let_in() { "true" } else { "false" }))?;
        }
        _ => put("rule", text(object["finding_info"]["analytic"]["name"].as_str().unwrap_or_default())).map(drop)?,
    }
    let clusters = clusters(message);
    if !clusters.is_empty() {
        put("cluster", one_or_several(&clusters))?;
        put("clusters", several(&clusters))?;
    }
    if let MessageBody::Finding { finding, .. } = &message.body {
        let providers: Vec<String> = finding.providers.iter().map(ToString::to_string).collect();
        if !providers.is_empty() {
            put("provider", one_or_several(&providers))?;
        }
    }
    Ok(attributes)
}

fn clusters(message: &Message<'_>) -> Vec<String> {
    match &message.body {
        MessageBody::Finding { finding, .. } => shown(finding.clusters.iter().take(CLUSTERS_MAX)),
        MessageBody::Incident(report) => shown(report.incident.clusters.iter().take(CLUSTERS_MAX)),
        MessageBody::Notice(notice) => shown(Some(&notice.cluster).filter(|cluster| !cluster.is_empty())),
        MessageBody::Digest(_) | MessageBody::Forgotten(_) | MessageBody::Test { .. } => Vec::new(),
    }
}

fn shown<'a>(values: impl IntoIterator<Item = &'a String>) -> Vec<String> {
    values.into_iter().map(|value| bounded(&visible(value), VALUE_CHARS_MAX)).collect()
}

fn one_or_several(values: &[String]) -> Result<MessageAttributeValue, SendError> {
    match values {
        [one] => text(one),
        _ => several(values),
    }
}

fn several(values: &[String]) -> Result<MessageAttributeValue, SendError> {
    typed("String.Array", ocsf::to_line(&json!(values)))
}

/// Returns a text attribute; SNS refuses an empty one.
fn text(value: &str) -> Result<MessageAttributeValue, SendError> {
    let shown = bounded(&visible(value), VALUE_CHARS_MAX);
    typed("String", if shown.is_empty() { "-".to_owned() } else { shown })
}

fn typed(data_type: &str, value: String) -> Result<MessageAttributeValue, SendError> {
    MessageAttributeValue::builder()
        .data_type(data_type)
        .string_value(value)
        .build()
        .map_err(|error| SendError::refused(format!("an attribute cannot be built: {error}")))
}
