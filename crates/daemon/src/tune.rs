//! The verb `tune`: what each threshold of a rule would have raised from exported logs, by whom, and what to leave out.

mod report;

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use stakeout_core::fold::Limits;
use stakeout_core::rule::Rule;
use stakeout_core::time::{Second, Window};
use stakeout_core::tuning::tune;
use stakeout_notify::notice;
use tracing::warn;

use crate::exit::{Exit, Failure};
use crate::loading::warn_of;
use crate::replay::files::{FilesArgs, Folded};
use crate::rule_files;
use report::{Report, Span};

/// What `stakeout tune` is told.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  stakeout tune audit-*.log.gz
  stakeout tune --rule kubernetes-scanning-by-unauthenticated-ip --trusted-proxy 10.0.0.0/8 audit.log
  stakeout tune --from 2026-11-01T00:00:00Z --to 2026-11-08T00:00:00Z -o json audit.log | jq .outcomes
  gcloud logging read 'protoPayload.serviceName=k8s.io' --freshness=7d --format=json | stakeout tune -

Findings a day are over the time between the first and the last record, or over --from and --to; a shorter time counts
as one day. Filters are suggestions: say in them who answers for them and why, and put them into a file in --rules.
Exit codes: 0 done, 1 failed, 2 usage, 78 rule error")]
pub(crate) struct TuneArgs {
    /// Rules to use instead of the shipped ones: a file or a directory
    #[arg(long, value_name = "DIR")]
    rules: Vec<PathBuf>,
    /// Only this rule; may be given several times
    #[arg(long, value_name = "NAME")]
    rule: Vec<String>,
    #[command(flatten)]
    reading: FilesArgs,
    /// Leave out what came before, in RFC 3339
    #[arg(long, value_name = "TIME")]
    from: Option<Timestamp>,
    /// Leave out what came then and later, in RFC 3339
    #[arg(long, value_name = "TIME")]
    to: Option<Timestamp>,
    /// How results are printed
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// Audit logs, also compressed with gzip or zstd; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// A table for people, with filters as YAML
    Text,
    /// A JSON object a line for each rule
    Json,
}

/// Tells for each rule what its thresholds would have raised.
pub(crate) fn run(args: &TuneArgs) -> Result<Exit, Failure> {
    let window = window(args)?;
    let rules = rule_files::load(&args.rules).map_err(Failure::Config)?;
    warn_of(&rules);
    let asked: Vec<&Rule> = args.rule.iter().map(|name| rule_files::named(&rules, name)).collect::<Result<_, _>>()?;
    let shared = Arc::new(rules.clone());
    let Folded { closed, read } = args.reading.fold(&args.files, &shared, window, limits())?;
    if read.unreadable > 0 {
        warn!(records = read.unreadable, "records were no audit events and are not counted");
    }
    for notice in &closed.notices {
        warn!(explanation = notice::explanation(notice), "{}", notice::title(notice));
    }
    let (Some(earliest), Some(latest)) = (read.earliest, read.latest) else {
        return Err(anyhow!("no record with a time in there").into());
    };
    let span = Span {
        earliest: earliest.max(window.earliest()),
        latest: latest.min(window.latest().plus(-1)),
        records: read.records,
    };
    let mut out = BufWriter::new(io::stdout().lock());
    let rules: Vec<&Rule> = if asked.is_empty() { rules.rules.iter().collect() } else { asked };
    let written = rules.into_iter().try_for_each(|rule| {
        let report = Report::of(rule, tune(rule, &closed.commit.minutes), span);
        match args.output {
            Output::Text => report.write(&mut out),
            Output::Json => report.write_json(&mut out),
        }
    });
    match written.and_then(|()| out.flush()) {
        // The reader has enough, as `head` has.
        Err(fault) if fault.kind() == io::ErrorKind::BrokenPipe => {}
        written => written.context("cannot write the results")?,
    }
    Ok(Exit::Done)
}

/// Returns what is kept while the files are read: about a gigabyte at worst. What lies beyond is told as a sum.
fn limits() -> Limits {
    Limits { requests_max: 5_000_000, groups_max: 500_000, values_max: 1_000_000, ..Limits::of_replay() }
}

fn window(args: &TuneArgs) -> Result<Window, Failure> {
    let earliest = args.from.map_or(Window::ALL.earliest(), Second::from);
    let latest = args.to.map_or(Window::ALL.latest(), Second::from);
    Window::new(earliest, latest).ok_or_else(|| Failure::Usage("--from is not before --to".to_owned()))
}
