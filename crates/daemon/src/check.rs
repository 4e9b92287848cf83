//! The verb `check`: checks config and rules offline, and runs the rules' test cases.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::Context;
use clap::Args;
use serde::{Deserialize, Serialize};
use stakeout_core::diagnostic::{Diagnostic, suggestion};
use stakeout_core::rule::{CaseResult, Rules};
use stakeout_core::text::counted;
use stakeout_ledger::Ledger;

use crate::address_files;
use crate::admin_client;
use crate::bootstrap::{self, ConfigArgs};
use crate::clock;
use crate::config::{Config, RuleSource};
use crate::exit::{Exit, Failure, written};
use crate::outbound::Outbound;
use crate::printed::{Format, Printed};
use crate::replay::files::read_case;
use crate::rule_files;
use crate::section::secret::SecretScope;
use crate::silence_file;
use crate::stranded::stranded;
use crate::summary::PendingMessages;

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
    let (rules, warnings, mut lines, summary) = if args.rules.is_empty() {
        let (config, rules) = args.config.read(SecretScope::CHECK)?;
        let summary = format!(
            "{}: {}, {}{}, {}: good",
            args.config.config.display(),
            counted(config.sources.len(), "source"),
            discoveries(&config),
            counted(config.notify.len(), "destination"),
            counted(rules.rules.len(), "rule")
        );
        Outbound::new(config.ca_file.as_deref()).map_err(anyhow::Error::from)?;
        let errors = address_files::errors(&args.config.config.display().to_string(), &config.addresses);
        if !errors.is_empty() {
            return Err(Failure::Config(errors));
        }
        let stranded = stranded_lines(&config);
        let warnings = [config.warnings.clone(), silence_warnings(&config, &rules)?].concat();
        (rules, warnings, stranded, summary)
    } else {
        let rules = rule_files::load(&args.rules).map_err(Failure::Config)?;
        let summary = format!("{}, {}: good", counted(rules.rules.len(), "rule"), counted(rules.cases.len(), "case"));
        (rules, Vec::new(), String::new(), summary)
    };
    let failed: Vec<Diagnostic> = rules.test_with(&read_case).iter().filter_map(CaseResult::failure).collect();
    if !failed.is_empty() {
        return Err(Failure::Config(failed));
    }
    lines.extend(rules.replacements.iter().map(|note| format!("note: {note}\n")));
    lines += &warning_lines(warnings.iter().chain(&rules.warnings).chain(&rules.expired(clock::now().into())));
    lines += &summary;
    written(writeln!(io::stdout(), "{lines}"))?;
    Ok(Exit::Done)
}

/// Returns how many discoveries there are, if there are any, to be put behind the sources.
fn discoveries(config: &Config) -> String {
    match config.discover.len() {
        0 => String::new(),
        1 => "1 discovery, ".to_owned(),
        more => format!("{more} discoveries, "),
    }
}

/// Returns a line for each warning: a value that is allowed but probably a mistake. They are part of the result.
fn warning_lines<'a>(warnings: impl Iterator<Item = &'a Diagnostic>) -> String {
    warnings.map(|warning| format!("warning: {warning}\n")).collect()
}

/// Returns a warning for each silence that silences nothing, because no source or rule has such a name. The errors of the file are
/// errors: a daemon would keep the silences that it knows.
fn silence_warnings(config: &Config, rules: &Rules) -> Result<Vec<Diagnostic>, Failure> {
    let Some(path) = &config.silences else { return Ok(Vec::new()) };
    let now = clock::now().into();
    let silences = silence_file::read(path, now).unwrap_or_default().good().map_err(Failure::Config)?;
    let clusters = config.clusters();
    let rules: Vec<&str> = rules.rules.iter().map(|rule| rule.head.name.as_str()).collect();
    let mut warnings = Vec::new();
    for silence in silences.iter().filter(|silence| !silence.is_over(now)) {
        let named = [
            ("cluster", "source", &silence.cluster, clusters.as_ref()),
            ("rule", "active rule", &silence.rule, Some(&rules)),
        ];
        for (key, owner, name, known) in named {
            let Some(known) = known else { continue };
            if let Some(name) = name.as_deref().filter(|name| !known.contains(name)) {
                warnings.push(Diagnostic {
                    file: path.display().to_string(),
                    line: 0,
                    key: format!("{}.{key}", silence.id),
                    problem: format!("no {owner} has the {key} `{name}`, so it silences nothing"),
                    fix: suggestion(name, known),
                });
            }
        }
    }
    Ok(warnings)
}

/// What `check` wants to know of the state, as it is in its summary.
#[derive(Serialize, Deserialize)]
struct StatePart {
    pending: Vec<PendingMessages>,
}

/// Returns a line for each former destination that has pending messages. A check needs no state; it does not open one of
/// another user, whose daemon could not write to new files in it.
fn stranded_lines(config: &Config) -> String {
    let user_of = |path: &Path| fs::metadata(path).map(|metadata| metadata.uid()).ok();
    // A check is offline.
    let Some(directory) = config.state.directory() else { return String::new() };
    let Some(owner) = user_of(directory) else { return String::new() };
    let read = |ledger: &Ledger| {
        let stored = ledger.stored().map_err(|error| bootstrap::state_failure(error.into()))?;
        let pending = stored.pending.into_iter().map(PendingMessages::of).collect();
        let text = serde_json::to_string(&StatePart { pending }).context("cannot encode the state as JSON")?;
        Ok(Printed { text, notes: Vec::new() })
    };
    let params = [("format", Format::Json.as_str().to_owned())];
    let found = if user_of(Path::new("/proc/self")) == Some(owner) {
        admin_client::state_or_daemon(config, read, "/state", &params)
    } else {
        admin_client::of_daemon(config, "the state belongs to another user", "/state", &params)
    };
    let found = found.and_then(|printed| {
        Ok(serde_json::from_str::<StatePart>(&printed.text).context("the answer of the daemon is not its state")?)
    });
    match found {
        Ok(StatePart { pending }) => {
            let pending = pending.into_iter().map(|one| (one.destination, one.messages)).collect();
            let stranded = stranded(pending, config);
            stranded.iter().map(|messages| format!("warning: {}\n", messages.explanation())).collect()
        }
        Err(error) => format!("note: pending messages are not checked: {error}\n"),
    }
}
