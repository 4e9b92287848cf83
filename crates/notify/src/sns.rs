//! An SNS topic: one OCSF object for each message, with attributes for filter policies.
//!
//! The SDK's own retries are off: the caller holds the budget. What a refusal means is in `failure`.

mod attributes;
mod failure;

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_sns::Client;
use aws_sdk_sns::config::Credentials;
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use jiff::Timestamp;
use serde_json::Value;
use stakeout_core::text::bounded;

use crate::error::{Receipt, SendError, SetupError};
use crate::http;
use crate::message::Message;
use crate::ocsf;

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for the whole answer, credentials included.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(30);
/// Most bytes of a message with its attributes (<https://docs.aws.amazon.com/general/latest/gr/sns.html>).
const MESSAGE_BYTES_MAX: usize = 262_144;
/// Longest subject: "less than 100 characters", and no line breaks (<https://docs.aws.amazon.com/sns/latest/api/API_Publish.html>).
const SUBJECT_CHARS_MAX: usize = 99;
/// The name of our sessions in the other account's CloudTrail.
const SESSION_NAME: &str = "stakeout";

/// A topic and how to get at it, as configured.
#[derive(Clone, Default)]
pub struct SnsConfig {
    /// The topic's ARN.
    pub topic_arn: String,
    /// The region; the one in the ARN where `None`.
    pub region: Option<String>,
    /// A URL to use in place of the region's own: https, or plain http on a loopback address.
    pub endpoint: Option<String>,
    /// The role to take on first: its ARN and external id.
    pub assume_role: Option<AssumeRole>,
    /// Where the credentials come from that sign the first request.
    pub credential: Credential,
}

/// A role that is taken on to publish.
#[derive(Clone)]
pub struct AssumeRole {
    /// The role's ARN.
    pub arn: String,
    /// What the role's owner asks for beside the ARN; nearly a password.
    pub external_id: Option<String>,
}

/// Where credentials come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Credential {
    /// The SDK's chain: environment, profile, web identity (IRSA), container (EKS Pod Identity), instance metadata.
    #[default]
    Default,
    /// A placeholder for stand-ins on a loopback endpoint: it signs in form and opens nothing.
    Anonymous,
}

/// A topic, ready to be published to.
pub struct Sns {
    topic_arn: String,
    is_fifo: bool,
    client: Client,
}

impl Sns {
    /// Gets ready to publish: reads the environment and the AWS profile, and asks nobody yet.
    pub async fn new(config: SnsConfig) -> Result<Sns, SetupError> {
        let region = match config.region.as_deref().or_else(|| region_of(&config.topic_arn)) {
            Some(region) => region.to_owned(),
            None => return Err(SetupError::Address { reason: NO_ARN }),
        };
        if region_of(&config.topic_arn).is_none() {
            return Err(SetupError::Address { reason: NO_ARN });
        }
        let is_loopback = is_loopback_endpoint(config.endpoint.as_deref())?;
        if config.credential == Credential::Anonymous && !is_loopback {
            return Err(SetupError::Address {
                reason: "anonymous credentials are for an endpoint on a loopback address",
            });
        }
        let sdk = sdk_config(region, config.credential).await;
        let mut client = aws_sdk_sns::config::Builder::from(&sdk);
        if let Some(role) = &config.assume_role {
            let loopback = config.endpoint.as_deref().filter(|_| is_loopback);
            client = client.credentials_provider(role_provider(role, &sdk, loopback).await);
        }
        if let Some(endpoint) = &config.endpoint {
            client = client.endpoint_url(endpoint);
        }
        Ok(Sns {
            is_fifo: config.topic_arn.ends_with(".fifo"),
            topic_arn: config.topic_arn,
            client: Client::from_conf(client.build()),
        })
    }

