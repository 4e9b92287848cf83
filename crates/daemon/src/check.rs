//! The verb `check`: config and rules, offline.

use std::path::PathBuf;

use clap::Args;
use stakeout_core::diagnostic::Diagnostic;

use crate::bootstrap::ConfigArgs;
use crate::clock;
use crate::exit::{Exit, Failure};
use crate::rule_files;

/// What `stakeout check` is told.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  stakeout check -c stakeout.yaml
  stakeout check --rules ./my-rules")]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Check these rules only, without a config: a file or a directory
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    rules: Vec<PathBuf>,
}

/// Checks the config with its rules, or rules alone. Every fault and warning names file, line, key and the fix.
pub(crate) fn run(args: &CheckArgs) -> Result<Exit, Failure> {
    if !args.rules.is_empty() {
        let rules = rule_files::load(&args.rules).map_err(Failure::Config)?;
        warn(&rules.warnings);
        warn(&rules.expired(clock::now().into()));
        say(&format!("{} rules, {} cases: good", rules.rules.len(), rules.cases.len()));
        return Ok(Exit::Done);
    }
    let (config, rules) = args.config.read()?;
    warn(&config.warnings);
    warn(&rules.warnings);
    warn(&rules.expired(clock::now().into()));
    say(&format!(
        "{}: {} sources, {} destinations, {} rules: good",
        args.config.config.display(),
        config.sources.len(),
        config.notify.len(),
        rules.rules.len()
    ));
    Ok(Exit::Done)
}

/// Tells what is allowed but hardly meant: no fault, but part of the result.
fn warn(warnings: &[Diagnostic]) {
    for warning in warnings {
        say(&format!("warning: {warning}"));
    }
}

#[expect(clippy::print_stdout, reason = "this is the verb's result")]
fn say(line: &str) {
    println!("{line}");
}
