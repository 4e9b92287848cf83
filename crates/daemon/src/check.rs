//! The verb `check`: checks config and rules offline, and runs the rules' test cases.

use std::io::{self, Write};

use clap::Args;
use stakeout_core::diagnostic::Diagnostic;
use stakeout_core::rule::CaseResult;
use stakeout_core::text::counted;

use crate::bootstrap::ConfigArgs;
use crate::clock;
use crate::config::RuleSource;
use crate::exit::{Exit, Failure, written};
use crate::replay::files::read_case;
use crate::rule_files;

/// The arguments of `stakeout check`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  stakeout check -c stakeout.yaml
  stakeout check --rules ./my-rules
  stakeout check --rules builtin --rules ./my-rules")]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Check only these rules and ignore the config: `builtin`, a file or a directory
    #[arg(long, value_name = "DIR")]
    rules: Vec<RuleSource>,
}

/// Checks the config with its rules, or rules alone, and runs their test cases. Each error and warning names file, line,
/// key and fix.
pub(crate) fn run(args: &CheckArgs) -> Result<Exit, Failure> {
    let (rules, warnings, summary) = if args.rules.is_empty() {
        let (config, rules) = args.config.read()?;
        let summary = format!(
            "{}: {}, {}, {}: good",
            args.config.config.display(),
            counted(config.sources.len(), "source"),
            counted(config.notify.len(), "destination"),
            counted(rules.rules.len(), "rule")
        );
        (rules, config.warnings, summary)
    } else {
        let rules = rule_files::load(&args.rules).map_err(Failure::Config)?;
        let summary = format!("{}, {}: good", counted(rules.rules.len(), "rule"), counted(rules.cases.len(), "case"));
        (rules, Vec::new(), summary)
    };
    let failed: Vec<Diagnostic> = rules.test_with(&read_case).iter().filter_map(CaseResult::failure).collect();
    if !failed.is_empty() {
        return Err(Failure::Config(failed));
    }
    let mut lines: String = rules.replacements.iter().map(|note| format!("note: {note}\n")).collect();
    lines += &warning_lines(warnings.iter().chain(&rules.warnings).chain(&rules.expired(clock::now().into())));
    lines += &summary;
    written(writeln!(io::stdout(), "{lines}"))?;
    Ok(Exit::Done)
}

/// Returns a line for each warning: a value that is allowed but probably a mistake. They are part of the result.
fn warning_lines<'a>(warnings: impl Iterator<Item = &'a Diagnostic>) -> String {
    warnings.map(|warning| format!("warning: {warning}\n")).collect()
}
