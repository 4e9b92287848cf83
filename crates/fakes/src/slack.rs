//! A Slack incoming webhook: validates each message with [`block_kit`], answers like Slack, and keeps accepted
//! messages.
//! <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>

use std::io;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::http::Method;
use jiff::Timestamp;
use serde_json::Value;

use crate::block_kit::{self, Problem};
use crate::exchange::{Answer, HttpRequest};
use crate::fault::Refusal;
use crate::guarded::Guarded;
use crate::markup::{self, ActiveMarkup};
use crate::server::{Server, Service};
pub use crate::slack_refusal::SlackRefusal;

/// The team, channel and secret of the only webhook of a fake.
const DEFAULT_PATH: &str = "/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX";
/// The interval between messages with [`Slack::limit_rate`].
const MESSAGE_INTERVAL: Duration = Duration::from_secs(1);

/// A running fake of Slack; dropping it stops it.
#[derive(Debug)]
pub struct Slack {
    server: Server,
    channel: Arc<Channel>,
}

/// A refused message, with reasons that Slack does not reveal.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    /// The answer.
    pub refusal: SlackRefusal,
    /// The reasons.
    pub problems: Vec<Problem>,
    /// The unchanged body.
    pub body: String,
}

impl Slack {
    /// Starts on a free port of the loopback address.
    pub async fn start() -> io::Result<Self> {
        let channel = Arc::new(Channel::default());
        Ok(Self { server: Server::start(Arc::clone(&channel)).await?, channel })
    }

    /// Returns the base URL.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Returns the URL to post messages to.
    pub fn webhook_url(&self) -> String {
        format!("{}{DEFAULT_PATH}", self.server.url())
    }

    /// Returns all accepted messages in order.
    pub fn messages(&self) -> Vec<Value> {
        self.channel.state.lock().taken.iter().map(|(_, message)| message.clone()).collect()
    }

    /// Returns all accepted messages, each with its time.
    pub fn received(&self) -> Vec<(Timestamp, Value)> {
        self.channel.state.lock().taken.clone()
    }

    /// Returns all messages that were refused as invalid, in order.
    pub fn refused(&self) -> Vec<Refused> {
        self.channel.state.lock().refused.clone()
    }

    /// Returns the active mentions and links in the accepted messages.
    pub fn active_markup(&self) -> Vec<ActiveMarkup> {
        self.messages().iter().flat_map(markup::active_markup).collect()
    }

    /// Answers 429 to a message within a second after another, by the fake's clock.
    pub fn limit_rate(&self, limited: bool) {
        self.channel.state.lock().is_rate_limited = limited;
    }
}

impl Deref for Slack {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

#[derive(Debug, Default)]
struct Channel {
    state: Guarded<ChannelState>,
}

#[derive(Debug, Default)]
struct ChannelState {
    taken: Vec<(Timestamp, Value)>,
    refused: Vec<Refused>,
    is_rate_limited: bool,
}

impl Service for Channel {
    const NAME: &'static str = "slack";

    fn target(&self, request: &HttpRequest) -> String {
        // The path of a webhook is a secret.
        let hook = if request.path == DEFAULT_PATH { "webhook" } else { request.path.as_str() };
        format!("{} {hook}", request.method)
    }

    fn answer(&self, request: &HttpRequest, now: Timestamp) -> Answer {
        if let Err(refusal) = check_path(&request.path) {
            return refusal.answer();
        }
        if request.method != Method::POST {
            return Answer::text(405, "method_not_allowed");
        }
        let mut state = self.state.lock();
        if let Some(wait) = state.wait(now) {
            return too_many().with_header("retry-after", wait.as_secs().max(1).to_string());
        }
        match validate(request) {
            Ok(message) => {
                state.taken.push((now, message));
                Answer::new(200, "text/html", "ok")
            }
            Err(refused) => {
                let answer = refused.refusal.answer();
                state.refused.push(refused);
                answer
            }
        }
    }

    fn refuse(&self, refusal: Refusal, _request: &HttpRequest) -> Answer {
        match refusal {
            Refusal::Throttled => too_many(),
            Refusal::InternalError => SlackRefusal::RollupError.answer(),
            Refusal::Unavailable => Answer::text(503, "service_unavailable"),
            Refusal::Denied => SlackRefusal::ActionProhibited.answer(),
        }
    }
}

impl ChannelState {
    /// Returns how long the next message must wait, if at all.
    fn wait(&self, now: Timestamp) -> Option<Duration> {
        let (last, _) = self.taken.last().filter(|_| self.is_rate_limited)?;
        let passed = now.duration_since(*last).unsigned_abs();
        MESSAGE_INTERVAL.checked_sub(passed).filter(|wait| !wait.is_zero())
    }
}

fn too_many() -> Answer {
    Answer::text(429, "rate_limited")
}

fn check_path(path: &str) -> Result<(), SlackRefusal> {
    if path == DEFAULT_PATH {
        return Ok(());
    }
    let same_hook = path.rsplit_once('/').map(|(hook, _)| hook) == DEFAULT_PATH.rsplit_once('/').map(|(hook, _)| hook);
    Err(if same_hook { SlackRefusal::InvalidToken } else { SlackRefusal::NoService })
}

fn validate(request: &HttpRequest) -> Result<Value, Refused> {
    let body = String::from_utf8_lossy(&request.body).into_owned();
    let refuse = |refusal, problems| Refused { refusal, problems, body: body.clone() };
    if request.content_type() != "application/json" {
        let problem = Problem::new("", "Content-Type must be application/json");
        return Err(refuse(SlackRefusal::InvalidPayload, vec![problem]));
    }
    let message: Value = serde_json::from_slice(&request.body)
        .map_err(|error| refuse(SlackRefusal::InvalidPayload, vec![Problem::new("", &error.to_string())]))?;
    match block_kit::check(&message) {
        Ok(()) => Ok(message),
        Err((refusal, problems)) => Err(refuse(refusal, problems)),
    }
}
