//! The command line: verbs, and the one way from a verb to its exit code.

use clap::{Parser, Subcommand};

use crate::exit::{Exit, Failure};
use crate::replay::{self, ReplayArgs};
use crate::rules::{self, RulesArgs};
use crate::telemetry::{self, LogArgs};

/// Watches the Kubernetes API of your clusters for people casing the place.
///
/// Every hour it reads the audit logs that the clouds already keep, counts denied and anonymous requests per source
/// address with Sigma rules, and tells Slack or SNS once, with the evidence.
#[derive(Debug, Parser)]
#[command(name = "stakeout", version, after_help = "Exit codes: 0 done, 1 failed, 2 usage, 3 findings (replay --exit-on-finding),
75 try later (state locked, disk full), 78 config or rule error")]
struct Cli {
    #[command(flatten)]
    log: LogArgs,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Find in exported audit logs what the daemon would have found
    Replay(ReplayArgs),
    /// List, show and test rules
    Rules(RulesArgs),
}

/// Runs the verb that the command line names.
pub(crate) fn run() -> Result<Exit, Failure> {
    let cli = Cli::parse();
    telemetry::start(cli.log);
    match &cli.verb {
        Verb::Replay(args) => replay::run(args),
        Verb::Rules(args) => rules::run(args),
    }
}
