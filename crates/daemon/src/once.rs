//! The verb `once`: everything owed at a moment, then exit. For cron, CronJobs and tests.

use std::sync::Arc;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;
use stakeout_core::time::Second;
use tracing::info;

use crate::bootstrap::{self, ConfigArgs};
use crate::clock;
use crate::exit::{Exit, Failure};
use crate::in_flight::Busy;
use crate::shutdown::shutdown;
use crate::watch::{Patience, Watch};

/// What `stakeout once` is told.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  stakeout once -c /etc/stakeout/stakeout.yaml
  stakeout once -c stakeout.yaml --at 2026-11-22T02:00:00Z")]
pub(crate) struct OnceArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The moment at which windows are owed, in RFC 3339; now, where it is left out
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
}

/// Reads and tells everything that is owed at a moment.
pub(crate) fn run(args: &OnceArgs) -> Result<Exit, Failure> {
    let now = clock::now();
    let at = args.at.unwrap_or(now);
    if at > now {
        return Err(Failure::Usage(format!("--at {at} lies in the future: no log holds it yet")));
    }
    bootstrap::runtime()?.block_on(async {
        let (config, rules) = args.config.load()?;
        let writer = bootstrap::open_state(&config)?;
        let watch = Arc::new(Watch::new(config, rules, writer, Busy::default()).await?);
        let (_switch, asked) = shutdown();
        let bar = catch_up_bar();
        let ticked =
            watch.tick(Second::from(at), Patience::UntilDone, &asked, &bar).await.map_err(bootstrap::state_failure)?;
        bar.finish_and_clear();
        info!(windows = ticked.windows, messages = ticked.messages, "done");
        if ticked.logs_owing > 0 || ticked.messages_owed > 0 {
            let (logs, messages) = (ticked.logs_owing, ticked.messages_owed);
            tracing::error!(logs, messages, "something is still owed: run again");
            return Ok(Exit::Owed);
        }
        Ok(Exit::Done)
    })
}

/// Returns a bar over the windows that are caught up; it shows on a terminal only.
pub(crate) fn catch_up_bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("reading windows {bar:30} {pos}/{len} {eta}");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
