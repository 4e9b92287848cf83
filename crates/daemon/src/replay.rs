//! The verb `replay`: one fold over exported logs, offline, with the same engine as the daemon.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use ipnet::IpNet;
use jiff::Timestamp;
use stakeout_core::address::TrustedProxies;
use stakeout_core::delivery::Activity;
use stakeout_core::evidence::SampleKey;
use stakeout_core::finding::Finding;
use stakeout_core::fold::{self, Carried, Closed, Fold, Limits};
use stakeout_core::observation::Observation;
use stakeout_core::source::{LogId, Provider, Source};
use stakeout_core::tally::StoredMinute;
use stakeout_core::time::{Second, Window};
use stakeout_notify::{notice, ocsf, text};
use tracing::{info, warn};

use crate::exit::{Exit, Failure};
use crate::lines::{Lines, time_of};
use crate::loading::warn_of;
use crate::{input, network, rule_files};

/// An offline run keeps no state, and the same files must give the same lines: its key is fixed.
const SAMPLE_KEY: SampleKey = SampleKey(*b"stakeout replay.");
/// Unreadable lines that are named one by one; the rest is counted.
const UNREADABLE_NAMED_MAX: u64 = 5;

/// What `stakeout replay` is told.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  stakeout replay audit.log
  stakeout replay -o json --trusted-proxy 10.0.0.0/8 audit-*.log.gz
  zcat old.gz | stakeout replay --cluster prod -")]
pub(crate) struct ReplayArgs {
    /// Rules to use instead of the shipped ones: a file or a directory
    #[arg(long, value_name = "DIR")]
    rules: Vec<PathBuf>,
    /// What the files hold
    #[arg(long, value_enum, default_value_t = Kind::Auto)]
    kind: Kind,
    /// Name of the cluster, for records that bring none
    #[arg(long, value_name = "NAME", default_value = "local")]
    cluster: String,
    /// A proxy or balancer of your own, whose word about the address before it counts
    #[arg(long, value_name = "CIDR", value_parser = network::parse_argument)]
    trusted_proxy: Vec<IpNet>,
    /// How findings are printed
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// Exit with 3 where there are findings
    #[arg(long)]
    exit_on_finding: bool,
    /// Audit logs, also compressed with gzip or zstd; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// What a replayed file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Look at the file
    Auto,
    /// Lines as the API server writes them
    Audit,
}

/// How findings are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// A line for people
    Text,
    /// An OCSF Detection Finding a line
    Json,
}

/// What was read of the files.
#[derive(Default)]
struct Read {
    lines: u64,
    bytes: u64,
    truncated: u64,
    unreadable: u64,
    untimed: u64,
    latest: Option<Second>,
}

/// Replays the files and prints one line for each finding, as it stood at the end.
pub(crate) fn run(args: &ReplayArgs) -> Result<Exit, Failure> {
    let rules = rule_files::load(&args.rules).map_err(Failure::Config)?;
    warn_of(&rules);
    let rules = Arc::new(rules);
    let (fold, read) = pass(args, fold::open(rules.clone(), Window::ALL, false, SAMPLE_KEY, Limits::of_replay()))?;
    let source = source(args, Path::new("-"));
    let read_until = read.latest.unwrap_or(Second(0));
    let now = Timestamp::from_second(read_until.0).unwrap_or(Timestamp::UNIX_EPOCH);
    let carried = Carried::nothing(source.log.clone(), read_until);
    let closed = fold.close(&source, carried.clone(), now);
    report(&read, &closed);
    let follow_ups = closed.commit.progress.follow_ups.clone();
    let mut findings = closed.commit.findings;
    if args.files.iter().any(|path| path.as_os_str() == "-") {
        if rules.have_follow_ups() {
            warn!("standard input is read once: follow-ups are off, such as who was let in after being denied");
        }
    } else if !follow_ups.is_empty() {
        let fold = fold::open_follow_ups(rules, Window::ALL, follow_ups, SAMPLE_KEY, Limits::of_replay());
        let (fold, _) = pass(args, fold)?;
        let own = closed.commit.minutes.into_iter().map(|(minute, rows)| StoredMinute {
            source: carried.source_id,
            minute,
            rows,
        });
        let carried = Carried { own: own.collect(), findings: findings.clone(), ..carried };
        let followed = fold.close(&source, carried, now).commit.findings;
        findings.retain(|finding| !followed.iter().any(|newer| newer.key == finding.key));
        findings.extend(followed);
    }
    findings.sort_by(|left, right| {
        (left.episode.first, &left.rule.name, &left.group).cmp(&(right.episode.first, &right.rule.name, &right.group))
    });
    match print(&findings, args.output, read_until, now) {
        // The reader has enough, as `head` has.
        Err(fault) if fault.kind() == io::ErrorKind::BrokenPipe => {}
        printed => printed.context("cannot write the findings")?,
    }
    let is_told = args.exit_on_finding && !findings.is_empty();
    Ok(if is_told { Exit::Findings } else { Exit::Done })
}

