//! The verb `state`: shows the state, moves or drops pending messages, and exports and imports all of it.
//!
//! `show` asks the running daemon, or opens the state if no process holds it. The others need a stopped daemon.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::{Args, Subcommand};
use stakeout_core::delivery::Settlement;
use stakeout_core::diagnostic::suggestion;
use stakeout_core::text::counted;
use stakeout_core::time::Second;
use stakeout_ledger::{Ledger, LedgerError, Transferred};

use crate::admin_client;
use crate::bootstrap::{self, ConfigArgs};
use crate::clock;
use crate::config::Config;
use crate::exit::{Exit, Failure, written};
use crate::printed::{Format, FormatArgs};
use crate::section::secret::SecretScope;
use crate::summary::Summary;

/// The file that means standard input or output.
const STANDARD: &str = "-";

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
    /// Write all of the state to a file: as a back-up, or to move it to another place
    #[command(after_help = "A state in a directory needs a stopped daemon. `-` writes to standard output.

Example:
  stakeout state export state.stakeout -c stakeout.yaml")]
    Export {
        /// The new file
        file: PathBuf,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Make the state of the config from a file that `export` wrote
    #[command(after_help = "There must be no state there yet. `-` reads from standard input.

Example:
  stakeout state import state.stakeout -c stakeout.yaml")]
    Import {
        /// The file
        file: PathBuf,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Read all of the state and its copies, and say what is damaged
    #[command(after_help = "Stop the daemon before. It ends with 1 if anything is damaged.

Example:
  stakeout state verify -c stakeout.yaml")]
    Verify {
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Put the last whole copy in the place of a damaged state
    #[command(
        after_help = "The daemon does so by itself, once a day. Stop it before. Logs are read again from the time of the copy, and findings
since then are reported a second time, with the same uid. The damaged database is kept beside the state.

Example:
  stakeout state repair -c stakeout.yaml"
    )]
    Repair {
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
        StateVerb::Export { file, config } => export(config, file),
        StateVerb::Import { file, config } => import(config, file),
        StateVerb::Verify { config } => verify(config),
        StateVerb::Repair { config } => repair(config),
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

fn export(config: &ConfigArgs, file: &Path) -> Result<Exit, Failure> {
    let (config, _) = config.load(SecretScope::NONE)?;
    let ledger = stopped_ledger(&config)?;
    if file == Path::new(STANDARD) {
        ledger.export(&mut BufWriter::new(std::io::stdout().lock())).map_err(failure)?;
        return Ok(Exit::Done);
    }
    let shown = file.display();
    // It holds what attackers did and what was found, as the state does.
    let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    let mut out = BufWriter::new(created.with_context(|| format!("cannot create {shown}, which must not exist yet"))?);
    let exported = ledger.export(&mut out).map_err(failure).and_then(|exported| {
        out.into_inner()
            .map_err(io::IntoInnerError::into_error)
            .and_then(|file| file.sync_all())
            .with_context(|| format!("cannot write {shown}"))?;
        Ok(exported)
    });
    if exported.is_err() {
        // What is not whole could not be imported.
        drop(fs::remove_file(file));
    }
    say(format_args!("{} written to {shown}", held(&exported?)))
}

fn import(config: &ConfigArgs, file: &Path) -> Result<Exit, Failure> {
    let (config, _) = config.load(SecretScope::NONE)?;
    let location = bootstrap::location(&config)?;
    let imported = if file == Path::new(STANDARD) {
        Ledger::import(location, &mut io::stdin().lock())
    } else {
        let opened = File::open(file).with_context(|| format!("cannot open {}", file.display()))?;
        Ledger::import(location, &mut BufReader::new(opened))
    };
    say(format_args!("{} imported into {}", held(&imported.map_err(failure)?), config.state.place))
}

fn held(all: &Transferred) -> String {
    format!("{} and {}", counted(all.values, "value"), counted(all.archived, "archived finding"))
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
fn verify(config: &ConfigArgs) -> Result<Exit, Failure> {
    let (config, _) = config.load(SecretScope::NONE)?;
    let verified = stopped_ledger(&config)?.verify().map_err(failure)?;
    say(format_args!("{} in {}: all of it can be read", held(&verified), config.state.place))?;
    let Some(dir) = config.state.directory() else { return Ok(Exit::Done) };
    let copies = Ledger::copies(dir).map_err(failure)?;
    let mut exit = Exit::Done;
    for (at, damage) in &copies {
        match damage {
            None => say(format_args!("copy of {at}: whole"))?,
            Some(damage) => {
                exit = Exit::Incomplete;
                say(format_args!("copy of {at}: {damage}"))?
            }
        };
    }
    if copies.is_empty() {
        say(format_args!("there is no copy yet: one is made with the next commit"))?;
    }
    Ok(exit)
}

fn repair(config: &ConfigArgs) -> Result<Exit, Failure> {
    let (config, _) = config.load(SecretScope::NONE)?;
    let Some(dir) = config.state.directory() else {
        return Err(
            anyhow!("the state is in {}: restore it with the database's own back-up", config.state.place).into()
        );
    };
    if !Ledger::is_in(dir) {
        return Err(anyhow!("there is no state in {}", config.state.place).into());
    }
    match Ledger::open(dir).and_then(|ledger| ledger.verify()) {
        Ok(verified) => return say(format_args!("{} can be read: there is nothing to repair", held(&verified))),
        Err(LedgerError::Damaged { .. } | LedgerError::Unfinished) => {}
        // A copy is no answer to the state of another version, to missing rights or to a full disk.
        Err(error) => return Err(not_opened(error)),
    }
    let from = Ledger::restore(dir, Second::from(clock::now())).map_err(failure)?;
    let verified = stopped_ledger(&config)?.verify().map_err(failure)?;
    say(format_args!("the state is as it was at {from}, with {}; the damaged one is kept beside it", held(&verified)))
}

fn stopped_ledger(config: &Config) -> Result<Ledger, Failure> {
    if config.state.directory().is_some_and(|directory| !Ledger::is_in(directory)) {
        return Err(anyhow!("there is no state in {}", config.state.place).into());
    }
    Ledger::open(bootstrap::location(config)?).map_err(not_opened)
}

fn not_opened(error: LedgerError) -> Failure {
    match error {
        LedgerError::Locked { .. } => Failure::TryLater(format!("{error}: stop the daemon first")),
        other => failure(other),
    }
}

fn failure(error: LedgerError) -> Failure {
    bootstrap::state_failure(error.into())
}

fn say(line: std::fmt::Arguments<'_>) -> Result<Exit, Failure> {
    written(writeln!(std::io::stdout(), "{line}"))?;
    Ok(Exit::Done)
}
