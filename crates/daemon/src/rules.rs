//! The verb `rules`: the active rules, one rule whole, and the cases that stand in their files.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Context, anyhow};
use clap::{Args, Subcommand};
use stakeout_core::rule::{RuleFile, Rules};
use stakeout_core::shipped;

use crate::exit::{Exit, Failure};
use crate::loading::warn_of;
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
    /// List the active rules: name, level, threshold, techniques
    List(Paths),
    /// Print the file of one rule
    Show {
        /// The rule's name
        name: String,
        #[command(flatten)]
        paths: Paths,
    },
    /// Run the cases that stand in the rules' files
    Test(Paths),
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
        RulesVerb::List(paths) => {
            let rules = load(paths)?;
            warn_of(&rules);
            list(&rules).context("cannot write the list")?;
        }
        RulesVerb::Show { name, paths } => show(name, paths)?,
        RulesVerb::Test(paths) => return test(&load(paths)?),
    }
    Ok(Exit::Done)
}

fn load(paths: &Paths) -> Result<Rules, Failure> {
    rule_files::load(&paths.rules).map_err(Failure::Config)
}

fn list(rules: &Rules) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{:<46} {:<14} {:>12} {:<38} TECHNIQUES", "NAME", "LEVEL", "FIRES AT", "PER")?;
    for rule in &rules.rules {
        let minutes = rule.threshold.timespan_seconds / 60;
        let fires_at = format!("{} in {minutes}m", rule.threshold.count);
        let head = &rule.head;
        let (per, techniques) = (head.group_by.join(","), head.techniques.join(","));
        writeln!(out, "{:<46} {:<14} {fires_at:>12} {per:<38} {techniques}", head.name, head.level)?;
    }
    Ok(())
}

fn show(name: &str, paths: &Paths) -> Result<(), Failure> {
    let rules = load(paths)?;
    let rule = rules.named(name).ok_or_else(|| {
        let known: Vec<&str> = rules.rules.iter().map(|rule| rule.head.name.as_str()).collect();
        let suggestion = stakeout_core::diagnostic::suggestion(name, &known);
        Failure::Usage(format!("no rule is named `{name}`: {suggestion}"))
    })?;
    let file = file_of(&rule.file, paths).with_context(|| format!("cannot read {}", rule.file))?;
    io::stdout().write_all(file.text.as_bytes()).context("cannot write the rule")?;
    Ok(())
}

fn file_of(name: &str, paths: &Paths) -> io::Result<RuleFile> {
    if paths.rules.is_empty()
        && let Some(file) = shipped::rule_files().into_iter().find(|file| file.name == name)
    {
        return Ok(file);
    }
    Ok(RuleFile { name: name.to_owned(), text: std::fs::read_to_string(name)? })
}

fn test(rules: &Rules) -> Result<Exit, Failure> {
    let results = rules.test();
    let mut out = io::stdout().lock();
    let mut failed = 0;
    for result in &results {
        let case = &result.case;
        let says = |matched: bool| if matched { "match" } else { "no match" };
        let outcome = if result.is_passed() { "ok" } else { "FAILED" };
        writeln!(out, "{outcome:<6} {}: {}", case.rule, case.name).context("cannot write the results")?;
        if !result.is_passed() {
            failed += 1;
            let (expected, actual) = (says(case.expected), says(result.actual));
            writeln!(out, "       {}:{}: expected {expected}, got {actual}", case.file, case.line)
                .context("cannot write the results")?;
        }
    }
    writeln!(out, "{} passed, {failed} failed", results.len() - failed).context("cannot write the results")?;
    if failed > 0 {
        return Err(anyhow!("{failed} cases failed").into());
    }
    Ok(Exit::Done)
}
