//! From the config to clients: destinations and, for each cloud, what its crate wants to be told.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use stakeout_notify::destination::{Channel, Destination};
use stakeout_notify::slack::Slack;
use stakeout_notify::sns::Sns;
use stakeout_notify::stdout::Stdout;
use stakeout_notify::webhook::Webhook;

use crate::budget::{Budget, Budgets, Quota};
use crate::client::Client;
use crate::config::SourceKind;
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

/// Returns the client of the service that keeps a log, and the budget that its requests draw on; nothing is asked yet.
pub(crate) async fn client(kind: &SourceKind, budgets: &mut Budgets) -> Result<(Client, Arc<Budget>)> {
    match kind {
        #[cfg(feature = "aws")]
        SourceKind::Cloudwatch(cloudwatch) => {
            let config = stakeout_cloudwatch::CloudWatchConfig {
                access: cloudwatch.access.clone(),
                log_group: cloudwatch.log_group.arn.clone().unwrap_or_else(|| cloudwatch.log_group.name.clone()),
                stream_prefix: cloudwatch.stream_prefix.clone(),
                page_size: None,
            };
            let requests = stakeout_cloudwatch::requests_per_second(&config.access.region);
            let quota = Quota { requests, span: Duration::from_secs(1), at_once: None };
            let budget = budgets.of(config.budget_key(), quota);
            Ok((Client::Cloudwatch(Box::new(stakeout_cloudwatch::CloudWatch::new(config).await)), budget))
        }
        _ => bail!("{kind:?} is not built into this binary"),
    }
}
