//! A destination: its name, its notification filter, and the channel for its messages. A closed set.

use std::time::Duration;

use jiff::Timestamp;
use stakeout_core::check::Check;
use stakeout_core::delivery::NotificationFilter;
use stakeout_core::finding::Finding;
use stakeout_core::route::Route;
use stakeout_core::rule::Level;
use stakeout_core::shown::ShownMessage;

use crate::address_book::AddressBook;
use crate::batching::DeliveryMode;
use crate::console::{Consoles, LogConsole};
use crate::error::{Receipt, SendError};
use crate::notification::{IncidentReport, Message};
use crate::pagerduty::PagerDuty;
use crate::slack::{Bot, Line, Rendering, Slack, lines_of};
use crate::sns::Sns;
use crate::stdout::Stdout;
use crate::webhook::Webhook;

/// Most messages at once to Slack, by default.
pub const SLACK_MESSAGES_MAX: usize = 10;

/// Messages that Slack takes at once from one webhook, and the time after which it takes another one: "1 per second, short
/// bursts allowed" (<https://docs.slack.dev/apis/web-api/rate-limits>).
const SLACK_PACE: MessagePace = MessagePace { at_once: 3, each: Duration::from_secs(1) };

/// At most 1.05 messages, edits and lines of threads a second for each channel, without bursts.
const BOT_PACE: MessagePace = MessagePace { at_once: 1, each: Duration::from_millis(960) };

/// Lines that are written to standard output at once.
const STDOUT_MESSAGES: usize = 16;

/// A configured destination of messages.
#[derive(Debug)]
pub struct Destination {
    name: String,
    route: Route,
    channel: Channel,
    consoles: Consoles,
}

/// What a message is made from and changes, beside what it is about.
#[derive(Clone, Copy, Debug, Default)]
pub struct Background<'a> {
    /// Some findings of the incident that the message is about: those that show its steps.
    pub findings: &'a [Finding],
    /// The message that is shown of the incident.
    pub shown: Option<&'a ShownMessage>,
    /// What is known of addresses.
    pub book: &'a AddressBook,
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
    /// A bot in a channel of Slack, which edits its messages.
    SlackBot {
        /// The bot.
        bot: Bot,
        /// Most new messages at once; a digest has the others.
        max_messages: usize,
    },
    /// An SNS topic.
    Sns(Box<Sns>),
    /// A service of PagerDuty.
    PagerDuty(PagerDuty),
    /// A webhook of the user.
    Webhook(Webhook),
    /// Standard output.
    Stdout(Stdout),
}

impl Destination {
    /// Returns the destination that receives what `route` names over `channel`.
    #[must_use]
    pub fn new(name: String, route: Route, channel: Channel) -> Destination {
        Destination { name, route, channel, consoles: Consoles::default() }
    }

    /// Returns the destination with messages that link to where the logs can be searched.
    #[must_use]
    pub fn with_consoles(self, consoles: Consoles) -> Destination {
        Destination { consoles, ..self }
    }

