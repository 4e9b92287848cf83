//! The verb `doctor`: checks live that each log exists, is readable, records reads and is current, and what it costs, and that
//! Slack knows its bots. Each problem has a fix. The provider crates and notify decide what to check; this file runs the checks and prints them.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::Args;
use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde_json::json;
use stakeout_core::check::{Check, Status};
use stakeout_core::diagnostic::suggestion;
use stakeout_core::source::{ALL_CLUSTERS, Source};
use stakeout_core::text::visible;
use stakeout_core::time::{Second, Window};
use stakeout_ledger::PostgresOptions;
use stakeout_notify::console::Consoles;
use tokio::task::JoinSet;

use crate::bootstrap::{self, ConfigArgs};
use crate::clock;
use crate::cloud::budget::Budgets;
use crate::config::Config;
use crate::config::notify::{DestinationKind, Slack, SlackMode};
use crate::destination;
use crate::exit::{Exit, Failure, written};
use crate::heartbeat::Heartbeat;
use crate::log_list::LogList;
use crate::outbound::Outbound;
use crate::printed::{Format, FormatArgs};
use crate::scan::Log;
use crate::section::secret::SecretScope;

/// Time limit of one log: about twenty requests, each of which may take its provider's whole time limit.
const TIME_LIMIT: Duration = Duration::from_secs(180);

/// PostgreSQL 13 has the transaction numbers by which a lost answer is looked up.
const VERSION_MIN: i32 = 130_000;
/// Leases need no equal clocks: a difference of seconds delays nothing.
const CLOCKS_APART_SECONDS_MAX: i64 = 5;

/// The arguments of `stakeout doctor`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  stakeout doctor -c /etc/stakeout/stakeout.yaml
  stakeout doctor -c stakeout.yaml --source prod-gke -o json

It sends about twenty requests for each log and changes nothing. Of a discovery
it prints the clusters that it finds.
The exit code is 1 if a log is not readable or does not record reads, or if Slack
does not let a bot post.")]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Check only this source or discovery; may be repeated
    #[arg(long, value_name = "NAME")]
    source: Vec<String>,
    /// The time to check for, in RFC 3339 [default: now]
    #[arg(long, value_name = "TIME", value_parser = clock::parse_argument)]
    at: Option<Timestamp>,
    #[command(flatten)]
    output: FormatArgs,
}

