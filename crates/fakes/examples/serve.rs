//! Runs all fakes until standard input ends, and prints their addresses, to try clients in other languages.
//!
//! The first line is a JSON object with `cloud_logging`, `cloudwatch_logs`, `log_analytics`, `sns`, `slack` and
//! `webhook`. When the input ends, a second line lists what they received.
#![expect(clippy::print_stdout, reason = "an example whose output is its purpose")]

use std::error::Error;

use serde_json::json;
use stakeout_fakes::{CloudLogging, CloudWatchLogs, LogAnalytics, Slack, Sns, Webhook};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (logs, sns) = (CloudWatchLogs::start().await?, Sns::start().await?);
    let (slack, webhook) = (Slack::start().await?, Webhook::start().await?);
    logs.accept_any_age(true);
    let logging = CloudLogging::start().await?;
    let log_analytics = LogAnalytics::start().await?;
    let urls = json!({
        "cloud_logging": logging.endpoint(),
        "cloudwatch_logs": logs.endpoint(),
        "log_analytics": log_analytics.endpoint(),
        "sns": sns.endpoint(),
        "slack": slack.webhook_url(),
        "webhook": webhook.url(),
    });
    println!("{urls}");
    tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink())).await??;
    let sent: Vec<_> =
        sns.messages().into_iter().map(|sent| json!({"subject": sent.subject, "message": sent.message})).collect();
    let problems: Vec<_> =
        slack.refused().into_iter().flat_map(|refused| refused.problems).map(|problem| problem.at).collect();
    println!(
        "{}",
        json!({"slack": slack.messages(), "slack_problems": problems, "sns": sent, "webhook": webhook.values()})
    );
    Ok(())
}
