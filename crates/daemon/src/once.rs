//! The verb `once`: one tick, then exit. For cron, CronJobs and tests.

use std::sync::Arc;

use clap::Args;
use jiff::Timestamp;
use stakeout_core::time::Second;
use tracing::{error, info};

use crate::bootstrap::{self, ConfigArgs};
use crate::clock;
use crate::exit::{Exit, Failure};
use crate::in_flight::InFlight;
use crate::progress_bar;
use crate::shutdown::shutdown;
use crate::tick::WaitPolicy;
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

/// Reads all due windows and sends the pending messages.
pub(crate) fn run(args: &OnceArgs) -> Result<Exit, Failure> {
    let at = bootstrap::time_of(args.at)?;
    bootstrap::runtime()?.block_on(async {
        let (config, rules) = args.config.load()?;
        let writer = bootstrap::open_state(&config)?;
        let watch = Arc::new(Watch::new(config, rules, writer, InFlight::default()).await?);
        let (_switch, shutdown) = shutdown();
        let bar = progress_bar::windows();
        let tick = watch.tick(Second::from(at), WaitPolicy::UntilDone, &shutdown, &bar);
        let summary = tick.await.map_err(bootstrap::state_failure)?;
        bar.finish_and_clear();
        info!(windows = summary.windows, messages = summary.messages, "done");
        if !summary.is_complete() {
            let (logs, messages) = (summary.logs_pending, summary.messages_pending);
            error!(logs, messages, "some logs or messages are still pending: run `stakeout once` again");
            return Ok(Exit::Incomplete);
        }
        let stranded = watch.stranded().await.map_err(bootstrap::state_failure)?;
        for messages in &stranded {
            error!("{}", messages.explanation());
        }
        Ok(if stranded.is_empty() { Exit::Done } else { Exit::Incomplete })
    })
}
