//! From the config to clients: destinations and, for each cloud, what its crate wants to be told.

use anyhow::{Context, Result};
use stakeout_notify::destination::{Channel, Destination};
use stakeout_notify::slack::Slack;
use stakeout_notify::sns::Sns;
use stakeout_notify::stdout::Stdout;
use stakeout_notify::webhook::Webhook;

use crate::config::notify::{Destination as DestinationConfig, DestinationKind};

/// Returns the destination that the config describes; nothing is sent yet.
pub(crate) async fn destination(config: &DestinationConfig) -> Result<Destination> {
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

/// Returns what the CloudWatch client is told.
#[cfg(feature = "aws")]
pub(crate) fn cloudwatch(config: &crate::config::sources::Cloudwatch) -> stakeout_cloudwatch::CloudWatchConfig {
    stakeout_cloudwatch::CloudWatchConfig {
        access: config.access.clone(),
        log_group: config.log_group.arn.clone().unwrap_or_else(|| config.log_group.name.clone()),
        stream_prefix: config.stream_prefix.clone(),
        page_size: None,
    }
}
