//! The verb `rules`: lists the active rules, shows one, exports the built-in ones, runs test cases, and prints an ATT&CK
//! layer.

mod export;
mod list;
mod navigator;
mod test;

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};
use stakeout_core::rule::Rules;

use crate::bootstrap::warn_of;
use crate::config::RuleSource;
use crate::exit::{Exit, Failure, written};
use crate::rule_files;

/// The arguments of `stakeout rules`.
#[derive(Args, Debug)]
pub(crate) struct RulesArgs {
    #[command(subcommand)]
    verb: RulesVerb,
}

/// The verbs of `rules`.
#[derive(Debug, Subcommand)]
enum RulesVerb {
    /// List the active rules: level, threshold, techniques, test cases, filters, origin
    #[command(after_help = "Examples:
  stakeout rules list
  stakeout rules list --rules ./my-rules -o json | jq -r 'select(.expired_filters != []) | .name'")]
    List {
        #[command(flatten)]
        paths: Paths,
        /// Output format
        #[arg(short, long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Print the file of one rule
    #[command(after_help = "Examples:
  stakeout rules show kubernetes-pod-scan-by-anonymous
  stakeout rules show kubernetes-pod-scan-by-anonymous > ./my-rules/pod-scan.yml")]
    Show {
        /// The rule's name
        name: String,
        #[command(flatten)]
        paths: Paths,
    },
    /// Write the files of the built-in rules, with their filters, to a new directory
    #[command(after_help = "Examples:
  stakeout rules export ./all-rules

A config with `rules: [./all-rules]` uses the copies alone. With `rules: [builtin, ./all-rules]`,
each copy replaces the built-in rule of its name.")]
    Export {
        /// The directory, which must be missing or empty
        directory: PathBuf,
    },
    /// Run the test cases in the rule files
    #[command(after_help = "Examples:
  stakeout rules test
  stakeout rules test --rules ./my-rules

The event of a test case has the form of the API server or of a cloud: an entry of Cloud
Logging, a row of Log Analytics or of its export, or an event of CloudWatch Logs.
Times and ids of records are optional.")]
    Test(Paths),
    /// Print an ATT&CK Navigator layer of the techniques that the rules detect
    #[command(after_help = "Examples:
  stakeout rules navigator > layer.json
  stakeout rules navigator --rules ./my-rules | jq -r '.techniques[].techniqueID'

Open the file at https://mitre-attack.github.io/attack-navigator/ with Open Existing Layer.
The score of a technique is the number of rules that detect it.")]
    Navigator(Paths),
}

/// The output format of `rules list`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// A table for people
    Text,
    /// One JSON object per line
    Json,
}

/// The rules to use.
#[derive(Args, Debug)]
struct Paths {
    /// Rules to use: `builtin`, a file or a directory; may be repeated [default: builtin]
    #[arg(long, value_name = "DIR")]
    rules: Vec<RuleSource>,
}

/// Runs `rules`.
pub(crate) fn run(args: &RulesArgs) -> Result<Exit, Failure> {
    match &args.verb {
        RulesVerb::List { paths, output } => {
            let rules = load(paths)?;
            warn_of(&rules);
            done(list::write(&rules, *output))
        }
        RulesVerb::Show { name, paths } => show(name, paths),
        RulesVerb::Export { directory } => export::run(directory),
        RulesVerb::Test(paths) => test::run(&load(paths)?),
        RulesVerb::Navigator(paths) => {
            let rules = load(paths)?;
            warn_of(&rules);
            done(navigator::write(&rules))
        }
    }
}

fn load(paths: &Paths) -> Result<Rules, Failure> {
    rule_files::load(&paths.rules).map_err(Failure::Config)
}

/// Returns the exit code of a verb that only writes.
fn done(result: io::Result<()>) -> Result<Exit, Failure> {
    written(result)?;
    Ok(Exit::Done)
}

fn show(name: &str, paths: &Paths) -> Result<Exit, Failure> {
    let rules = load(paths)?;
    let rule = rule_files::named(&rules, name)?;
    let files = rule_files::files(&paths.rules).map_err(Failure::Config)?;
    let file = files.iter().find(|file| file.origin == rule.origin && file.name == rule.file);
    let file = file.with_context(|| format!("cannot read {}", rule.file))?;
    done(io::stdout().write_all(file.text.as_bytes()))
}
