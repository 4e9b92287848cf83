//! The verb `rules`: lists the active rules, shows one, exports the built-in ones, runs test cases, and prints an ATT&CK
//! layer.

mod export;
mod list;
mod navigator;
mod test;

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Subcommand};
use stakeout_core::rule::Rules;

use crate::bootstrap::warn_of;
use crate::config::RuleSource;
use crate::exit::{Exit, Failure, written};
use crate::printed::FormatArgs;
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
  stakeout rules list --rules ./my-rules -o json |
    jq -r 'select(.expired_filters != []) | .name'")]
    List {
        #[command(flatten)]
        paths: Paths,
        #[command(flatten)]
        output: FormatArgs,
    },
    /// Print one rule with the rules that it counts, without filters
    #[command(after_help = "Examples:
  stakeout rules show kubernetes-pod-scan-by-anonymous
  stakeout rules show kubernetes-pod-scan-by-anonymous > ./mine/pods.yml")]
    Show {
        /// The rule's name
        name: String,
        #[command(flatten)]
        paths: Paths,
    },
    /// Write the files of the built-in rules, with their filters, to a new directory
    #[command(after_help = "Examples:
  stakeout rules export ./all-rules

A config with `rules: [./all-rules]` uses the copies alone.
With `rules: [builtin, ./all-rules]`, each copy replaces the built-in rule of
its name.")]
    Export {
        /// The directory, which must be missing or empty
        directory: PathBuf,
    },
    /// Run the test cases in the rule files
    #[command(after_help = "Examples:
  stakeout rules test
  stakeout rules test --rules ./my-rules

The event of a test case has the form of the API server or of a cloud: an entry
of Cloud Logging, a row of Log Analytics or of its export, or an event of
CloudWatch Logs. Times and ids of records are optional.")]
    Test(Paths),
    /// Print an ATT&CK Navigator layer of the techniques that the rules detect
    #[command(after_help = "Examples:
  stakeout rules navigator > layer.json
  stakeout rules navigator --rules ./my-rules |
    jq -r '.techniques[].techniqueID'

Open the file with Open Existing Layer at
https://mitre-attack.github.io/attack-navigator/
The score of a technique is the number of rules that detect it.")]
    Navigator(Paths),
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
            done(list::write(&rules, output.format()))
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

/// Prints a rule and the rules that it counts, as a file that loads by itself.
fn show(name: &str, paths: &Paths) -> Result<Exit, Failure> {
    let files = rule_files::files(&paths.rules).map_err(Failure::Config)?;
    let rules = load(paths)?;
    let rule = rule_files::named(&rules, name)?;
    let mut documents = Vec::new();
    for place in rules.places_of(&rule.head.name) {
        let file = files.iter().find(|file| file.origin == place.origin && file.name == place.file);
        let file = file.with_context(|| format!("{} has changed meanwhile", place.file))?;
        documents.push(document_at(&file.text, place.line));
    }
    done(io::stdout().write_all(documents.join("---\n").as_bytes()))
}

/// Returns the YAML document of `text` that holds this line, from 1.
fn document_at(text: &str, line: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let (before, after) = lines.split_at(line.min(lines.len()));
    let is_separator = |line: &&str| line.trim_end() == "---";
    let start = before.iter().rposition(is_separator).map_or(0, |at| at + 1);
    let more = after.iter().position(is_separator).unwrap_or(after.len());
    lines[start..before.len() + more].iter().map(|line| format!("{line}\n")).collect()
}