/// Checks every log.
pub(crate) fn run(args: &DoctorArgs) -> Result<Exit, Failure> {
    bootstrap::runtime()?.block_on(async {
        let (mut config, rules) = args.config.load(SecretScope::DOCTOR)?;
        let discoveries = config.discover.iter().map(|it| it.name.as_str());
        let known: Vec<&str> = config.sources.iter().map(|it| it.source.name.as_str()).chain(discoveries).collect();
        if let Some(unknown) = args.source.iter().find(|name| !known.contains(&name.as_str())) {
            let suggestion = suggestion(unknown, &known);
            return Err(Failure::Usage(format!("no source has the name `{unknown}`; {suggestion}")));
        }
        let is_wanted = |name: &String| args.source.is_empty() || args.source.contains(name);
        config.sources.retain(|it| is_wanted(&it.source.name));
        config.discover.retain(|it| is_wanted(&it.name));
        let now = bootstrap::time_of(args.at)?;
        let window = last_window(&config, now)?;
        let prefilter = Arc::new(rules.prefilter());
        let outbound = Outbound::new(config.ca_file.as_deref()).map_err(anyhow::Error::from)?;
        let mut budgets = Budgets::new(config.budget);
        let mut tasks = JoinSet::new();
        for (index, source) in config.sources.iter().enumerate() {
            let log = Log::open(source, &mut budgets, &outbound, &Consoles::default())?;
            let (prefilter, trusted) = (prefilter.clone(), config.trusted_proxies.clone());
            tasks.spawn(async move {
                let checks = async {
                    let mut checks = log.checks(window, &prefilter, now).await;
                    checks.extend(log.proxy_check(window, &prefilter, &trusted).await);
                    checks
                };
                let checks = tokio::select! {
                    checks = checks => checks,
                    () = clock::sleep(TIME_LIMIT) => vec![unanswered()],
                };
                (index, log.source.clone(), checks)
            });
        }
        for (index, list) in LogList::of(&config.discover, &mut budgets, &outbound).into_iter().enumerate() {
            let index = config.sources.len() + index;
            let (prefilter, outbound) = (prefilter.clone(), outbound.clone());
            let mut budgets = Budgets::new(config.budget);
            tasks.spawn(async move {
                let checks = async {
                    let (mut checks, sample) = list.checks().await;
                    if let Some(sample) = sample {
                        // A client of AWS can always be set up.
                        if let Ok(log) = Log::open(&sample, &mut budgets, &outbound, &Consoles::default()) {
                            let read = log.checks(window, &prefilter, now).await;
                            checks.extend(of_sample(&sample.source.cluster, read));
                        }
                    }
                    checks
                };
                let checks = tokio::select! {
                    checks = checks => checks,
                    () = clock::sleep(TIME_LIMIT) => vec![unanswered()],
                };
                (index, list.source.clone(), checks)
            });
        }
        let database = match bootstrap::database(&config) {
            Ok(Some(options)) if args.source.is_empty() => Some(database_checks(options).await),
            Err(error) if args.source.is_empty() => Some(vec![unreadable(&error)]),
            _ => None,
        };
        let heartbeat = match config.heartbeat.as_ref().and_then(|heartbeat| heartbeat.url.clone()) {
            Some(url) => Some(Heartbeat::new(url, &outbound.common).map_err(anyhow::Error::from)?.check().await),
            None => None,
        };
        let bots = if args.source.is_empty() { bots(&config, &outbound).await? } else { Vec::new() };
        let mut results = tasks.join_all().await;
        results.sort_by_key(|(index, ..)| *index);
        let mut out = io::stdout().lock();
        written(
            results.iter().try_for_each(|(_, source, checks)| print(&mut out, args.output.format(), source, checks)),
        )?;
        if let Some(checks) = &database {
            written(print_beside(&mut out, args.output.format(), "state", checks))?;
        }
        if let Some(check) = &heartbeat {
            written(print_beside(&mut out, args.output.format(), "heartbeat", std::slice::from_ref(check)))?;
        }
        written(bots.iter().try_for_each(|(name, checks)| print_bot(&mut out, args.output.format(), name, checks)))?;
        let checks = results.iter().flat_map(|(_, _, checks)| checks).chain(bots.iter().flat_map(|(_, checks)| checks));
        let is_bad = checks.chain(database.iter().flatten()).any(is_failing);
        Ok(if is_bad { Exit::Incomplete } else { Exit::Done })
    })
}

/// Returns the checks of each bot of the config.
async fn bots(config: &Config, outbound: &Outbound) -> anyhow::Result<Vec<(String, Vec<Check>)>> {
    let mut bots = Vec::new();
    for destination in &config.notify {
        let DestinationKind::Slack(Slack { mode: SlackMode::Bot { token, .. }, .. }) = &destination.kind else {
            continue;
        };
        let checks = if token.expose_secret().is_empty() {
            let fix = "run doctor as the service does, or read its token with `bot_token_file`";
            Some(vec![Check::of("token", Status::Unknown, "the token cannot be read here", fix)])
        } else {
            destination::open(destination, outbound)?.checks().await
        };
        bots.extend(checks.map(|checks| (destination.name.clone(), checks)));
    }
    Ok(bots)
}

/// Returns what is to be known of the database that holds the state.
async fn database_checks(options: PostgresOptions) -> Vec<Check> {
    let place = options.to_string();
    let inspected = tokio::task::spawn_blocking(move || stakeout_ledger::inspect(&options)).await;
    let now_ms = clock::now().as_millisecond();
    let report = match inspected {
        Ok(Ok(report)) => report,
        Ok(Err(error)) => {
            let fix = "see docs/replicas.md for what the database needs";
            return vec![Check::of("database", Status::Bad, error.to_string(), fix)];
        }
        Err(_) => return vec![Check::of("database", Status::Unknown, "the check crashed", "please report it")],
    };
    let way = if report.is_encrypted { "encrypted" } else { "not encrypted, on this machine" };
    let known = format!("PostgreSQL {} on {place}, {way}", report.version);
    let version = match report.version_number >= VERSION_MIN {
        true => Check::good("database", known),
        false => Check::of("database", Status::Bad, known, "use PostgreSQL 13 or newer"),
    };
    let rights = match report.may_create {
        true => Check::good("rights", "the user may make the schema or its tables"),
        false => {
            let fix = "grant the user CREATE on the database, or CREATE and USAGE on the schema";
            Check::of("rights", Status::Bad, "the user may not make tables", fix)
        }
    };
    let apart_seconds = (now_ms - report.clock_ms).abs() / 1_000;
    let clock = match apart_seconds <= CLOCKS_APART_SECONDS_MAX {
        true => Check::good("clock", format!("{apart_seconds} s from that of the database")),
        false => {
            let finding = format!("{apart_seconds} s from that of the database: ticks of the replicas differ as much");
            Check::of("clock", Status::Doubtful, finding, "let NTP set the clocks of both")
        }
    };
    vec![version, rights, clock]
}

