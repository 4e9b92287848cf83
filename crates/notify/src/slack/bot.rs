//! Slack's Web API with a bot token: a message for each incident, which is edited while the incident goes on, and its thread.
//! The token needs the scope `chat:write` and no other: nothing is ever read of the workspace.
//!
//! Editing a message twice changes nothing, so a kill between an edit and its receipt costs an edit. Slack has no such thing
//! for a new message: `chat.postMessage` takes no key of ours, and finding our message again would need a scope that reads
//! what people write in the channel. So a kill between a new message and its receipt posts it twice.

use std::collections::BTreeSet;

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use stakeout_core::delivery::Activity;
use stakeout_core::shown::ShownMessage;
use stakeout_http::header::HeaderMap;
use stakeout_http::{Client, Endpoint, Network};

use super::refusal::{Meaning, Refusal, accepted};
use super::thread::{Line, line_message};
use super::{Rendering, message_of, plain_text};
use crate::error::{Receipt, SendError, SetupError};
use crate::http::{self, Secrets};
use crate::notification::{IncidentReport, Message, MessageBody};

/// The addresses of the Web API of Slack and of GovSlack.
const HOSTS: [&str; 2] = ["slack.com", "slack-gov.com"];
/// Where Slack's Web API is unless the config names another address.
pub const API_URL: &str = "https://slack.com/";
/// The beginnings of bot tokens: an ordinary one, and one that is rotated.
const TOKEN_BEGINNINGS: [&str; 2] = ["xoxb-", "xoxe.xoxb-"];
/// Longest name or id of a channel (<https://docs.slack.dev/reference/methods/conversations.create>).
const CHANNEL_CHARS_MAX: usize = 80;

/// A bot in a channel of Slack.
#[derive(Debug)]
pub struct Bot {
    api: String,
    token: SecretString,
    channel: String,
    client: Client,
}

impl Bot {
    /// Returns the bot that posts in `channel` with `token`, over the Web API at `endpoint`.
    pub fn new(
        endpoint: &Endpoint,
        token: SecretString,
        channel: String,
        network: &Network,
    ) -> Result<Bot, SetupError> {
        if !is_api(endpoint) {
            return Err(SetupError::Address {
                reason: "Slack's Web API is at https://slack.com/ or https://slack-gov.com/; plain http is for this machine \
                         only",
            });
        }
        let api = endpoint.as_str().trim_end_matches('/').to_owned();
        Ok(Bot { api, token, channel, client: http::client(network)? })
    }

    /// Returns what identifies the channel.
    #[must_use]
    pub fn channel_id(&self) -> String {
        format!("{} {}", self.api, self.channel)
    }

    /// Posts `message`, or edits the message that is `shown` of its incident.
    pub(crate) async fn send(
        &self,
        message: &Message<'_>,
        shown: Option<&ShownMessage>,
        rendering: &Rendering<'_>,
    ) -> Result<Receipt, SendError> {
        let payload = message_of(message, rendering);
        let MessageBody::Incident(report) = &message.body else {
            return self.post(&payload, None).await.map(Receipt::from).map_err(|refusal| refusal.error);
        };
        if let Some(shown) = shown.filter(|shown| self.is_in_channel(shown)) {
            match self.edit(shown, &payload).await {
                Ok(is_plain) => {
                    return Ok(Receipt { plain_text: is_plain, shown: Some(shown.clone()), ..Receipt::default() });
                }
                Err(Refusal { meaning: Meaning::Gone, .. }) => {}
                Err(refusal) => return Err(refusal.error),
            }
        }
        let posted = self.post(&payload, None).await.map_err(|refusal| refusal.error)?;
        let steps: BTreeSet<String> = report.incident.steps.iter().map(|step| step.rule.clone()).collect();
        let level = report.incident.level;
        let shown = posted.place.clone().map(|(channel, ts)| ShownMessage { channel, ts, steps, level });
        Ok(Receipt { shown, ..Receipt::from(posted) })
    }

    /// Posts a line into the thread of the message that is `shown`.
    pub(crate) async fn send_line(
        &self,
        report: &IncidentReport<'_>,
        line: &Line<'_>,
        shown: &ShownMessage,
        rendering: &Rendering<'_>,
    ) -> Result<ShownMessage, SendError> {
        let payload = line_message(report, line, rendering);
        match self.post(&payload, Some((shown, line.is_broadcast))).await {
            // Without its message there is no thread. The next edit posts a new message, which has all steps.
            Ok(_) | Err(Refusal { meaning: Meaning::Gone, .. }) => Ok(line.added_to(shown, report)),
            Err(refusal) => Err(refusal.error),
        }
    }

    /// Returns whether the config still names the channel of the message. A name of a channel may mean any id.
    fn is_in_channel(&self, shown: &ShownMessage) -> bool {
        !is_channel_id(&self.channel) || self.channel == shown.channel
    }

    /// Posts a message, into a thread if one is given; in plain text if Slack refuses the blocks.
    async fn post(&self, payload: &Value, thread: Option<(&ShownMessage, bool)>) -> Result<Posted, Refusal> {
        let mut request = payload.clone();
        request["channel"] = json!(thread.map_or(self.channel.as_str(), |(shown, _)| &shown.channel));
        if let Some((shown, is_broadcast)) = thread {
            request["thread_ts"] = json!(shown.ts);
            if is_broadcast {
                request["reply_broadcast"] = json!(true);
            }
        }
        let (answer, is_plain) = self.call_in_any_form("chat.postMessage", request).await?;
        let text = |name: &str| answer[name].as_str().map(str::to_owned);
        Ok(Posted { place: text("channel").zip(text("ts")), is_plain })
    }

