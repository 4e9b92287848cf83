//! The command line: its verbs, and how each ends in an exit code.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use crate::check::{self, CheckArgs};
#[cfg(feature = "demo")]
use crate::demo::{self, DemoArgs};
use crate::doctor::{self, DoctorArgs};
use crate::exit::{Exit, Failure, written};
use crate::explain::{self, ExplainArgs};
use crate::findings::{self, FindingsArgs};
use crate::incidents::{self, IncidentsArgs};
use crate::notify::{self, NotifyArgs};
use crate::once::{self, OnceArgs};
use crate::ranges::{self, RangesArgs};
use crate::replay::{self, ReplayArgs};
use crate::rules::{self, RulesArgs};
use crate::run::{self, RunArgs};
use crate::silence::{self, SilenceArgs};
use crate::sources::{self, SourcesArgs};
use crate::state::{self, StateArgs};
use crate::telemetry::{self, LogArgs};
use crate::tune::{self, TuneArgs};

/// Detects reconnaissance against the Kubernetes API of your clusters.
///
/// Every hour, Stakeout reads the audit logs that the clouds already keep and counts denied and anonymous requests per
/// source address with Sigma rules. It reports each finding once, with its evidence, to Slack, Microsoft Teams, PagerDuty,
/// Alertmanager, SNS, a webhook or standard output.
#[derive(Debug, Parser)]
#[command(
    name = "stakeout",
    version,
    after_help = "Exit codes: 0 done, 1 failed, 2 usage, 3 findings (replay --exit-on-finding),
65 no audit events in the input (replay, tune, explain), 75 try later (state locked, disk full),
78 config or rule error"
)]
struct Cli {
    #[command(flatten)]
    log: LogArgs,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show the whole pipeline on this machine, without credentials
    #[cfg(feature = "demo")]
    Demo(DemoArgs),
    /// Run the daemon
    Run(RunArgs),
    /// Process all due windows once, send pending alerts, and exit
    Once(OnceArgs),
    /// Check config and rules offline
    Check(CheckArgs),
    /// Check that each log is readable and records reads, and print the fix
    Doctor(DoctorArgs),
    /// Run the rules on exported audit logs and print the incidents and findings
    Replay(ReplayArgs),
    /// List, show and test rules
    Rules(RulesArgs),
    /// Explain why a rule matches events or not
    Explain(ExplainArgs),
    /// Count the findings that other thresholds would raise
    Tune(TuneArgs),
    /// List and show findings, open ones and those of the past
    Findings(FindingsArgs),
    /// List and show incidents: one attacker with all that they did
    Incidents(IncidentsArgs),
    /// List the logs that are watched, found how, and how far they are read
    Sources(SourcesArgs),
    /// Silence known behaviour for a while, and list what is silenced
    Silence(SilenceArgs),
    /// Download the address ranges that clouds publish
    Ranges(RangesArgs),
    /// Show, verify, repair, export and import the state, move or drop its pending messages
    State(StateArgs),
    /// Test destinations
    Notify(NotifyArgs),
    /// Print a completion script for a shell
    Completion {
        /// The shell
        shell: Shell,
    },
    /// Write a manual page for each command, as packages have them
    #[command(hide = true)]
    Man {
        /// The directory
        directory: PathBuf,
    },
}

/// Runs the verb of the command line.
pub(crate) fn run() -> Result<Exit, Failure> {
    let cli = Cli::parse();
    telemetry::start(match &cli.verb {
        // What it prints is a story, which log lines would interrupt.
        #[cfg(feature = "demo")]
        Verb::Demo(_) => cli.log.quiet_unless_verbose(),
        _ => cli.log,
    })?;
    match &cli.verb {
        #[cfg(feature = "demo")]
        Verb::Demo(args) => demo::run(args),
        Verb::Replay(args) => replay::run(args),
        Verb::Rules(args) => rules::run(args),
        Verb::Explain(args) => explain::run(args),
        Verb::Tune(args) => tune::run(args),
        Verb::Run(args) => run::run(args),
        Verb::Once(args) => once::run(args),
        Verb::Check(args) => check::run(args),
        Verb::Doctor(args) => doctor::run(args),
        Verb::Findings(args) => findings::run(args),
        Verb::Incidents(args) => incidents::run(args),
        Verb::Silence(args) => silence::run(args),
        Verb::Ranges(args) => ranges::run(args),
        Verb::Sources(args) => sources::run(args),
        Verb::State(args) => state::run(args),
        Verb::Notify(args) => notify::run(args),
        Verb::Completion { shell } => {
            // clap_complete panics where it cannot write, so it writes into memory.
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "stakeout", &mut script);
            written(io::stdout().write_all(&script))?;
            Ok(Exit::Done)
        }
        Verb::Man { directory } => {
            fs::create_dir_all(directory)
                .and_then(|()| clap_mangen::generate_to(Cli::command(), directory))
                .with_context(|| format!("cannot write the manual pages into `{}`", directory.display()))?;
            Ok(Exit::Done)
        }
    }
}
