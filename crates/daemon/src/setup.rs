//! From the config to clients: destinations and, for each cloud, what its crate wants to be told.

use anyhow::{Context, Result};
use stakeout_notify::destination::{Channel, Destination};
use stakeout_notify::slack::Slack;
use stakeout_notify::sns::{self, Sns, SnsConfig};
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
            let access = &sns.access;
            let config = SnsConfig {
                topic_arn: sns.topic_arn.clone(),
                region: Some(access.region.clone()),
                endpoint: access.endpoint.as_ref().map(|endpoint| endpoint.as_str().to_owned()),
                assume_role: access
                    .assume_role
                    .as_ref()
                    .map(|role| sns::AssumeRole { arn: role.arn.clone(), external_id: role.external_id.clone() }),
                credential: if access.is_stand_in() { sns::Credential::Anonymous } else { sns::Credential::Default },
            };
            Channel::Sns(Sns::new(config).await.with_context(context)?)
        }
    };
    Ok(Destination::new(config.name.clone(), config.level_min, channel))
}

/// Returns what the CloudWatch client is told.
#[cfg(feature = "aws")]
pub(crate) fn cloudwatch(config: &crate::config::sources::Cloudwatch) -> stakeout_cloudwatch::CloudWatchConfig {
    use stakeout_cloudwatch::{AssumeRole, CloudWatchConfig, Credential};

    let access = &config.access;
    CloudWatchConfig {
        region: access.region.clone(),
        log_group: config.log_group.arn.clone().unwrap_or_else(|| config.log_group.name.clone()),
        stream_prefix: config.stream_prefix.clone(),
        assume_role: access
            .assume_role
            .as_ref()
            .map(|role| AssumeRole { arn: role.arn.clone(), external_id: role.external_id.clone() }),
        endpoint: access.endpoint.as_ref().map(|endpoint| endpoint.as_str().to_owned()),
        page_size: None,
        credential: if access.is_stand_in() { Credential::Anonymous } else { Credential::Default },
    }
}
