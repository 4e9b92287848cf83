//! From the config to clients: destinations and, for each cloud, what its crate wants to be told.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use stakeout_notify::destination::{Channel, Destination};
use stakeout_notify::slack::Slack;
use stakeout_notify::sns::Sns;
use stakeout_notify::stdout::Stdout;
use stakeout_notify::webhook::Webhook;

use crate::budget::{Budget, Budgets};
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
            let quota = crate::budget::Quota { requests, span: std::time::Duration::from_secs(1), at_once: None };
            let budget = budgets.of(config.budget_key(), quota);
            Ok((Client::Cloudwatch(Box::new(stakeout_cloudwatch::CloudWatch::new(config).await)), budget))
        }
        #[cfg(feature = "gcp")]
        SourceKind::CloudLogging(log) => {
            let config = stakeout_cloud_logging::CloudLoggingConfig {
                project: log.project.clone(),
                location: log.location.clone(),
                cluster: log.cluster.clone(),
                endpoint: log.endpoint.clone(),
                credential: if log.is_anonymous {
                    stakeout_cloud_logging::Credential::Anonymous
                } else {
                    stakeout_cloud_logging::Credential::Default
                },
                page_size: None,
            };
            let requests = stakeout_cloud_logging::REQUESTS_PER_MINUTE;
            let quota = crate::budget::Quota { requests, span: std::time::Duration::from_secs(60), at_once: None };
            let budget = budgets.of(("cloud_logging".to_owned(), config.budget_key().to_owned()), quota);
            Ok((Client::CloudLogging(Box::new(stakeout_cloud_logging::CloudLogging::new(config))), budget))
        }
        #[cfg(feature = "azure")]
        SourceKind::AzureMonitor(log) => {
            let config = azure_monitor(log);
            let quota = crate::budget::Quota {
                requests: stakeout_azure_monitor::REQUESTS_MAX,
                span: stakeout_azure_monitor::REQUESTS_PERIOD,
                at_once: Some(config.plan.concurrent_requests_max()),
            };
            let (identity, endpoint) = config.budget_key();
            // Basic allows fewer queries at once: the two plans are kept apart, so that neither has the other's number.
            let budget = budgets.of((identity, format!("{endpoint} {:?}", config.plan)), quota);
            Ok((Client::AzureMonitor(Box::new(stakeout_azure_monitor::AzureMonitor::new(config).await?)), budget))
        }
        kind => bail!("{kind:?} is not built into this binary"),
    }
}

/// Returns what the client of Log Analytics is told.
#[cfg(feature = "azure")]
fn azure_monitor(log: &crate::config::azure::AzureMonitor) -> stakeout_azure_monitor::AzureMonitorConfig {
    use stakeout_azure_monitor::{Credential, Plan, Table};

    use crate::config::azure;

    stakeout_azure_monitor::AzureMonitorConfig {
        workspace_id: log.workspace_id.clone(),
        table: match log.table {
            azure::Table::AksAudit => Table::AksAudit,
            azure::Table::AksAuditAdmin => Table::AksAuditAdmin,
            azure::Table::AzureDiagnostics => Table::AzureDiagnostics,
        },
        plan: if log.is_basic { Plan::Basic } else { Plan::Analytics },
        cluster: log.cluster.clone(),
        endpoint: log.endpoint.clone(),
        credential: match &log.credential {
            azure::Credential::WorkloadIdentity => Credential::workload_identity(),
            azure::Credential::ManagedIdentity { client_id } => {
                Credential::ManagedIdentity { client_id: client_id.clone() }
            }
            azure::Credential::ClientSecret { tenant_id, client_id, secret } => Credential::ClientSecret {
                tenant_id: tenant_id.clone(),
                client_id: client_id.clone(),
                secret: secret.clone(),
            },
            azure::Credential::Anonymous => Credential::Anonymous,
        },
    }
}