/// Folds all files once.
fn pass(args: &ReplayArgs, mut fold: Fold) -> Result<(Fold, Read), Failure> {
    let trusted = TrustedProxies::new(args.trusted_proxy.clone());
    let mut read = Read::default();
    let bar = bar(&args.files);
    for path in &args.files {
        replay_file(path, args, &trusted, &mut fold, &mut read, &bar)?;
    }
    bar.finish_and_clear();
    Ok((fold, read))
}

fn replay_file(
    path: &Path,
    args: &ReplayArgs,
    trusted: &TrustedProxies,
    fold: &mut Fold,
    read: &mut Read,
    bar: &ProgressBar,
) -> Result<(), Failure> {
    let source = source(args, path);
    let context = || format!("cannot read {}", path.display());
    let mut lines = Lines::new(input::open(path, bar).with_context(context)?, 0);
    let mut unreadable = 0;
    let mut last = None;
    while let Some(line) = lines.next().with_context(context)? {
        read.lines += 1;
        read.bytes += line.bytes;
        if line.is_blank() {
            continue;
        }
        let decoded = match line.decode() {
            Ok(decoded) => decoded,
            Err(fault) => {
                unreadable += 1;
                if unreadable <= UNREADABLE_NAMED_MAX {
                    warn!(file = %path.display(), offset = line.offset, %fault, "line is no audit event");
                }
                continue;
            }
        };
        read.truncated += u64::from(decoded.is_truncated);
        read.untimed += u64::from(decoded.event.stage_time_ms().is_none());
        last = time_of(&decoded.event, last);
        read.latest = read.latest.max(last);
        let at = last.unwrap_or(Second(0));
        let record_id = || format!("{}:{}", path.display(), line.offset);
        if let Some(observation) = Observation::of_event(&source, trusted, decoded.event, at, record_id) {
            fold.observe(&observation);
        }
    }
    read.unreadable += unreadable;
    Ok(())
}

fn source(args: &ReplayArgs, path: &Path) -> Source {
    Source {
        name: path.display().to_string(),
        provider: Provider::File,
        cluster: args.cluster.as_str().into(),
        log: LogId(format!("file/{}", path.display())),
    }
}

fn bar(files: &[PathBuf]) -> ProgressBar {
    let total = files.iter().map(|path| std::fs::metadata(path).map_or(0, |file| file.len())).sum();
    let target = if io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(total), target);
    let style = ProgressStyle::with_template("replaying {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Says what was read, and aloud what was not.
fn report(read: &Read, closed: &Closed) {
    let counts = closed.counts;
    info!(
        lines = read.lines,
        bytes = read.bytes,
        requests = counts.observed,
        matched = counts.matched,
        duplicates = counts.duplicates,
        findings = closed.commit.findings.len(),
        "replayed"
    );
    if read.unreadable > 0 {
        warn!(lines = read.unreadable, "lines were no audit events and are not counted");
    }
    if read.truncated > 0 {
        warn!(lines = read.truncated, "lines were cut off or damaged; what stood before the cut was counted");
    }
    if read.untimed > 0 {
        warn!(lines = read.untimed, "lines had no stageTimestamp; they were given the time of the line before");
    }
    if counts.unattributed > 0 {
        warn!(requests = counts.unattributed, "requests fit a rule but name no address, and are in no finding");
    }
    for notice in &closed.notices {
        warn!(explanation = notice::explanation(notice), "{}", notice::title(notice));
    }
}

fn print(findings: &[Finding], output: Output, read_until: Second, now: Timestamp) -> io::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    for finding in findings {
        let activity = if finding.is_quiet_at(read_until) { Activity::Close } else { Activity::Create };
        match output {
            Output::Text => writeln!(out, "{}", text::finding_line(finding))?,
            Output::Json => writeln!(out, "{}", ocsf::to_line(&ocsf::finding(finding, activity, None, now)))?,
        }
    }
    out.flush()
}
