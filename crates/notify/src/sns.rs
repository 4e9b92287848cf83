//! An SNS topic: one OCSF object for each message, with attributes for filter policies.
//!
//! `failure` maps refusals to errors.

mod attributes;
mod failure;

use std::time::Duration;

use aws_sdk_sns::Client;
use jiff::Timestamp;
use serde_json::Value;
use stakeout_aws::{Access, Credential};
use stakeout_core::text::bounded;
use stakeout_http::{Endpoint, Lease, Network, Session};

use crate::address_book::AddressBook;
use crate::error::{Receipt, SendError, SetupError};
use crate::notification::Message;
use crate::ocsf;

/// Longest wait for the whole answer, credentials included.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Most bytes of a message with its attributes (<https://docs.aws.amazon.com/general/latest/gr/sns.html>).
const MESSAGE_BYTES_MAX: usize = 262_144;
/// Longest subject: "less than 100 characters", and no line breaks
/// (<https://docs.aws.amazon.com/sns/latest/api/API_Publish.html>).
const SUBJECT_CHARS_MAX: usize = 99;

/// A topic to publish to.
pub struct Sns {
    topic_arn: String,
    is_fifo: bool,
    access: Access,
    network: Network,
    session: Session<Client>,
}

impl Sns {
    /// Returns the topic, reached over `network`. The environment and the AWS profile are read with the first message, and
    /// again when AWS no longer accepts the credentials.
    pub fn new(topic_arn: String, access: &Access, network: &Network) -> Result<Sns, SetupError> {
        if !is_topic_arn(&topic_arn) {
            return Err(SetupError::Address {
                reason: "topic_arn does not have the form arn:aws:sns:REGION:ACCOUNT:NAME",
            });
        }
        check_credential(access)?;
        Ok(Sns {
            is_fifo: topic_arn.ends_with(".fifo"),
            topic_arn,
            access: access.clone(),
            network: network.clone(),
            session: Session::new(),
        })
    }

    async fn client(&self) -> Lease<Client> {
        if let Some(lease) = self.session.lease() {
            return lease;
        }
        let sdk = stakeout_aws::sdk_config(&self.access, &self.network, ANSWER_TIMEOUT).await;
        self.session.begin(Client::new(&sdk))
    }

    /// Publishes `message`. A FIFO topic drops a repeated message within five minutes.
    pub async fn send(&self, message: &Message<'_>, book: &AddressBook, now: Timestamp) -> Result<Receipt, SendError> {
        let mut object = ocsf::message(message, now);
        ocsf::add_addresses(&mut object, book);
        let attributes = attributes::of(message, &object)?;
        ocsf::shrink_to(&mut object, MESSAGE_BYTES_MAX - attributes::BYTES_MAX);
        let lease = self.client().await;
        let mut request = lease
            .client
            .publish()
            .topic_arn(&self.topic_arn)
            .subject(subject(&object))
            .message(ocsf::to_line(&object))
            .set_message_attributes(Some(attributes));
        if self.is_fifo {
            let group = group_of(&object).unwrap_or_default();
            request = request.message_group_id(group).message_deduplication_id(&message.id);
        }
        match request.send().await {
            Ok(answer) => {
                self.session.accepted(&lease);
                Ok(Receipt { remote_id: answer.message_id, ..Receipt::default() })
            }
            Err(failure) => {
                if failure::is_expired(&failure) {
                    self.session.refused(&lease);
                }
                Err(failure::send_error(&failure))
            }
        }
    }
}

/// Shows the topic; the client may hold credentials.
impl std::fmt::Debug for Sns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sns").field("topic_arn", &self.topic_arn).finish_non_exhaustive()
    }
}

/// Returns whether a text has the form `arn:PARTITION:sns:REGION:ACCOUNT:NAME`.
fn is_topic_arn(text: &str) -> bool {
    match text.split(':').collect::<Vec<_>>()[..] {
        ["arn", _, "sns", region, account, name] => ![region, account, name].contains(&""),
        _ => false,
    }
}

/// Accepts anonymous credentials for a fake on this machine only.
fn check_credential(access: &Access) -> Result<(), SetupError> {
    let is_fake = access.endpoint.as_ref().is_some_and(Endpoint::is_plain_http);
    if access.credential == Credential::Anonymous && !is_fake {
        return Err(SetupError::Address {
            reason: "`credential: anonymous` is for an endpoint on this machine only: remove it, or use an endpoint such as http://127.0.0.1:PORT",
        });
    }
    Ok(())
}

/// Returns the uid of the finding or the incident: a FIFO topic keeps the order of its messages.
fn group_of(object: &Value) -> Option<&str> {
    let uids = ["/finding_info/uid", "/unmapped/incident/uid"];
    uids.iter().find_map(|pointer| object.pointer(pointer)?.as_str())
}

/// Returns the subject of e-mail subscriptions: printable ASCII only.
fn subject(object: &Value) -> String {
    let severity = object["severity"].as_str().unwrap_or_default();
    let title = object["finding_info"]["title"].as_str().or_else(|| object["message"].as_str()).unwrap_or_default();
    let printable: String = format!("Stakeout [{severity}] {title}")
        .chars()
        .map(|c| if c == ' ' || c.is_ascii_graphic() { c } else { '?' })
        .collect();
    match bounded(&printable, SUBJECT_CHARS_MAX).strip_suffix('…') {
        Some(cut) => format!("{cut}~"),
        None => printable,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_subject_is_short_printable_ascii() {
        let subject = |title: &str| subject(&json!({"severity": "Low", "finding_info": {"title": title}}));
        assert_eq!(subject("A scan\nof ü"), "Stakeout [Low] A scan?of ?");
        let long = subject(&"ö".repeat(500));
        assert_eq!((long.len(), long.is_ascii()), (99, true));
    }

    #[test]
    fn a_topic_is_named_by_its_arn() {
        assert!(is_topic_arn("arn:aws:sns:eu-west-1:123456789012:alerts.fifo"));
        for odd in [
            "",
            "alerts",
            "arn:aws:sqs:eu-west-1:123456789012:q",
            "arn:aws:sns::123456789012:alerts",
            "arn:aws:sns:a:b:c:d",
            "arn:aws:sns:a:b",
        ] {
            assert!(!is_topic_arn(odd), "{odd}");
        }
    }
}
