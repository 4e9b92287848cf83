//! The command line: verbs, and the one way from a verb to its exit code.

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use crate::check::{self, CheckArgs};
#[cfg(feature = "demo")]
use crate::demo::{self, DemoArgs};
use crate::doctor::{self, DoctorArgs};
use crate::exit::{Exit, Failure};
use crate::explain::{self, ExplainArgs};
use crate::notify::{self, NotifyArgs};
use crate::once::{self, OnceArgs};
use crate::replay::{self, ReplayArgs};
use crate::rules::{self, RulesArgs};
use crate::run::{self, RunArgs};
use crate::state::{self, StateArgs};
use crate::telemetry::{self, LogArgs};
use crate::tune::{self, TuneArgs};

/// Watches the Kubernetes API of your clusters for people casing the place.
///
/// Every hour it reads the audit logs that the clouds already keep, counts denied and anonymous requests per source
/// address with Sigma rules, and tells Slack or SNS once, with the evidence.
#[derive(Debug, Parser)]
#[command(
    name = "stakeout",
    version,
    after_help = "Exit codes: 0 done, 1 failed, 2 usage, 3 findings (replay --exit-on-finding),
75 try later (state locked, disk full), 78 config or rule error"
)]
struct Cli {
    #[command(flatten)]
    log: LogArgs,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// See the whole pipeline at work, without credentials
    #[cfg(feature = "demo")]
    Demo(DemoArgs),
    /// Watch: the daemon
    Run(RunArgs),
    /// Read and tell everything that is owed at a moment, then exit
    Once(OnceArgs),
    /// Check config and rules, offline
    Check(CheckArgs),
    /// Look live whether each log can be read and shows scans, with the fix
    Doctor(DoctorArgs),
    /// Find in exported audit logs what the daemon would have found
    Replay(ReplayArgs),
    /// List, show and test rules
    Rules(RulesArgs),
    /// Explain why a rule matched events or did not
    Explain(ExplainArgs),
    /// Find what other thresholds would have raised from exported audit logs
    Tune(TuneArgs),
    /// Show what the daemon knows
    State(StateArgs),
    /// Test destinations
    Notify(NotifyArgs),
    /// Print a completion script for a shell
    Completion {
        /// The shell
        shell: Shell,
    },
}

/// Runs the verb that the command line names.
pub(crate) fn run() -> Result<Exit, Failure> {
    let cli = Cli::parse();
    telemetry::start(cli.log);
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
        Verb::State(args) => state::run(args),
        Verb::Notify(args) => notify::run(args),
        Verb::Completion { shell } => {
            clap_complete::generate(*shell, &mut Cli::command(), "stakeout", &mut std::io::stdout());
            Ok(Exit::Done)
        }
    }
}
