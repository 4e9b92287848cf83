//! The verb `rules`: the active rules, one rule whole, the cases that stand in their files, and what of ATT&CK they cover.

mod list;
mod navigator;
mod test;

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};
use stakeout_core::rule::{RuleFile, Rules};
use stakeout_core::shipped;

use crate::bootstrap::warn_of;
use crate::exit::{Exit, Failure};
use crate::rule_files;

/// What `stakeout rules` is told.
#[derive(Args, Debug)]
pub(crate) struct RulesArgs {
    #[command(subcommand)]
    verb: RulesVerb,
}

/// What to do with rules.
#[derive(Debug, Subcommand)]
enum RulesVerb {
    /// List the active rules: level, threshold, techniques, cases, filters, where each is from
    #[command(after_help = "Examples:
  stakeout rules list
  stakeout rules list --rules ./my-rules -o json | jq -r 'select(.expired_filters != []) | .name'")]
    List {
        #[command(flatten)]
        paths: Paths,
        /// How rules are printed
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
    /// Run the cases that stand in the rules' files
    #[command(after_help = "Examples:
  stakeout rules test
  stakeout rules test --rules ./my-rules

A case's event is written as the API server writes it, or as a cloud keeps it: an entry of Cloud Logging, a row of
Log Analytics or of its export, an event of CloudWatch Logs. Times and ids of records may be left out.")]
    Test(Paths),
    /// Print an ATT&CK Navigator layer of the techniques that rules look for
    #[command(after_help = "Examples:
  stakeout rules navigator > layer.json
  stakeout rules navigator --rules ./my-rules | jq -r '.techniques[].techniqueID'

Open it at https://mitre-attack.github.io/attack-navigator/ with Open Existing Layer. A score is a number of rules.")]
    Navigator(Paths),
}

/// How rules are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// A table for people
    Text,
    /// A JSON object a line
    Json,
}

/// Where rules are taken from.
#[derive(Args, Debug)]
struct Paths {
    /// Rules to use instead of the shipped ones: a file or a directory
    #[arg(long, value_name = "DIR")]
    rules: Vec<PathBuf>,
}

/// Runs `rules`.
pub(crate) fn run(args: &RulesArgs) -> Result<Exit, Failure> {
    match &args.verb {
        RulesVerb::List { paths, output } => {
            let rules = load(paths)?;
            warn_of(&rules);
            done(list::write(&rules, paths.rules.is_empty(), *output))
        }
        RulesVerb::Show { name, paths } => show(name, paths),
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

/// Returns how a verb ended that only writes.
fn done(written: io::Result<()>) -> Result<Exit, Failure> {
    match written {
        // The reader has enough, as `head` has.
        Err(fault) if fault.kind() == io::ErrorKind::BrokenPipe => {}
        written => written.context("cannot write the result")?,
    }
    Ok(Exit::Done)
}

fn show(name: &str, paths: &Paths) -> Result<Exit, Failure> {
    let rules = load(paths)?;
    let rule = rule_files::named(&rules, name)?;
    let file = file_of(&rule.file, paths).with_context(|| format!("cannot read {}", rule.file))?;
    done(io::stdout().write_all(file.text.as_bytes()))
}

fn file_of(name: &str, paths: &Paths) -> io::Result<RuleFile> {
    if paths.rules.is_empty()
        && let Some(file) = shipped::rule_files().into_iter().find(|file| file.name == name)
    {
        return Ok(file);
    }
    Ok(RuleFile { name: name.to_owned(), text: std::fs::read_to_string(name)? })
}
