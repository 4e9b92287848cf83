//! The verb `doctor`: is each log there, may we read it, does it show scans, is it alive, and what does it cost? Live,
//! and each answer with its fix. What is asked of a provider is its crate's; here it is put side by side.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use serde_json::json;
use stakeout_core::check::{Check, Status};
use stakeout_core::source::Source;
use stakeout_core::text::visible;
use stakeout_core::time::{Second, Window};
use tokio::task::JoinSet;

use crate::bootstrap::{self, ConfigArgs};
use crate::budget::Budgets;
use crate::clock;
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::scan::Log;

/// How long one log is waited for: some twenty requests, each of which may take its provider's whole time.
const PATIENCE: Duration = Duration::from_secs(180);

/// What `stakeout doctor` is told.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  stakeout doctor -c /etc/stakeout/stakeout.yaml
  stakeout doctor -c stakeout.yaml --source prod-gke -o json

It asks live, some twenty requests a log, and changes nothing. The exit code is 1 where a log cannot be read or shows
no scans.")]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Look at this source only; may be given several times
    #[arg(long, value_name = "NAME")]
    source: Vec<String>,
    /// The moment to look from, in RFC 3339; now, where it is left out
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
    /// How the answers are printed
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// How the answers are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people
    Text,
    /// One JSON object a source
    Json,
}

/// Looks every log over.
pub(crate) fn run(args: &DoctorArgs) -> Result<Exit, Failure> {
    bootstrap::runtime()?.block_on(async {
        let (mut config, rules) = args.config.load()?;
        if let Some(unknown) = args.source.iter().find(|name| !config.sources.iter().any(|it| it.source.name == **name))
        {
            return Err(Failure::Usage(format!("no source is named {unknown}")));
        }
        config.sources.retain(|it| args.source.is_empty() || args.source.contains(&it.source.name));
        let now = args.at.unwrap_or_else(clock::now);
        let window = last_window(&config, now)?;
        let prefilter = Arc::new(rules.prefilter());
        let mut budgets = Budgets::default();
        let mut looking = JoinSet::new();
        for (place, source) in config.sources.iter().enumerate() {
            let log = Log::open(source, &mut budgets).await?;
            let prefilter = prefilter.clone();
            looking.spawn(async move {
                let looked = tokio::select! {
                    checks = log.checks(window, &prefilter, now) => checks,
                    () = clock::sleep(PATIENCE) => vec![unanswered()],
                };
                (place, log.source.clone(), looked)
            });
        }
        let mut looked = looking.join_all().await;
        looked.sort_by_key(|(place, ..)| *place);
        let mut out = io::stdout().lock();
        for (_, source, checks) in &looked {
            print(&mut out, args.output, source, checks).context("cannot write the answers")?;
        }
        let is_bad = looked.iter().flat_map(|(_, _, checks)| checks).any(is_failing);
        Ok(if is_bad { Exit::Incomplete } else { Exit::Done })
    })
}

/// Returns the last window of the schedule that is over.
fn last_window(config: &Config, now: Timestamp) -> anyhow::Result<Window> {
    let schedule = &config.schedule;
    let tick = schedule.tick_before(Second::from(now)).context("the schedule has no tick")?;
    Window::new(tick.plus(schedule.earliest_seconds), tick.plus(schedule.latest_seconds))
        .ok_or_else(|| anyhow!("the schedule's window is empty"))
}

fn unanswered() -> Check {
    Check::of(
        "log",
        Status::Bad,
        format!("no answer within {} s", PATIENCE.as_secs()),
        "see that the provider's endpoint can be reached from here: proxies, firewalls, private endpoints",
    )
}

/// Tells whether an answer means that the log is of no use as it is. What only a wider permission would show is not.
fn is_failing(check: &Check) -> bool {
    let is_blind = matches!(check.subject, "credentials" | "permission") && check.status == Status::Unknown;
    check.status == Status::Bad || is_blind
}

fn print(out: &mut impl Write, output: Output, source: &Source, checks: &[Check]) -> io::Result<()> {
    match output {
        Output::Json => {
            let checks: Vec<_> = checks
                .iter()
                .map(|check| {
                    json!({
                        "subject": check.subject,
                        "status": word(check.status),
                        "finding": check.finding,
                        "fix": check.fix,
                    })
                })
                .collect();
            let line = json!({
                "source": source.name,
                "provider": source.provider.as_str(),
                "cluster": &*source.cluster,
                "checks": checks,
            });
            writeln!(out, "{line}")
        }
        Output::Text => {
            writeln!(out, "{} ({}, cluster {})", source.name, source.provider, source.cluster)?;
            for check in checks {
                let status = word(check.status);
                writeln!(out, "  {status:<9} {:<13} {}", check.subject, visible(&check.finding))?;
                if let Some(fix) = &check.fix {
                    writeln!(out, "  {:<9} {:<13} -> {}", "", "", visible(fix))?;
                }
            }
            Ok(())
        }
    }
}

fn word(status: Status) -> &'static str {
    match status {
        Status::Good => "good",
        Status::Doubtful => "doubtful",
        Status::Bad => "bad",
        Status::Unknown => "unknown",
    }
}
