//! The verb `state`: shows the state. It asks the running daemon, or opens the state if no process holds it.

use std::io::Write;

use anyhow::Context;
use clap::{Args, Subcommand};

use crate::admin_client;
use crate::bootstrap::ConfigArgs;
use crate::exit::{Exit, Failure, written};
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
    let summary = admin_client::state_or_daemon(&config, Summary::of, "/state", Vec::new())?;
    let text = if *json {
        serde_json::to_string_pretty(&summary).context("cannot encode the state as JSON")? + "\n"
    } else {
        summary.to_string()
    };
    written(std::io::stdout().write_all(text.as_bytes()))?;
    Ok(Exit::Done)
}
