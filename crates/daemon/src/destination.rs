//! From the config of a destination to the destination.

use anyhow::{Context, Result};
use stakeout_notify::alertmanager::Alertmanager;
use stakeout_notify::destination::{Channel, Destination};
use stakeout_notify::pagerduty::PagerDuty;
use stakeout_notify::slack::{Bot, Slack};
use stakeout_notify::sns::Sns;
use stakeout_notify::stdout::Stdout;
use stakeout_notify::teams::Teams;
use stakeout_notify::webhook::Webhook;

use crate::config::notify::{Destination as DestinationConfig, DestinationKind, SlackMode};
use crate::outbound::Outbound;

/// Returns the destination that the config describes. Sends nothing.
pub(crate) fn open(config: &DestinationConfig, outbound: &Outbound) -> Result<Destination> {
    let context = || format!("cannot set up the destination {}", config.name);
    let channel = match &config.kind {
        DestinationKind::Stdout => Channel::Stdout(Stdout),
        DestinationKind::Slack(config) => {
            let max_messages = config.max_messages_per_run as usize;
            match &config.mode {
                SlackMode::Webhook { url } => Channel::Slack {
                    slack: Slack::new(url.clone(), &outbound.common).with_context(context)?,
                    max_messages,
                },
                SlackMode::Bot { token, channel, endpoint } => Channel::SlackBot {
                    bot: Bot::new(endpoint, token.clone(), channel.clone(), &outbound.common).with_context(context)?,
                    max_messages,
                },
            }
        }
        DestinationKind::PagerDuty(config) => {
            let key = config.routing_key.clone();
            Channel::PagerDuty(PagerDuty::new(&config.endpoint, key, &outbound.common).with_context(context)?)
        }
        DestinationKind::Teams(config) => Channel::Teams {
            teams: Teams::new(config.url.clone(), &outbound.common).with_context(context)?,
            max_messages: config.max_messages_per_run as usize,
        },
        DestinationKind::Alertmanager(config) => {
            let (token, labels) = (config.token.clone(), config.labels.clone());
            let alertmanager = Alertmanager::new(&config.endpoint, token, labels, &outbound.common);
            Channel::Alertmanager(Box::new(alertmanager.with_context(context)?))
        }
        DestinationKind::Webhook(webhook) => {
            let (url, credentials) = (webhook.url.clone(), webhook.credentials.clone());
            Channel::Webhook(Webhook::new(url, credentials, &outbound.common).with_context(context)?)
        }
        DestinationKind::Sns(sns) => {
            let topic = Sns::new(sns.topic_arn.clone(), &sns.access, &outbound.aws).with_context(context)?;
            Channel::Sns(Box::new(topic))
        }
    };
    Ok(Destination::new(config.name.clone(), config.route.clone(), channel))
}
