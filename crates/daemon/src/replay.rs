//! The verb `replay`: one fold over exported logs, offline, with the same engine as the daemon.

mod export;
mod csv;
mod documents;
mod records;
mod candidate_filter;
mod input_parts;
mod read_counts;
mod record_reader;
mod input_fold;
pub(crate) mod files;

use std::cmp::Reverse;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use ipnet::IpNet;
use jiff::Timestamp;
use serde_json::Value;
use stakeout_core::address::TrustedProxies;
use stakeout_core::commit::LogCommit;
use stakeout_core::delivery::Activity;
use stakeout_core::finding::Finding;
use stakeout_core::fold::{self, CloseInput, Closed, Fold, Limits};
use stakeout_core::hash::HashKey;
use stakeout_core::incident::{Incident, IncidentOptions, incidents};
use stakeout_core::prefilter::Prefilter;
use stakeout_core::rule::Rules;
use stakeout_core::source::Source;
use stakeout_core::tally::StoredMinute;
use stakeout_core::text::counted;
use stakeout_core::time::{Second, Window};
use stakeout_notify::details::address_details;
use stakeout_notify::incident::story;
use stakeout_notify::{AddressBook, notice, ocsf, text};
use tracing::{error, info, warn};

use crate::address_files::AddressFiles;
use crate::bootstrap::warn_of;
use crate::config::{Config, RuleSource};
use crate::exit::{Exit, Failure, written};
use crate::input::InputFile;
use crate::section::secret::SecretScope;
use crate::{network, rule_files};
use candidate_filter::CandidateFilter;
use export::ExportKind;
use input_fold::{InputFold, fold_input};
use input_parts::{InputPart, parts_of};
pub(crate) use read_counts::ReadCounts;
use record_reader::{ReadOptions, unknown_source};

/// The key is fixed, because an offline run has no state and the same files must give the same lines.
pub(crate) const HASH_KEY: HashKey = HashKey(*b"stakeout replay.");

/// Default limit of threads. More of them wait for memory and disks.
const THREADS: usize = 4;

/// The arguments of `stakeout replay`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  stakeout replay audit.log
  stakeout replay -o json --trusted-proxy 10.0.0.0/8 audit-*.log.gz
  zcat old.gz | stakeout replay --cluster prod -
  kubectl logs -n kube-system kube-apiserver-0 | stakeout replay -
  gcloud logging read 'protoPayload.serviceName=k8s.io' --format=json |
    stakeout replay -
  az monitor log-analytics query -w WORKSPACE --analytics-query \\
    'AKSAudit | where TimeGenerated > ago(1d)' | stakeout replay -
  aws logs filter-log-events --log-group-name /aws/eks/prod/cluster \\
    --log-stream-name-prefix kube-apiserver-audit |
    stakeout replay --cluster prod -

The text has the incidents with their steps, then one line per finding. JSON
has one OCSF Detection Finding per line, `-o incidents` one OCSF Incident
Finding.")]
pub(crate) struct ReplayArgs {
    /// Rules to use: `builtin`, a file or a directory; may be repeated [default: builtin]
    #[arg(long, value_name = "DIR")]
    rules: Vec<RuleSource>,
    /// What the files contain
    #[arg(long, value_parser = ExportKind::parser(), default_value = "auto")]
    kind: ExportKind,
    /// Name of the cluster, for records without one
    #[arg(long, value_name = "NAME", default_value = "local")]
    cluster: String,
    /// Network of a proxy or load balancer whose forwarded client address is trusted
    #[arg(long, value_name = "CIDR", value_parser = network::parse_trusted_argument)]
    trusted_proxy: Vec<IpNet>,
    /// Output format
    #[arg(short, long, value_enum, default_value_t)]
    output: ReplayFormat,
    /// The same as `-o json`
    #[arg(long, conflicts_with = "output")]
    json: bool,
    /// Decode every record, also those that cannot match, to count unreadable ones; the findings are the same
    #[arg(long)]
    strict: bool,
    /// Number of threads [default: one for each processor, at most 4]
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// Show what this config knows of addresses: its `networks` and `context`
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Exit with code 3 if there are findings
    #[arg(long)]
    exit_on_finding: bool,
    /// Audit logs in any form, also compressed with gzip, zstd, xz or bzip2; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// What is printed, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum ReplayFormat {
    /// Incidents and findings as text for people
    #[default]
    Text,
    /// Findings as JSON
    Json,
    /// Incidents as JSON
    Incidents,
}

