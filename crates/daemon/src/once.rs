//! The verb `once`: one tick, then exit. For cron, CronJobs and tests.

use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use jiff::Timestamp;
use stakeout_core::time::Second;
use stakeout_ledger::Stay;
use tracing::{error, info};

use crate::bootstrap::{self, ConfigArgs};
use crate::clock;
use crate::discovery;
use crate::exit::{Exit, Failure};
use crate::heartbeat::Beat;
use crate::progress_bar;
use crate::schedule::TickTime;
use crate::section::secret::SecretScope;
use crate::shutdown::{STOP_MAX, shutdown, stop_signal};
use crate::tick::TickSummary;
use crate::watch::Watch;

/// The arguments of `stakeout once`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  stakeout once -c /etc/stakeout/stakeout.yaml
  stakeout once -c stakeout.yaml --at 2026-11-22T02:00:00Z")]
pub(crate) struct OnceArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Process the windows that are due at this time, in RFC 3339 [default: now]
    #[arg(long, value_name = "TIME", value_parser = clock::parse_argument)]
    at: Option<Timestamp>,
}

/// Reads all due windows and sends the pending messages, until a signal stops it.
pub(crate) fn run(args: &OnceArgs) -> Result<Exit, Failure> {
    let at = bootstrap::time_of(args.at)?;
    let runtime = bootstrap::runtime()?;
    let ended = runtime.block_on(async {
        let stopped = tokio::spawn(stop_signal());
        let (config, rules) = args.config.load(SecretScope::ALL)?;
        let process = bootstrap::process(&config, Stay::Brief)?;
        tokio::spawn(process.replica.clone().keep());
        let watch = Arc::new(Watch::new(config, rules, process)?);
        let (switch, shutdown) = shutdown();
        let bar = progress_bar::windows();
        let time = match args.at {
            Some(at) => TickTime::chosen(Second::from(at)),
            None => TickTime::by_the_clock(Second::from(at), None),
        };
        let tick = discovery::tick(&watch, time, &shutdown, &bar, |_| {});
        tokio::pin!(tick);
        let summary = tokio::select! {
            summary = &mut tick => Some(summary),
            stopped = stopped => {
                stopped.context("cannot wait for signals")?.context("cannot listen for signals")?;
                info!("stopping after the current windows and messages");
                switch.request();
                tokio::time::timeout(STOP_MAX, &mut tick).await.ok()
            }
        };
        bar.finish_and_clear();
        watch.replica().leave().await;
        match summary {
            Some(summary) => {
                let beat = summary.as_ref().map(|summary| Beat::of(Second::from(at), summary));
                send(&watch, &beat.unwrap_or_else(|error| Beat::Unwell(error.to_string()))).await;
                done(&watch, &summary.map_err(bootstrap::state_failure)?).await
            }
            None => {
                send(&watch, &Beat::Unwell("a window or message takes too long".to_owned())).await;
                error!("a window or message takes too long: the next run reads or sends it again");
                Ok(Exit::Incomplete)
            }
        }
    });
    // Do not wait for a log file that is still being read: nothing of it was committed.
    runtime.shutdown_background();
    ended
}

async fn send(watch: &Watch, beat: &Beat) {
    if let Some(heartbeat) = watch.heartbeat() {
        heartbeat.send(beat).await;
    }
}

/// Logs the outcome of a tick and what is still pending.
async fn done(watch: &Watch, summary: &TickSummary) -> Result<Exit, Failure> {
    info!(windows = summary.windows, messages = summary.messages, "done");
    if !summary.is_complete() {
        let (logs, messages) = (summary.logs_pending, summary.messages_pending);
        let discoveries = summary.discovery_failures;
        error!(
            logs,
            messages,
            discoveries,
            "some logs or messages are still pending, or clusters are not discovered: run `stakeout once` again"
        );
    }
    let stranded = watch.stranded().await.map_err(bootstrap::state_failure)?;
    for messages in &stranded {
        error!("{}", messages.explanation());
    }
    Ok(if summary.is_complete() && stranded.is_empty() { Exit::Done } else { Exit::Incomplete })
}
