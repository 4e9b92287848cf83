//! The verb `state`: shows the state. It asks the running daemon, or opens the state if no process holds it.

use std::io::Write;
use std::net::SocketAddr;

use anyhow::{Context, anyhow};
use clap::{Args, Subcommand};
use stakeout_http::Route;
use stakeout_ledger::{Ledger, LedgerError};

use crate::bootstrap::{self, ConfigArgs};
use crate::exit::{Exit, Failure, written};
use crate::summary::Summary;
use crate::writer::StateError;

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
    let summary = match open(&config.state_path) {
        Err(Failure::TryLater(held)) => {
            let listen = config.admin_listen.ok_or(Failure::TryLater(held))?;
            bootstrap::runtime()?.block_on(ask(listen))?
        }
        other => other?,
    };
    let text = if *json {
        serde_json::to_string_pretty(&summary).context("cannot encode the state as JSON")? + "\n"
    } else {
        summary.to_string()
    };
    written(std::io::stdout().write_all(text.as_bytes()))?;
    Ok(Exit::Done)
}

fn open(path: &std::path::Path) -> Result<Summary, Failure> {
    let failure = |error: LedgerError| bootstrap::state_failure(StateError::Ledger(error));
    if !path.exists() {
        return Err(anyhow!("no state in {} yet: start the daemon first", path.display()).into());
    }
    Summary::of(&Ledger::open(path).map_err(failure)?).map_err(failure)
}

async fn ask(listen: SocketAddr) -> Result<Summary, Failure> {
    let context = || format!("another process holds the state, and no daemon answers on {listen}");
    let client = stakeout_http::client(Route::Direct, std::time::Duration::from_secs(10))
        .context("cannot set up the HTTP client")?;
    let answer = client.get(format!("http://{listen}/state")).send().await.with_context(context)?;
    let answer = answer.error_for_status().with_context(context)?;
    Ok(answer.json().await.context("the answer of the daemon is not a state")?)
}
