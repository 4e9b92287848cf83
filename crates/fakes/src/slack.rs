//! A Slack incoming webhook: judges each message with [`block_kit`], answers as Slack does, and keeps what it took.
//! <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>

use std::io;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::http::Method;
use jiff::Timestamp;
use serde_json::Value;

use crate::block_kit::{self, Problem};
use crate::exchange::{Answer, Asked};
use crate::fault::Refusal;
use crate::guarded::Guarded;
use crate::markup::{self, ActiveMarkup};
use crate::server::{Server, Service};
pub use crate::slack_refusal::SlackRefusal;

/// The team, channel and secret of the one webhook that a fake begins with.
const DEFAULT_PATH: &str = "/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX";
/// What one webhook may post when [`Slack::limit_rate`] asks for it.
const MESSAGE_INTERVAL: Duration = Duration::from_secs(1);

/// A running fake of Slack; dropping it ends it.
#[derive(Debug)]
pub struct Slack {
    server: Server,
    channel: Arc<Channel>,
}

/// A message that was refused, with the reasons that Slack would keep to itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    /// What was answered.
    pub refusal: SlackRefusal,
    /// Why.
    pub problems: Vec<Problem>,
    /// The body as it came.
    pub body: String,
}

impl Slack {
    /// Starts on a free port of the loopback address.
    pub async fn start() -> io::Result<Self> {
        let channel = Arc::new(Channel::default());
        Ok(Self { server: Server::start(Arc::clone(&channel)).await?, channel })
    }

    /// The base URL.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The URL to post messages to.
    pub fn webhook_url(&self) -> String {
        format!("{}{DEFAULT_PATH}", self.server.url())
    }

    /// All messages that were taken, in order.
    pub fn messages(&self) -> Vec<Value> {
        self.channel.inbox.lock().taken.iter().map(|(_, message)| message.clone()).collect()
    }

    /// All messages that were taken, each with its time.
    pub fn received(&self) -> Vec<(Timestamp, Value)> {
        self.channel.inbox.lock().taken.clone()
    }

    /// All messages that were refused for what they are, in order.
    pub fn refused(&self) -> Vec<Refused> {
        self.channel.inbox.lock().refused.clone()
    }

    /// The mentions and links that are live in the messages taken so far.
    pub fn active_markup(&self) -> Vec<ActiveMarkup> {
        self.messages().iter().flat_map(markup::active_markup).collect()
    }

    /// Answers 429 to a message that follows another within a second, by the fake's clock.
    pub fn limit_rate(&self, limited: bool) {
        self.channel.inbox.lock().is_rate_limited = limited;
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
    inbox: Guarded<Inbox>,
}

#[derive(Debug, Default)]
struct Inbox {
    taken: Vec<(Timestamp, Value)>,
    refused: Vec<Refused>,
    is_rate_limited: bool,
}

impl Service for Channel {
    const NAME: &'static str = "slack";

    fn target(&self, asked: &Asked) -> String {
        // The path of a webhook is its secret, also here.
        let hook = if asked.path == DEFAULT_PATH { "webhook" } else { asked.path.as_str() };
        format!("{} {hook}", asked.method)
    }

    fn answer(&self, asked: &Asked, now: Timestamp) -> Answer {
        if let Err(refusal) = check_path(&asked.path) {
            return refusal.answer();
        }
        if asked.method != Method::POST {
            return Answer::text(405, "method_not_allowed");
        }
        let mut inbox = self.inbox.lock();
        if let Some(wait) = inbox.wait(now) {
            return too_many().with_header("retry-after", wait.as_secs().max(1).to_string());
        }
        match judge(asked) {
            Ok(message) => {
                inbox.taken.push((now, message));
                Answer::new(200, "text/html", "ok")
            }
            Err(refused) => {
                let answer = refused.refusal.answer();
                inbox.refused.push(refused);
                answer
            }
        }
    }

    fn refuse(&self, refusal: Refusal, _asked: &Asked) -> Answer {
        match refusal {
            Refusal::Throttled => too_many(),
            Refusal::InternalError => SlackRefusal::RollupError.answer(),
            Refusal::Unavailable => Answer::text(503, "service_unavailable"),
            Refusal::Denied => SlackRefusal::ActionProhibited.answer(),
        }
    }
}

impl Inbox {
    /// How long the next message must wait, if it must.
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

fn judge(asked: &Asked) -> Result<Value, Refused> {
    let body = String::from_utf8_lossy(&asked.body).into_owned();
    let refuse = |refusal, problems| Refused { refusal, problems, body: body.clone() };
    if asked.content_type() != "application/json" {
        let problem = Problem::new("", "Content-Type must be application/json");
        return Err(refuse(SlackRefusal::InvalidPayload, vec![problem]));
    }
    let message: Value = serde_json::from_slice(&asked.body)
        .map_err(|error| refuse(SlackRefusal::InvalidPayload, vec![Problem::new("", &error.to_string())]))?;
    match block_kit::check(&message) {
        Ok(()) => Ok(message),
        Err((refusal, problems)) => Err(refuse(refusal, problems)),
    }
}
