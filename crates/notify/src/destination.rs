//! A destination: its name, its notification filter, and the channel for its messages. A closed set.

use std::time::Duration;

use jiff::Timestamp;
use stakeout_core::delivery::NotificationFilter;
use stakeout_core::route::Route;
use stakeout_core::rule::Level;

use crate::address_book::AddressBook;
use crate::batching::DeliveryMode;
use crate::error::{Receipt, SendError};
use crate::notification::Message;
use crate::slack::Slack;
use crate::sns::Sns;
use crate::stdout::Stdout;
use crate::webhook::Webhook;

/// Most messages at once to Slack, by default.
pub const SLACK_MESSAGES_MAX: usize = 10;

/// Messages that Slack takes at once from one webhook, and the time after which it takes another one: "1 per second, short
/// bursts allowed" (<https://docs.slack.dev/apis/web-api/rate-limits>).
const SLACK_PACE: MessagePace = MessagePace { at_once: 3, each: Duration::from_secs(1) };

/// Lines that are written to standard output at once.
const STDOUT_MESSAGES: usize = 16;

/// A configured destination of messages.
#[derive(Debug)]
pub struct Destination {
    name: String,
    route: Route,
    channel: Channel,
}

/// How fast a destination takes messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessagePace {
    /// Messages at once.
    pub at_once: u32,
    /// The time after which it takes one more.
    pub each: Duration,
}

/// The kinds of destination.
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
    Sns(Box<Sns>),
    /// A webhook of the user.
    Webhook(Webhook),
    /// Standard output.
    Stdout(Stdout),
}

impl Destination {
    /// Returns the destination that receives what `route` names over `channel`.
    #[must_use]
    pub fn new(name: String, route: Route, channel: Channel) -> Destination {
        Destination { name, route, channel }
    }

    /// Returns its name from the config.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the kind of its channel, for logs and metrics: `slack`, `sns`, `webhook` or `stdout`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.profile().0
    }

    /// Returns how it receives notifications.
    #[must_use]
    pub fn delivery_mode(&self) -> DeliveryMode {
        self.profile().1
    }

    /// Returns its filter. A Slack webhook cannot edit its messages, so it receives only what is new or escalates.
    #[must_use]
    pub fn notification_filter(&self) -> NotificationFilter {
        NotificationFilter {
            destination: self.name.clone(),
            route: self.route.clone(),
            every_change: self.delivery_mode() == DeliveryMode::Each,
        }
    }

    /// Returns the highest level of incidents that it hears of.
    #[must_use]
    pub fn level_max(&self) -> Level {
        self.route.level_max
    }

    /// Returns the kind of its channel and how that receives notifications.
    fn profile(&self) -> (&'static str, DeliveryMode) {
        match self.channel {
            Channel::Slack { max_messages, .. } => ("slack", DeliveryMode::Digest { max_messages }),
            Channel::Sns(_) => ("sns", DeliveryMode::Each),
            Channel::Webhook(_) => ("webhook", DeliveryMode::Each),
            Channel::Stdout(_) => ("stdout", DeliveryMode::Each),
        }
    }

    /// Returns how fast it takes messages, or `None` where nobody must wait.
    #[must_use]
    pub fn pace(&self) -> Option<MessagePace> {
        match self.channel {
            Channel::Slack { .. } => Some(SLACK_PACE),
            Channel::Sns(_) | Channel::Webhook(_) | Channel::Stdout(_) => None,
        }
    }

    /// Returns how many messages [`send_all`](Self::send_all) takes: those that are settled together, and that a kill between
    /// the two may repeat.
    #[must_use]
    pub fn messages_at_once(&self) -> usize {
        match self.channel {
            Channel::Slack { .. } | Channel::Sns(_) | Channel::Webhook(_) => 1,
            Channel::Stdout(_) => STDOUT_MESSAGES,
        }
    }

    /// Sends `messages` once, at most [`messages_at_once`](Self::messages_at_once) of them; `now` is stamped on them. It
    /// never retries, waits or logs.
    pub async fn send_all(
        &self,
        messages: &[&Message<'_>],
        book: &AddressBook,
        now: Timestamp,
    ) -> Result<(), SendError> {
        if let Channel::Stdout(stdout) = &self.channel {
            return stdout.send(messages, book, now).await.map(drop);
        }
        for message in messages {
            self.send(message, book, now).await?;
        }
        Ok(())
    }

    /// Sends `message` once, with what `book` knows of its addresses; `now` is stamped on it. It never retries, waits or logs.
    pub async fn send(&self, message: &Message<'_>, book: &AddressBook, now: Timestamp) -> Result<Receipt, SendError> {
        match &self.channel {
            Channel::Slack { slack, .. } => slack.send(message, book).await,
            Channel::Sns(sns) => sns.send(message, book, now).await,
            Channel::Webhook(webhook) => webhook.send(message, book, now).await,
            Channel::Stdout(stdout) => stdout.send(&[message], book, now).await,
        }
    }
}