/// Replays the files and prints the incidents and findings in their final state.
pub(crate) fn run(args: &ReplayArgs) -> Result<Exit, Failure> {
    let rules = Arc::new(rule_files::load(&args.rules).map_err(Failure::Config)?);
    warn_of(&rules);
    let input = Input::of(args)?;
    let open = || fold::open(rules.clone(), Window::ALL, false, HASH_KEY, Limits::of_replay());
    let mut read = input.fold(&rules.prefilter(), Pass::First, open)?;
    if read.counts.are_skipped_in_doubt() && !args.strict {
        // Records that were skipped may be readable.
        read = input.fold(&rules.prefilter(), Pass::Strict, open)?;
    }
    let InputFold { fold, counts, source } = read;
    let source = source.unwrap_or_else(|| unknown_source(&args.cluster));
    // The ends of the input and the matches show how far it reaches. No other record is decoded for that.
    let read_until = counts.latest.max(fold.last_matched()).unwrap_or(Second(0));
    let now = Timestamp::from_second(read_until.0).unwrap_or(Timestamp::UNIX_EPOCH);
    let mut closed = fold.close_alone(&source, read_until, now);
    report(&counts, &closed, &input.parts);
    if rules.rules.iter().any(|rule| rule.threshold.new_for_days.is_some()) {
        info!("nothing before these files is known: rules that ask for new groups find none in the first 3 days");
    }
    let mut findings = closed.commit.findings.clone();
    if let Some(log) = closed.commit.logs.pop().filter(|log| !log.progress.follow_ups.is_empty()) {
        let pass = Pass::Second { checks_lines: counts.others_than_lines > 0 };
        let followed = follow_up(&input, pass, &rules, &source, log, closed.commit.findings, now)?;
        findings.retain(|finding| !followed.iter().any(|newer| newer.key == finding.key));
        findings.extend(followed);
    }
    findings.sort_by(|left, right| {
        (left.episode.first, &left.rule.name, &left.group).cmp(&(right.episode.first, &right.rule.name, &right.group))
    });
    let format = if args.json { ReplayFormat::Json } else { args.output };
    let addresses = args.config.as_deref().map_or_else(|| Ok(Arc::default()), addresses_of)?;
    written(print(&findings, format, &addresses, read_until, now))?;
    if counts.is_unusable() {
        error!("{}", counts.explanation(&input.parts));
        return Ok(Exit::Unusable);
    }
    let exits_on_finding = args.exit_on_finding && !findings.is_empty();
    Ok(if exits_on_finding { Exit::Findings } else { Exit::Done })
}

/// Reads the input again for the follow-ups of the first reading, and returns the findings that are new or changed.
fn follow_up(
    input: &Input<'_>,
    pass: Pass,
    rules: &Arc<Rules>,
    source: &Source,
    log: LogCommit,
    findings: Vec<Finding>,
    now: Timestamp,
) -> anyhow::Result<Vec<Finding>> {
    let follow_ups = log.progress.follow_ups;
    let prefilters = follow_ups.iter().map(|follow_up| follow_up.prefilter(rules)).collect();
    let InputFold { fold, .. } = input.fold(&Prefilter::Or(prefilters).simplified(), pass, || {
        fold::open_follow_ups(rules.clone(), Window::ALL, follow_ups.clone(), HASH_KEY, Limits::of_replay())
    })?;
    let stored = |(minute, rows)| StoredMinute { source: log.source, minute, rows };
    let minutes = log.minutes.into_iter().map(stored).collect();
    let alone = CloseInput::alone(source.clone(), Some(fold.count()), minutes, log.progress.cursor);
    let input = CloseInput { findings, ..alone };
    Ok(fold::close(rules, &Limits::of_replay(), input, now).commit.findings)
}

/// The files, and how to read them.
struct Input<'a> {
    args: &'a ReplayArgs,
    trusted: TrustedProxies,
    threads: usize,
    parts: Vec<InputPart>,
}

/// A reading of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pass {
    /// The first one, which names unusable records.
    First,
    /// The first one again, without skipping records.
    Strict,
    /// A later one. Lines are checked unless the first found only lines of the API server.
    Second { checks_lines: bool },
}

