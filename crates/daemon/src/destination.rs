//! From the config of a destination to the destination.

use anyhow::{Context, Result};
use stakeout_notify::destination::{Channel, Destination};
use stakeout_notify::slack::Slack;
use stakeout_notify::sns::Sns;
use stakeout_notify::stdout::Stdout;
use stakeout_notify::webhook::Webhook;

use crate::config::notify::{Destination as DestinationConfig, DestinationKind};

/// Returns the destination that the config describes. Sends nothing.
pub(crate) async fn open(config: &DestinationConfig) -> Result<Destination> {
    let context = || format!("cannot set up the destination {}", config.name);
    let channel = match &config.kind {
        DestinationKind::Stdout => Channel::Stdout(Stdout),
        DestinationKind::Slack(slack) => Channel::Slack {
            slack: Slack::new(slack.webhook_url.clone()).with_context(context)?,
            max_messages: slack.max_messages_per_run as usize,
        },
        DestinationKind::Webhook(webhook) => {
            Channel::Webhook(Webhook::new(webhook.url.clone(), webhook.token.clone()).with_context(context)?)
        }
        DestinationKind::Sns(sns) => {
            Channel::Sns(Sns::new(sns.topic_arn.clone(), &sns.access).await.with_context(context)?)
        }
    };
    Ok(Destination::new(config.name.clone(), config.level_min, channel))
}