fn unreadable(error: &Failure) -> Check {
    let fix = "run doctor as the service does, or read the URL with `url_file`";
    Check::of("database", Status::Unknown, error.to_string(), fix)
}

/// Returns what is wrong with one of the clusters that a discovery finds, or that nothing is.
fn of_sample(cluster: &str, checks: Vec<Check>) -> Vec<Check> {
    let wrong: Vec<Check> = checks.into_iter().filter(|check| check.status != Status::Good).collect();
    if wrong.is_empty() {
        return vec![Check::good("read", format!("the log of {cluster} can be read, and records reads"))];
    }
    wrong.into_iter().map(|check| Check { finding: format!("{cluster}: {}", check.finding), ..check }).collect()
}

/// Returns the last window of the schedule that has ended.
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
        format!("no answer within {} s", TIME_LIMIT.as_secs()),
        "check the network path to the provider's endpoint: proxies, firewalls, private endpoints",
    )
}

/// Returns whether a check makes the log useless as it is. A check that only lacks an optional permission does not.
fn is_failing(check: &Check) -> bool {
    let is_blind = matches!(check.subject, "credentials" | "permission") && check.status == Status::Unknown;
    check.status == Status::Bad || is_blind
}

fn print(out: &mut impl Write, format: Format, source: &Source, checks: &[Check]) -> io::Result<()> {
    match format {
        Format::Json => {
            let line = json!({
                "source": source.name,
                "provider": source.provider.as_str(),
                "cluster": &*source.cluster,
                "checks": checks.iter().map(json_of).collect::<Vec<_>>(),
            });
            writeln!(out, "{line}")
        }
        Format::Text => {
            let whose = match &*source.cluster {
                ALL_CLUSTERS => "all clusters".to_owned(),
                cluster => format!("cluster {cluster}"),
            };
            writeln!(out, "{} ({}, {whose})", source.name, source.provider)?;
            checks.iter().try_for_each(|check| print_check(out, check))
        }
    }
}

/// Prints what does not belong to a source.
fn print_beside(out: &mut impl Write, format: Format, name: &str, checks: &[Check]) -> io::Result<()> {
    match format {
        Format::Json => {
            let checks: Vec<_> = checks.iter().map(json_of).collect();
            writeln!(out, "{}", json!({ "checks": checks }))
        }
        Format::Text => {
            writeln!(out, "{name}")?;
            checks.iter().try_for_each(|check| print_check(out, check))
        }
    }
}

/// Prints what Slack says of the bot of a destination.
fn print_bot(out: &mut impl Write, format: Format, name: &str, checks: &[Check]) -> io::Result<()> {
    match format {
        Format::Json => {
            let checks: Vec<_> = checks.iter().map(json_of).collect();
            writeln!(out, "{}", json!({ "destination": name, "checks": checks }))
        }
        Format::Text => {
            writeln!(out, "{name} (slack)")?;
            checks.iter().try_for_each(|check| print_check(out, check))
        }
    }
}

fn json_of(check: &Check) -> serde_json::Value {
    json!({
        "subject": check.subject,
        "status": word(check.status),
        "finding": check.finding,
        "fix": check.fix,
    })
}

fn print_check(out: &mut impl Write, check: &Check) -> io::Result<()> {
    writeln!(out, "  {:<9} {:<13} {}", word(check.status), check.subject, visible(&check.finding))?;
    match &check.fix {
        Some(fix) => writeln!(out, "  {:<9} {:<13} -> {}", "", "", visible(fix)),
        None => Ok(()),
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