impl<'a> Input<'a> {
    fn of(args: &'a ReplayArgs) -> anyhow::Result<Input<'a>> {
        let available = || thread::available_parallelism().map_or(1, NonZeroUsize::get).min(THREADS);
        let threads = args.threads.map_or_else(available, NonZeroUsize::get);
        Ok(Input {
            args,
            trusted: TrustedProxies::new(args.trusted_proxy.clone()),
            threads,
            parts: parts_of(&InputFile::all(&args.files)?, threads),
        })
    }

    /// Reads all input once, for requests that fit `prefilter`.
    fn fold(&self, prefilter: &Prefilter, pass: Pass, open: impl Fn() -> Fold + Sync) -> anyhow::Result<InputFold> {
        let is_strict = self.args.strict || pass == Pass::Strict;
        let candidate_filter =
            if is_strict { CandidateFilter::strict(prefilter) } else { CandidateFilter::of(prefilter) };
        let options = ReadOptions {
            cloud: self.args.kind.0,
            cluster: self.args.cluster.as_str().into(),
            trusted: &self.trusted,
            candidate_filter: &candidate_filter,
            checks_lines: pass != Pass::Second { checks_lines: false },
            names_unusable: pass == Pass::First,
        };
        let bar = bar(&self.args.files);
        let input = fold_input(&self.parts, self.threads, &options, open, &bar)?;
        bar.finish_and_clear();
        Ok(input)
    }
}

fn bar(files: &[PathBuf]) -> ProgressBar {
    let total = files.iter().map(|path| std::fs::metadata(path).map_or(0, |file| file.len())).sum();
    let target = if io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(total), target);
    let style = ProgressStyle::with_template("replaying {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Logs how much was read, and warns of what was not counted.
fn report(read: &ReadCounts, closed: &Closed, parts: &[InputPart]) {
    let counts = closed.counts();
    info!(
        records = read.records,
        decoded = read.decoded,
        bytes = read.bytes,
        requests = counts.observed,
        matched = counts.matched,
        duplicates = counts.duplicates,
        findings = closed.commit.findings.len(),
        "replayed"
    );
    warn_of_unusable(read, parts);
    if read.truncated > 0 {
        warn!(records = read.truncated, "records were cut off or damaged; the part before the cut was counted");
    }
    if read.untimed > 0 {
        warn!(records = read.untimed, "lines had no stageTimestamp; they got the time of the line before");
    }
    if counts.unattributed > 0 {
        warn!(
            requests = counts.unattributed,
            "requests match a rule but have no client address, and are in no finding"
        );
    }
    for notice in closed.notices() {
        warn!(explanation = notice::explanation(notice), "{}", notice::title(notice));
    }
}

/// Warns of records that are no audit events, and of those that say too little.
pub(crate) fn warn_of_unusable(read: &ReadCounts, parts: &[InputPart]) {
    if let Some(first) = read.first_unusable(parts).filter(|_| !read.is_unusable()) {
        let records = read.unreadable + read.foreign;
        warn!(records, unreadable = read.unreadable, first, "records are not audit events and were not counted");
    }
    if read.bare > 0 {
        warn!(
            requests = read.bare,
            "requests have neither a client address nor a response code: most rules need these"
        );
    }
}

/// Returns what the config at `path` knows of addresses.
fn addresses_of(path: &Path) -> Result<Arc<AddressBook>, Failure> {
    let environment = |name: &str| std::env::var(name).ok();
    let config = Config::load(path, &environment, SecretScope::NONE).map_err(Failure::Config)?;
    Ok(AddressFiles::of(&config.addresses))
}

fn print(
    findings: &[Finding],
    format: ReplayFormat,
    addresses: &AddressBook,
    read_until: Second,
    now: Timestamp,
) -> io::Result<()> {
    let line = |mut object: Value| {
        ocsf::add_addresses(&mut object, addresses);
        ocsf::to_line(&object)
    };
    let mut out = BufWriter::new(io::stdout().lock());
    match format {
        ReplayFormat::Text => print_text(findings, addresses, &mut out)?,
        ReplayFormat::Json => {
            for finding in findings {
                let activity = activity(finding.is_quiet_at(read_until));
                writeln!(out, "{}", line(ocsf::finding(finding, activity, None, now)))?;
            }
        }
        ReplayFormat::Incidents => {
            for incident in reported(findings) {
                let activity = activity(incident.is_over_at(read_until));
                writeln!(out, "{}", line(ocsf::incident(&incident, activity, None, now)))?;
            }
        }
    }
    out.flush()
}

/// Writes the incidents with their steps, then a line for each finding.
fn print_text(findings: &[Finding], addresses: &AddressBook, out: &mut impl Write) -> io::Result<()> {
    if findings.is_empty() {
        return Ok(());
    }
    let mut incidents = reported(findings);
    incidents.sort_by_key(|incident| Reverse(incident.level));
    writeln!(out, "{}\n", counted(incidents.len() as u64, "incident"))?;
    for incident in &incidents {
        let known = address_details(incident.sources.iter().copied(), addresses);
        writeln!(out, "{}{known}", story(incident))?;
    }
    writeln!(out, "{}\n", counted(findings.len() as u64, "finding"))?;
    findings.iter().try_for_each(|finding| writeln!(out, "{}", text::finding_line(finding)))
}

/// Returns the incidents that are not a part of another, the earliest first.
fn reported(findings: &[Finding]) -> Vec<Incident> {
    let mut incidents = incidents(findings, &IncidentOptions::default());
    incidents.retain(|incident| incident.parent.is_none());
    incidents
}

fn activity(is_over: bool) -> Activity {
    if is_over { Activity::Close } else { Activity::Create }
}