    /// Publishes `message`. On a FIFO topic a message that is sent again is dropped by SNS within five minutes.
    pub async fn send(&self, message: &Message<'_>, now: Timestamp) -> Result<Receipt, SendError> {
        let mut object = ocsf::message(message, now);
        let attributes = attributes::of(message, &object)?;
        ocsf::shrink_to(&mut object, MESSAGE_BYTES_MAX - attributes::BYTES_MAX);
        let mut request = self
            .client
            .publish()
            .topic_arn(&self.topic_arn)
            .subject(subject(&object))
            .message(ocsf::to_line(&object))
            .set_message_attributes(Some(attributes));
        if self.is_fifo {
            let group = object["finding_info"]["uid"].as_str().unwrap_or_default();
            request = request.message_group_id(group).message_deduplication_id(&message.id);
        }
        match request.send().await {
            Ok(answer) => Ok(Receipt { remote_id: answer.message_id, plain_text: false }),
            Err(failure) => Err(failure::send_error(&failure)),
        }
    }
}

/// Shows the topic; the client may hold credentials.
impl std::fmt::Debug for Sns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sns").field("topic_arn", &self.topic_arn).finish_non_exhaustive()
    }
}

const NO_ARN: &str = "topic_arn is not of the form arn:aws:sns:REGION:ACCOUNT:NAME";

/// Returns the region that a topic's ARN names: `arn:PARTITION:sns:REGION:ACCOUNT:NAME`.
fn region_of(topic_arn: &str) -> Option<&str> {
    match topic_arn.split(':').collect::<Vec<_>>().as_slice() {
        ["arn", _, "sns", region, account, name] if ![region, account, name].iter().any(|part| part.is_empty()) => {
            Some(region)
        }
        _ => None,
    }
}

fn is_loopback_endpoint(endpoint: Option<&str>) -> Result<bool, SetupError> {
    let Some(endpoint) = endpoint else { return Ok(false) };
    let url = http::parse(endpoint)?;
    if url.scheme() != "https" && !http::is_plain_loopback(&url) {
        return Err(SetupError::Address {
            reason: "an endpoint begins with https://; plain http is for loopback addresses",
        });
    }
    Ok(http::is_plain_loopback(&url))
}

async fn sdk_config(region: String, credential: Credential) -> SdkConfig {
    let https =
        aws_smithy_http_client::Builder::new().tls_provider(tls::Provider::Rustls(CryptoMode::Ring)).build_https();
    let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).operation_timeout(OPERATION_TIMEOUT);
    let loader = aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new(region))
        .http_client(https)
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts.build());
    match credential {
        Credential::Default => loader.load().await,
        Credential::Anonymous => {
            let placeholder = Credentials::new("ANONYMOUS", "anonymous", None, None, "stakeout");
            loader.credentials_provider(placeholder).load().await
        }
    }
}

/// Returns the role's credentials, asked of the region's STS, or of the stand-in where that is what is published to.
async fn role_provider(role: &AssumeRole, sdk: &SdkConfig, loopback: Option<&str>) -> AssumeRoleProvider {
    let sts = match loopback {
        Some(endpoint) => sdk.clone().into_builder().endpoint_url(endpoint).build(),
        None => sdk.clone(),
    };
    let mut provider = AssumeRoleProvider::builder(&role.arn).configure(&sts).session_name(SESSION_NAME);
    if let Some(external_id) = &role.external_id {
        provider = provider.external_id(external_id);
    }
    provider.build().await
}

/// Returns the subject, which is what a mail subscriber sees first: printable ASCII only.
fn subject(object: &Value) -> String {
    let severity = object["severity"].as_str().unwrap_or_default();
    let title = object["finding_info"]["title"].as_str().unwrap_or_default();
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
    fn the_region_is_in_the_arn() {
        assert_eq!(region_of("arn:aws:sns:eu-west-1:123456789012:alerts.fifo"), Some("eu-west-1"));
        for odd in [
            "",
            "alerts",
            "arn:aws:sqs:eu-west-1:123456789012:q",
            "arn:aws:sns::123456789012:alerts",
            "arn:aws:sns:a:b:c:d",
        ] {
            assert_eq!(region_of(odd), None, "{odd}");
        }
    }
}
