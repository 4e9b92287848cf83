//! From the config of a destination to the destination.

use anyhow::{Context, Result};
use stakeout_notify::destination::{Channel, Destination};
use stakeout_notify::slack::Slack;
use stakeout_notify::sns::Sns;
use stakeout_notify::stdout::Stdout;
use stakeout_notify::webhook::Webhook;

use crate::config::notify::{Destination as DestinationConfig, DestinationKind};
use crate::outbound::Outbound;

/// Returns the destination that the config describes. Sends nothing.
pub(crate) fn open(config: &DestinationConfig, outbound: &Outbound) -> Result<Destination> {
    let context = || format!("cannot set up the destination {}", config.name);
    let channel = match &config.kind {
        DestinationKind::Stdout => Channel::Stdout(Stdout),
        DestinationKind::Slack(slack) => Channel::Slack {
            slack: Slack::new(slack.webhook_url.clone(), &outbound.common).with_context(context)?,
            max_messages: slack.max_messages_per_run as usize,
        },
        DestinationKind::Webhook(webhook) => {
            let (url, token) = (webhook.url.clone(), webhook.token.clone());
            Channel::Webhook(Webhook::new(url, token, &outbound.common).with_context(context)?)
        }
        DestinationKind::Sns(sns) => {
            let topic = Sns::new(sns.topic_arn.clone(), &sns.access, &outbound.aws).with_context(context)?;
            Channel::Sns(Box::new(topic))
        }
    };
    Ok(Destination::new(config.name.clone(), config.route.clone(), channel))
}
