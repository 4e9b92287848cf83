//! The verb `check`: checks config and rules offline.

use std::path::PathBuf;

use clap::Args;
use stakeout_core::diagnostic::Diagnostic;

use crate::bootstrap::ConfigArgs;
use crate::clock;
use crate::exit::{Exit, Failure};
use crate::rule_files;

/// The arguments of `stakeout check`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  stakeout check -c stakeout.yaml
  stakeout check --rules ./my-rules")]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Check only these rules, without a config: a file or a directory
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    rules: Vec<PathBuf>,
}

/// Checks the config with its rules, or rules alone. Each error and warning names file, line, key and fix.
pub(crate) fn run(args: &CheckArgs) -> Result<Exit, Failure> {
    if !args.rules.is_empty() {
        let rules = rule_files::load(&args.rules).map_err(Failure::Config)?;
        print_warnings(&rules.warnings);
        print_warnings(&rules.expired(clock::now().into()));
        print_line(&format!("{} rules, {} cases: good", rules.rules.len(), rules.cases.len()));
        return Ok(Exit::Done);
    }
    let (config, rules) = args.config.read()?;
    print_warnings(&config.warnings);
    print_warnings(&rules.warnings);
    print_warnings(&rules.expired(clock::now().into()));
    print_line(&format!(
        "{}: {} sources, {} destinations, {} rules: good",
        args.config.config.display(),
        config.sources.len(),
        config.notify.len(),
        rules.rules.len()
    ));
    Ok(Exit::Done)
}

/// Prints warnings: values that are allowed but probably a mistake. They are part of the result.
fn print_warnings(warnings: &[Diagnostic]) {
    for warning in warnings {
        print_line(&format!("warning: {warning}"));
    }
}

#[expect(clippy::print_stdout, reason = "this is the verb's result")]
fn print_line(line: &str) {
    println!("{line}");
}
