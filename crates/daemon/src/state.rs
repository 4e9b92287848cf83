//! The verb `state`: shows the state. It asks the running daemon, or opens the state if no process holds it.

use clap::{Args, Subcommand};
use stakeout_ledger::Ledger;

use crate::admin_client;
use crate::bootstrap::{self, ConfigArgs};
use crate::exit::{Exit, Failure};
use crate::printed::Format;
use crate::summary::Summary;

/// The arguments of `stakeout state`.
#[derive(Args, Debug)]
pub(crate) struct StateArgs {
    #[command(subcommand)]
    verb: StateVerb,
}

#[derive(Debug, Subcommand)]
enum StateVerb {
    /// Show the progress of each log, open findings and pending messages
    Show {
        #[command(flatten)]
        config: ConfigArgs,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Runs `state`.
pub(crate) fn run(args: &StateArgs) -> Result<Exit, Failure> {
    let StateVerb::Show { config, json } = &args.verb;
    let (config, _) = config.load()?;
    let format = if *json { Format::Json } else { Format::Text };
    let of_state = |ledger: &Ledger| match Summary::of(ledger) {
        Ok(summary) => Ok(summary.printed(format)),
        Err(error) => Err(bootstrap::state_failure(error.into())),
    };
    let params = [("format", format.as_str().to_owned())];
    admin_client::state_or_daemon(&config, of_state, "/state", &params)?.print()
}
