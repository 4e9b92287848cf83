//! The verb `tune`: counts the findings that other thresholds of a rule would raise, names the callers, and suggests filters.
//! It reads exported logs, or those of a config.

mod logs;
mod report;

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use jiff::Timestamp;
use stakeout_core::fold::Limits;
use stakeout_core::rule::{Rule, Rules};
use stakeout_core::tally::Rows;
use stakeout_core::time::{Minute, Second, Window};
use stakeout_core::tuning::tune;
use stakeout_notify::notice;
use tracing::{error, warn};

use crate::bootstrap::{self, ConfigArgs, warn_of};
use crate::clock;
use crate::config::{Config, RuleSource};
use crate::exit::{Exit, Failure, written};
use crate::printed::{Format, FormatArgs};
use crate::replay::files::{FilesArgs, Folded};
use crate::replay::warn_of_unusable;
use crate::rule_files;
use crate::section::secret::SecretScope;
use report::{Report, Span};

/// The arguments of `stakeout tune`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  stakeout tune audit-*.log.gz
  stakeout tune --rule kubernetes-token-spray --trusted-proxy 10.0.0.9 audit.log
  stakeout tune --from 2026-11-01T00:00:00Z --to 2026-11-08T00:00:00Z \\
    -o json audit.log | jq .outcomes
  stakeout tune -c stakeout.yaml \\
    --from 2026-11-01T00:00:00Z --to 2026-11-08T00:00:00Z
  gcloud logging read 'protoPayload.serviceName=k8s.io' --freshness=7d \\
    --format=json | stakeout tune -

Findings per day are an average over the time from the first to the last record,
or from --from to --to, and over at least one day.
With -c, tune reads the logs from their clouds, hour by hour. It changes no
state and sends nothing. The filters are suggestions. Fill in owner and reason,
then copy them to a file of your rules.
The text is a table, with filters as YAML. JSON has a line for each rule.
Exit codes: 0 done, 1 failed, 2 usage, 65 no audit events, 78 rule error")]
pub(crate) struct TuneArgs {
    /// Rules to use: `builtin`, a file or a directory; may be repeated [default: builtin]
    #[arg(long, value_name = "DIR")]
    rules: Vec<RuleSource>,
    /// Tune only this rule; may be repeated
    #[arg(long, value_name = "NAME")]
    rule: Vec<String>,
    #[command(flatten)]
    reading: FilesArgs,
    /// Read the logs of this config instead of files, with its rules and trusted proxies
    #[arg(
        short,
        long,
        value_name = "FILE",
        requires_all = ["from", "to"],
        conflicts_with_all = ["files", "kind", "cluster", "trusted_proxy"]
    )]
    config: Option<PathBuf>,
    /// Skip earlier records, in RFC 3339
    #[arg(long, value_name = "TIME", value_parser = clock::parse_argument)]
    from: Option<Timestamp>,
    /// Skip records from this time on, in RFC 3339
    #[arg(long, value_name = "TIME", value_parser = clock::parse_argument)]
    to: Option<Timestamp>,
    #[command(flatten)]
    output: FormatArgs,
    /// Audit logs in any form, also compressed with gzip, zstd, xz or bzip2; `-` is standard input
    #[arg(required_unless_present = "config", value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// The counted rows, and the time that they cover.
struct Counted {
    minutes: Vec<(Minute, Rows)>,
    unreadable: u64,
    span: Span,
}

/// Prints for each rule the findings at several thresholds.
pub(crate) fn run(args: &TuneArgs) -> Result<Exit, Failure> {
    let window = window(args)?;
    let (config, rules) = load(args)?;
    warn_of(&rules);
    let asked: Vec<&Rule> = args.rule.iter().map(|name| rule_files::named(&rules, name)).collect::<Result<_, _>>()?;
    let mut counting = rules.clone();
    // Who is new is a question of how long anything at all was counted.
    if !asked.iter().any(|rule| rule.threshold.new_for_days.is_some()) {
        counting.rules.retain(|rule| asked.is_empty() || asked.iter().any(|asked| asked.key == rule.key));
    }
    let counting = Arc::new(counting);
    let (Counted { minutes, unreadable, span }, exit) = match &config {
        Some(config) => (bootstrap::runtime()?.block_on(logs::read(config, counting, window, limits()))?, Exit::Done),
        None => match of_files(args, &counting, window)? {
            Ok(read) => read,
            Err(exit) => return Ok(exit),
        },
    };
    if unreadable > 0 {
        warn!(records = unreadable, "records are not audit events and are not counted");
    }
    let mut out = BufWriter::new(io::stdout().lock());
    let rules: Vec<&Rule> = if asked.is_empty() { rules.rules.iter().collect() } else { asked };
    let reported = rules.into_iter().try_for_each(|rule| {
        let report = Report::of(rule, tune(rule, &minutes), span);
        match args.output.format() {
            Format::Text => report.write(&mut out),
            Format::Json => report.write_json(&mut out),
        }
    });
    written(reported.and_then(|()| out.flush()))?;
    Ok(exit)
}

/// Returns the rules, and the config where its logs are to be read.
fn load(args: &TuneArgs) -> Result<(Option<Config>, Rules), Failure> {
    let Some(path) = &args.config else {
        return Ok((None, rule_files::load(&args.rules).map_err(Failure::Config)?));
    };
    let (config, rules) = ConfigArgs { config: path.clone() }.read(SecretScope::SOURCES)?;
    for warning in &config.warnings {
        warn!("{warning}");
    }
    let own = if args.rules.is_empty() { rules } else { rule_files::load(&args.rules).map_err(Failure::Config)? };
    Ok((Some(config), own))
}

/// Counts the records of the files in `window`. Returns only how the verb ends where no record is an audit event.
fn of_files(args: &TuneArgs, rules: &Arc<Rules>, window: Window) -> anyhow::Result<Result<(Counted, Exit), Exit>> {
    let Folded { closed, counts, parts } = args.reading.fold(&args.files, rules, window, limits())?;
    for notice in closed.notices() {
        warn!(explanation = notice::explanation(notice), "{}", notice::title(notice));
    }
    warn_of_unusable(&counts, &parts);
    let exit = if counts.is_unusable() { Exit::Unusable } else { Exit::Done };
    if exit == Exit::Unusable {
        error!("{}", counts.explanation(&parts));
    }
    let span = match (counts.earliest, counts.latest_decoded) {
        (Some(earliest), Some(latest)) => Span {
            earliest: earliest.max(window.earliest()),
            latest: latest.min(window.latest().plus(-1)),
            records: counts.records,
        },
        // The message says why.
        _ => return Ok(Err(exit)),
    };
    let minutes = closed.commit.logs.into_iter().flat_map(|log| log.minutes).collect();
    Ok(Ok((Counted { minutes, unreadable: 0, span }, exit)))
}

/// Returns the limits while files are read: about a gigabyte at worst. What exceeds them is reported as a sum.
fn limits() -> Limits {
    Limits { requests_max: 5_000_000, groups_max: 500_000, values_max: 1_000_000, ..Limits::of_replay() }
}

fn window(args: &TuneArgs) -> Result<Window, Failure> {
    let earliest = args.from.map_or(Window::ALL.earliest(), Second::from);
    let latest = args.to.map_or(Window::ALL.latest(), Second::from);
    Window::new(earliest, latest).ok_or_else(|| Failure::Usage("--from must be earlier than --to".to_owned()))
}
