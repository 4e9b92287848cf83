//! A destination: its name, what it wants to hear, and the channel that takes its messages. A closed set.

use jiff::Timestamp;
use stakeout_core::delivery::NotificationFilter;
use stakeout_core::rule::Level;

use crate::batching::Style;
use crate::error::{Receipt, SendError};
use crate::notification::Message;
use crate::slack::Slack;
use crate::sns::Sns;
use crate::stdout::Stdout;
use crate::webhook::Webhook;

/// Messages that Slack gets one by one, where the config does not say.
pub const SLACK_MESSAGES_MAX: usize = 10;

/// Where messages go, as configured.
#[derive(Debug)]
pub struct Destination {
    name: String,
    level_min: Level,
    channel: Channel,
}

/// The ways to tell.
#[derive(Debug)]
pub enum Channel {
    /// An incoming webhook of Slack.
    Slack {
        /// The webhook.
        slack: Slack,
        /// Most messages at once; more become one digest.
        max_messages: usize,
    },
    /// An SNS topic.
    Sns(Sns),
    /// A webhook of the user's own.
    Webhook(Webhook),
    /// Standard output.
    Stdout(Stdout),
}

impl Destination {
    /// Returns the destination that is told of findings of at least `level_min` over `channel`.
    #[must_use]
    pub fn new(name: String, level_min: Level, channel: Channel) -> Destination {
        Destination { name, level_min, channel }
    }

    /// Returns its name from the config.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the kind of its channel, for logs and metrics: `slack`, `sns`, `webhook` or `stdout`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self.channel {
            Channel::Slack { .. } => "slack",
            Channel::Sns(_) => "sns",
            Channel::Webhook(_) => "webhook",
            Channel::Stdout(_) => "stdout",
        }
    }

    /// Returns what it wants to hear: a Slack webhook, which cannot edit what it said, only what is new or worse.
    #[must_use]
    pub fn notification_filter(&self) -> NotificationFilter {
        NotificationFilter {
            destination: self.name.clone(),
            level_min: self.level_min,
            every_change: !matches!(self.channel, Channel::Slack { .. }),
        }
    }

    /// Returns how it likes to be told.
    #[must_use]
    pub fn style(&self) -> Style {
        match self.channel {
            Channel::Slack { max_messages, .. } => Style::Slack { max_messages },
            Channel::Sns(_) | Channel::Webhook(_) | Channel::Stdout(_) => Style::Each,
        }
    }

    /// Sends `message` once; `now` is stamped on it. It never retries, waits or logs.
    pub async fn send(&self, message: &Message<'_>, now: Timestamp) -> Result<Receipt, SendError> {
        match &self.channel {
            Channel::Slack { slack, .. } => slack.send(message).await,
            Channel::Sns(sns) => sns.send(message, now).await,
            Channel::Webhook(webhook) => webhook.send(message, now).await,
            Channel::Stdout(stdout) => stdout.send(message, now).await,
        }
    }
}