    /// Edits a message, and returns whether Slack took plain text only.
    async fn edit(&self, shown: &ShownMessage, payload: &Value) -> Result<bool, Refusal> {
        let mut request = payload.clone();
        request["channel"] = json!(shown.channel);
        request["ts"] = json!(shown.ts);
        // Without it, names and addresses in the text become links when a message is edited.
        request["parse"] = json!("none");
        for only_new in ["unfurl_links", "unfurl_media"] {
            request.as_object_mut().map(|members| members.remove(only_new));
        }
        self.call_in_any_form("chat.update", request).await.map(|(_, is_plain)| is_plain)
    }

    async fn call_in_any_form(&self, method: &str, request: Value) -> Result<(Value, bool), Refusal> {
        match self.call(method, &request).await {
            Err(Refusal { meaning: Meaning::Form, .. }) => {
                let mut plain = plain_text(&request);
                if method == "chat.update" {
                    // What is left out of an edit stays in the message.
                    plain["blocks"] = json!([]);
                }
                self.call(method, &plain).await.map(|answer| (answer, true))
            }
            answered => answered.map(|answer| (answer, false)),
        }
    }

    /// Asks a method that changes nothing, and returns Slack's answer with its headers. Such methods take forms only.
    pub(super) async fn ask(&self, method: &str, arguments: &[(&str, &str)]) -> Result<(Value, HeaderMap), Refusal> {
        let request = self.client.post(format!("{}/api/{method}", self.api)).bearer_auth(self.token.expose_secret());
        let answer = http::post_form(request, arguments, &Secrets::of_token(&self.token)).await?;
        Ok((accepted(&answer)?, answer.headers))
    }

    /// Returns the id of the channel, if the config has it and not the name.
    pub(super) fn channel_by_id(&self) -> Option<&str> {
        Some(self.channel.as_str()).filter(|channel| is_channel_id(channel))
    }

    async fn call(&self, method: &str, request: &Value) -> Result<Value, Refusal> {
        let request_body = self.client.post(format!("{}/api/{method}", self.api));
        let request_body = request_body.bearer_auth(self.token.expose_secret());
        let secrets = Secrets::of_token(&self.token);
        let answer = http::post_for_object(request_body, request.to_string(), &secrets).await?;
        accepted(&answer)
    }
}

/// A message that Slack took.
struct Posted {
    /// Its channel and `ts`.
    place: Option<(String, String)>,
    is_plain: bool,
}

impl From<Posted> for Receipt {
    fn from(posted: Posted) -> Receipt {
        Receipt { remote_id: posted.place.map(|(_, ts)| ts), plain_text: posted.is_plain, shown: None }
    }
}

/// Returns the lines that the thread of a message lacks, once the message itself shows the incident.
#[must_use]
pub fn lines_of<'r>(report: &IncidentReport<'r>, shown: &ShownMessage) -> Vec<Line<'r>> {
    if report.merged_into().is_some() || report.activity == Activity::Close {
        return Vec::new();
    }
    super::thread::lines(report.incident, shown)
}

/// Returns whether an address can be Slack's Web API, or a fake of it on this machine.
#[must_use]
pub fn is_api(endpoint: &Endpoint) -> bool {
    HOSTS.contains(&endpoint.authority()) || endpoint.is_plain_http()
}

/// Returns whether a text can be a bot token.
#[must_use]
pub fn is_bot_token(token: &str) -> bool {
    let is_begun = TOKEN_BEGINNINGS.iter().any(|begin| token.strip_prefix(begin).is_some_and(|rest| rest.len() >= 10));
    is_begun && token.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.'))
}

/// Returns whether a text can be the id or the name of a channel.
#[must_use]
pub fn is_channel(text: &str) -> bool {
    let name = text.strip_prefix('#').unwrap_or(text);
    let is_allowed = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=CHANNEL_CHARS_MAX).contains(&name.chars().count()) && name.chars().all(is_allowed)
}

fn is_channel_id(text: &str) -> bool {
    let rest = text.strip_prefix(['C', 'G', 'D']);
    rest.is_some_and(|rest| rest.len() >= 8 && rest.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_and_channels_are_those_of_slack() {
        for good in ["xoxb-123456789012-abcDEF", "xoxe.xoxb-1-Mi0yLTMtNA"] {
            assert!(is_bot_token(good), "{good}");
        }
        for bad in
            ["xoxp-123456789012-abcDEF", "xapp-1-A-1-f", "xoxb-", "Bearer xoxb-123456789012", "xoxb-1234567890 12", ""]
        {
            assert!(!is_bot_token(bad), "{bad}");
        }
        for good in ["C024BE91L", "#sec-ops", "sec_ops", "G024BE91LZZ"] {
            assert!(is_channel(good), "{good}");
        }
        for bad in ["", "#", "a b", "<!channel>", "https://x.slack.com/archives/C024BE91L"] {
            assert!(!is_channel(bad), "{bad}");
        }
        assert_eq!(["C024BE91L", "CLOUD", "cloud12345", "#sec"].map(is_channel_id), [true, false, false, false]);
    }
}
