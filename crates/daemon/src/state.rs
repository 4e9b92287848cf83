//! The verb `state`: shows the state, and moves or drops pending messages.
//!
//! `show` asks the running daemon, or opens the state if no process holds it. The others need a stopped daemon.

use std::io::Write;

use anyhow::anyhow;
use clap::{Args, Subcommand};
use stakeout_core::delivery::Settlement;
use stakeout_core::diagnostic::suggestion;
use stakeout_core::text::counted;
use stakeout_core::time::Second;
use stakeout_ledger::{Ledger, LedgerError};

use crate::admin_client;
use crate::bootstrap::{self, ConfigArgs};
use crate::config::Config;
use crate::exit::{Exit, Failure, written};
use crate::printed::{Format, FormatArgs};
use crate::section::secret::SecretScope;
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
        #[command(flatten)]
        output: FormatArgs,
    },
    /// Give the pending messages of one destination to another, for example of a renamed one
    #[command(after_help = "Stop the daemon before.

Example:
  stakeout state move-pending secops security -c stakeout.yaml")]
    MovePending {
        /// The destination that has them
        old: String,
        /// The destination of the config that gets them
        new: String,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Drop the pending messages of a destination: nobody receives them
    #[command(after_help = "Stop the daemon before. `stakeout findings` still shows the findings.

Example:
  stakeout state drop-pending secops -c stakeout.yaml")]
    DropPending {
        /// The destination
        name: String,
        #[command(flatten)]
        config: ConfigArgs,
    },
}

/// Runs `state`.
pub(crate) fn run(args: &StateArgs) -> Result<Exit, Failure> {
    match &args.verb {
        StateVerb::Show { config, output } => show(config, output.format()),
        StateVerb::MovePending { old, new, config } => move_pending(config, old, new),
        StateVerb::DropPending { name, config } => drop_pending(config, name),
    }
}

fn show(config: &ConfigArgs, format: Format) -> Result<Exit, Failure> {
    let (config, _) = config.load(SecretScope::NONE)?;
    let of_state = |ledger: &Ledger| Ok(Summary::of(ledger).map_err(failure)?.printed(format));
    let params = [("format", format.as_str().to_owned())];
    admin_client::state_or_daemon(&config, of_state, "/state", &params)?.print()
}

fn move_pending(config: &ConfigArgs, old: &str, new: &str) -> Result<Exit, Failure> {
    let (config, _) = config.load(SecretScope::NONE)?;
    let known: Vec<&str> = config.notify.iter().map(|destination| destination.name.as_str()).collect();
    if !known.contains(&new) {
        return Err(Failure::Usage(format!("the config has no destination `{new}`; {}", suggestion(new, &known))));
    }
    if old == new {
        return Err(Failure::Usage("the messages are already pending for this destination".to_owned()));
    }
    let ledger = ledger_with_pending(&config, old)?;
    let moved = ledger.move_pending(old, new).map_err(failure)?;
    say(format_args!("{} of `{old}` moved to `{new}`", counted(moved, "pending message")))
}

fn drop_pending(config: &ConfigArgs, name: &str) -> Result<Exit, Failure> {
    let (config, _) = config.load(SecretScope::NONE)?;
    let ledger = ledger_with_pending(&config, name)?;
    let mut settlement = Settlement::default();
    for delivery in ledger.deliveries(name, Second(i64::MAX)).map_err(failure)? {
        settlement.entries.extend(delivery.entries.iter().map(|entry| (delivery.id, *entry)));
        settlement.notices.extend(delivery.notices.into_iter().map(|notice| (delivery.id, notice)));
    }
    ledger.settle_delivery(&settlement, &[]).map_err(failure)?;
    let dropped = settlement.entries.len() + settlement.notices.len();
    say(format_args!("{} of `{name}` dropped", counted(dropped, "pending message")))
}

/// Opens the state, which no daemon may hold. Fails if nothing is pending for `destination`.
fn ledger_with_pending(config: &Config, destination: &str) -> Result<Ledger, Failure> {
    let ledger = stopped_ledger(config)?;
    let pending = ledger.stored().map_err(failure)?.pending;
    if pending.contains_key(destination) {
        return Ok(ledger);
    }
    let known: Vec<&str> = pending.keys().map(String::as_str).collect();
    let fix = if known.is_empty() { "no message is pending".to_owned() } else { suggestion(destination, &known) };
    Err(Failure::Usage(format!("no message is pending for `{destination}`; {fix}")))
}

/// Opens the state, which no daemon may hold.
fn stopped_ledger(config: &Config) -> Result<Ledger, Failure> {
    let opened = bootstrap::ledger(config).map_err(|error| match failure(error) {
        Failure::TryLater(held) => Failure::TryLater(format!("{held}: stop the daemon first")),
        other => other,
    })?;
    opened.ok_or_else(|| anyhow!("there is no state in {}", config.state.place).into())
}

fn failure(error: LedgerError) -> Failure {
    bootstrap::state_failure(error.into())
}

fn say(line: std::fmt::Arguments<'_>) -> Result<Exit, Failure> {
    written(writeln!(std::io::stdout(), "{line}"))?;
    Ok(Exit::Done)
}
