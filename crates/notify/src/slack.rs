//! Slack, by an incoming webhook: the allowed addresses, and the meaning of Slack's answers.
//!
//! `message` writes the texts, from pieces of `markup`, within the limits of `blocks`. A webhook cannot edit its
//! messages, so it receives only creates and escalations; a `bot` edits one message for each incident.

mod addresses;
mod blocks;
mod incident;
mod markup;
mod message;
mod refusal;
mod thread;
mod bot;
mod doctor;

use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use stakeout_core::finding::Finding;
use stakeout_http::{Client, Endpoint, Network};

use crate::address_book::AddressBook;
use crate::console::LogConsole;
use crate::error::{Receipt, SendError, SetupError};
use crate::http::{self, Answer, Secrets};
use crate::notification::Message;
use crate::ocsf::to_line;

pub use blocks::TEXT_UNITS_MAX;
pub use bot::{API_URL, Bot, is_api, is_bot_token, is_channel, lines_of};
pub use incident::incident_message;
pub use message::{digest_message, finding_message, message, message_of, notice_message, plain_text};
pub use thread::Line;

/// The hosts of Slack and of GovSlack.
const HOSTS: [&str; 2] = ["hooks.slack.com", "hooks.slack-gov.com"];
/// Answers with status 400 that refuse the form of a message; Slack may accept its plain text
/// (<https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks#handling_errors>).
const FORM_ERRORS: [&str; 4] = ["invalid_payload", "invalid_blocks", "invalid_attachments", "msg_blocks_too_long"];
/// Transient errors in an answer with `"ok": false`.
const TRANSIENT_ERRORS: [&str; 5] =
    ["ratelimited", "rate_limited", "internal_error", "service_unavailable", "request_timeout"];

/// An incoming webhook of Slack. Its address is a secret: everybody who knows it can post.
#[derive(Debug)]
pub struct Slack {
    url: SecretString,
    client: Client,
}

impl Slack {
    /// Returns the webhook at `url`: https on a host of Slack, or plain http on this machine (a fake).
    pub fn new(url: SecretString, network: &Network) -> Result<Slack, SetupError> {
        let endpoint = Endpoint::parse(url.expose_secret())?;
        if !is_webhook(&endpoint) {
            return Err(SetupError::Address {
                reason: "a Slack webhook's address begins with https://hooks.slack.com/ or https://hooks.slack-gov.com/; \
                         plain http is for this machine only",
            });
        }
        let client = http::client(network)?;
        Ok(Slack { url, client })
    }

    /// Posts `message`, and again as plain text if Slack refuses its blocks.
    pub async fn send(&self, message: &Message<'_>, rendering: &Rendering<'_>) -> Result<Receipt, SendError> {
        let payload = message_of(message, rendering);
        let answer = self.post(&payload).await?;
        if !is_form_error(&answer) {
            return status(&answer).map(|()| Receipt::default());
        }
        let answer = self.post(&plain_text(&payload)).await?;
        status(&answer).map(|()| Receipt { plain_text: true, ..Receipt::default() })
    }

    async fn post(&self, payload: &Value) -> Result<Answer, SendError> {
        let secrets = Secrets::of(&self.url, None);
        http::post(self.client.post(self.url.expose_secret()), to_line(payload), &secrets).await
    }
}

/// What a message about an incident is made from, beside the incident.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rendering<'a> {
    /// Some findings of the incident.
    pub findings: &'a [Finding],
    /// Where each log can be searched.
    pub consoles: &'a [LogConsole],
    /// What is known of addresses.
    pub book: &'a AddressBook,
    /// Whether the message is edited in place, so that it is not an update.
    pub is_edited: bool,
}

/// Returns whether an address can be an incoming webhook: a path on a host of Slack, or a fake on this machine.
#[must_use]
pub fn is_webhook(endpoint: &Endpoint) -> bool {
    let is_on_slack = HOSTS.contains(&endpoint.authority()) && endpoint.url().path().len() > 1;
    is_on_slack || endpoint.is_plain_http()
}

fn is_form_error(answer: &Answer) -> bool {
    answer.status == 400 && FORM_ERRORS.iter().any(|error| answer.body.contains(error))
}

/// Maps an answer: only `ok`, or `{"ok": true}` from a workflow webhook, is a success.
fn status(answer: &Answer) -> Result<(), SendError> {
    if answer.status != 200 {
        return Err(answer.failure());
    }
    let body = answer.body.trim();
    if body == "ok" {
        return Ok(());
    }
    let parsed: Option<Value> = serde_json::from_str(body).ok();
    let ok = parsed.as_ref().and_then(|parsed| parsed.get("ok")).and_then(Value::as_bool);
    match ok {
        Some(true) => Ok(()),
        Some(false) => {
            let error = parsed.as_ref().and_then(|parsed| parsed["error"].as_str()).unwrap_or("no reason given");
            let reason = http::quoted(&format!("slack answered {error}"));
            Err(if TRANSIENT_ERRORS.contains(&error) { SendError::later(reason) } else { SendError::refused(reason) })
        }
        // Probably the page of a proxy or a portal.
        None => Err(SendError::later("status 200, but slack did not answer ok")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_slack_and_loopback_addresses_are_accepted() {
        let is_allowed = |url: &str| Slack::new(SecretString::from(url), &Network::default()).is_ok();
        for good in [
            "https://hooks.slack.com/services/T0/B0/x",
            "https://hooks.slack-gov.com/services/T0/B0/x",
            "http://127.0.0.1:9999/services/T0/B0/x",
            "http://127.8.8.8/x",
            "http://[::1]:8080/x",
            "http://localhost:8080/x",
        ] {
            assert!(is_allowed(good), "{good}");
        }
        for bad in [
            "http://hooks.slack.com/services/T0/B0/x",
            "https://hooks.slack.com.evil.example/x",
            "https://hooks.slack.com@evil.example/x",
            "https://hooks.slack.com:8443/x",
            "https://hooks.slack.com/",
            "https://evil.example/https://hooks.slack.com/",
            "http://localhost.evil.example/x",
            "http://10.0.0.1/x",
            "ftp://127.0.0.1/x",
            "hooks.slack.com/services",
            "",
        ] {
            assert!(!is_allowed(bad), "{bad}");
        }
    }

    #[test]
    fn errors_and_debug_output_hide_the_address() {
        let slack =
            Slack::new(SecretString::from("https://hooks.slack.com/services/T0/B0/canary"), &Network::default())
                .expect("allowed");
        assert!(!format!("{slack:?}").contains("canary"));
        let refused = Slack::new(SecretString::from("https://evil.example/canary"), &Network::default())
            .expect_err("not allowed");
        assert!(!format!("{refused} {refused:?}").contains("canary"));
    }
}