    /// Returns its name from the config.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the kind of its channel, for logs and metrics: `slack`, `sns`, `pagerduty`, `webhook` or
    /// `stdout`.
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
            every_change: !matches!(self.delivery_mode(), DeliveryMode::Digest { .. }),
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
            Channel::SlackBot { max_messages, .. } => ("slack", DeliveryMode::Edited { max_messages }),
            Channel::Sns(_) => ("sns", DeliveryMode::Each),
            Channel::PagerDuty(_) => ("pagerduty", DeliveryMode::Each),
            Channel::Webhook(_) => ("webhook", DeliveryMode::Each),
            Channel::Stdout(_) => ("stdout", DeliveryMode::Each),
        }
    }

    /// Returns how fast it takes messages, or `None` where nobody must wait.
    #[must_use]
    pub fn pace(&self) -> Option<MessagePace> {
        match self.channel {
            Channel::Slack { .. } => Some(SLACK_PACE),
            Channel::SlackBot { .. } => Some(BOT_PACE),
            Channel::Sns(_) | Channel::PagerDuty(_) | Channel::Webhook(_) | Channel::Stdout(_) => None,
        }
    }

    /// Returns what identifies the channel whose pace the destination shares with others of the same channel; `None` where it has
    /// a pace of its own.
    #[must_use]
    pub fn channel_id(&self) -> Option<String> {
        match &self.channel {
            Channel::SlackBot { bot, .. } => Some(bot.channel_id()),
            Channel::Slack { .. }
            | Channel::Sns(_)
            | Channel::PagerDuty(_)
            | Channel::Webhook(_)
            | Channel::Stdout(_) => None,
        }
    }

    /// Returns how many messages [`send_all`](Self::send_all) takes: those that are settled together, and that a kill between
    /// the two may repeat.
    #[must_use]
    pub fn messages_at_once(&self) -> usize {
        match self.channel {
            Channel::Slack { .. }
            | Channel::SlackBot { .. }
            | Channel::Sns(_)
            | Channel::PagerDuty(_)
            | Channel::Webhook(_) => 1,
            Channel::Stdout(_) => STDOUT_MESSAGES,
        }
    }

    /// Sends `messages` once, at most [`messages_at_once`](Self::messages_at_once) of them; `now` is stamped on them. It
    /// never retries, waits or logs.
    pub async fn send_all(
        &self,
        messages: &[&Message<'_>],
        background: Background<'_>,
        now: Timestamp,
    ) -> Result<(), SendError> {
        if let Channel::Stdout(stdout) = &self.channel {
            return stdout.send(messages, background.book, now).await.map(drop);
        }
        for message in messages {
            self.send(message, background, now).await?;
        }
        Ok(())
    }

    /// Sends `message` once, made from `background` too; `now` is stamped on it. It never retries, waits or logs.
    pub async fn send(
        &self,
        message: &Message<'_>,
        background: Background<'_>,
        now: Timestamp,
    ) -> Result<Receipt, SendError> {
        let consoles = self.consoles.known();
        let rendering = self.rendering(&consoles, background);
        let book = background.book;
        match &self.channel {
            Channel::Slack { slack, .. } => slack.send(message, &rendering).await,
            Channel::SlackBot { bot, .. } => bot.send(message, background.shown, &rendering).await,
            Channel::Sns(sns) => sns.send(message, book, now).await,
            Channel::PagerDuty(service) => service.send(message, &consoles, book, now).await,
            Channel::Webhook(webhook) => webhook.send(message, book, now).await,
            Channel::Stdout(stdout) => stdout.send(&[message], book, now).await,
        }
    }

    /// Returns what the destination says of itself without a message; `None` where nothing can be asked.
    pub async fn checks(&self) -> Option<Vec<Check>> {
        match &self.channel {
            Channel::SlackBot { bot, .. } => Some(bot.checks(&self.name).await),
            Channel::Slack { .. }
            | Channel::Sns(_)
            | Channel::PagerDuty(_)
            | Channel::Webhook(_)
            | Channel::Stdout(_) => None,
        }
    }

    /// Returns the lines that the thread of the message that is `shown` lacks; none where messages have no threads.
    #[must_use]
    pub fn lines<'r>(&self, report: &IncidentReport<'r>, shown: &ShownMessage) -> Vec<Line<'r>> {
        match &self.channel {
            Channel::SlackBot { .. } if report.is_silenced => Vec::new(),
            Channel::SlackBot { .. } => lines_of(report, shown),
            Channel::Slack { .. }
            | Channel::Sns(_)
            | Channel::PagerDuty(_)
            | Channel::Webhook(_)
            | Channel::Stdout(_) => Vec::new(),
        }
    }

    /// Sends a line into the thread of the message that is `shown`, once, and returns what is shown then.
    pub async fn send_line(
        &self,
        report: &IncidentReport<'_>,
        line: &Line<'_>,
        shown: &ShownMessage,
        background: Background<'_>,
    ) -> Result<ShownMessage, SendError> {
        let consoles = self.consoles.known();
        match &self.channel {
            Channel::SlackBot { bot, .. } => {
                bot.send_line(report, line, shown, &self.rendering(&consoles, background)).await
            }
            Channel::Slack { .. }
            | Channel::Sns(_)
            | Channel::PagerDuty(_)
            | Channel::Webhook(_)
            | Channel::Stdout(_) => Ok(shown.clone()),
        }
    }

    fn rendering<'a>(&self, consoles: &'a [LogConsole], background: Background<'a>) -> Rendering<'a> {
        let is_edited = matches!(self.channel, Channel::SlackBot { .. });
        Rendering { findings: background.findings, consoles, book: background.book, is_edited }
    }
}
