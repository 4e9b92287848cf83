//! The verb `check`: checks config and rules offline.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use stakeout_core::diagnostic::Diagnostic;
use stakeout_core::text::counted;

use crate::bootstrap::ConfigArgs;
use crate::clock;
use crate::exit::{Exit, Failure, written};
use crate::rule_files;

/// The arguments of `stakeout check`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  stakeout check -c stakeout.yaml
  stakeout check --rules ./my-rules")]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Check only these rules and ignore the config: a file or a directory
    #[arg(long, value_name = "DIR")]
    rules: Vec<PathBuf>,
}

/// Checks the config with its rules, or rules alone. Each error and warning names file, line, key and fix.
pub(crate) fn run(args: &CheckArgs) -> Result<Exit, Failure> {
    let (mut lines, summary) = if args.rules.is_empty() {
        let (config, rules) = args.config.read()?;
        let summary = format!(
            "{}: {}, {}, {}: good",
            args.config.config.display(),
            counted(config.sources.len(), "source"),
            counted(config.notify.len(), "destination"),
            counted(rules.rules.len(), "rule")
        );
        (warnings(config.warnings.iter().chain(&rules.warnings).chain(&rules.expired(clock::now().into()))), summary)
    } else {
        let rules = rule_files::load(&args.rules).map_err(Failure::Config)?;
        let summary = format!("{}, {}: good", counted(rules.rules.len(), "rule"), counted(rules.cases.len(), "case"));
        (warnings(rules.warnings.iter().chain(&rules.expired(clock::now().into()))), summary)
    };
    lines += &summary;
    written(writeln!(io::stdout(), "{lines}"))?;
    Ok(Exit::Done)
}

/// Returns a line for each warning: a value that is allowed but probably a mistake. They are part of the result.
fn warnings<'a>(warnings: impl Iterator<Item = &'a Diagnostic>) -> String {
    warnings.map(|warning| format!("warning: {warning}\n")).collect()
}
