//! The verb `findings`: lists and shows findings, open ones and those of the past. It asks the running daemon, or opens the
//! state if no process holds it.

use std::io::Write;

use anyhow::anyhow;
use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use stakeout_core::address::SourceIp;
use stakeout_core::delivery::Activity;
use stakeout_core::finding::{Finding, FindingStatus};
use stakeout_core::finding_query::FindingQuery;
use stakeout_core::rule::Level;
use stakeout_core::time::Second;
use stakeout_ledger::Ledger;
use stakeout_notify::details::details;
use stakeout_notify::ocsf;
use stakeout_notify::text::finding_line;

use crate::admin_client;
use crate::bootstrap::ConfigArgs;
use crate::clock;
use crate::config::seconds_of;
use crate::exit::{Exit, Failure, written};
use crate::finding_page::FindingPage;
use crate::finding_params::{self, level, number, source, uid};

/// Most findings that an ambiguous uid names.
const AMBIGUOUS_MAX: usize = 10;

/// The arguments of `stakeout findings`.
#[derive(Args, Debug)]
pub(crate) struct FindingsArgs {
    #[command(subcommand)]
    verb: FindingsVerb,
}

#[derive(Debug, Subcommand)]
enum FindingsVerb {
    /// List findings, the latest first
    #[command(after_help = "Examples:
  stakeout findings list -c stakeout.yaml
  stakeout findings list --since 24h --level medium
  stakeout findings list --source 203.0.113.9 -o json")]
    List {
        #[command(flatten)]
        config: ConfigArgs,
        /// Only findings with a request since then: a duration such as 24h, or a time in RFC 3339
        #[arg(long, value_name = "TIME", value_parser = since)]
        since: Option<Second>,
        /// Only findings of this level and above
        #[arg(long, value_parser = level)]
        level: Option<Level>,
        /// Only findings of this rule
        #[arg(long, value_name = "NAME")]
        rule: Option<String>,
        /// Only findings of this source address
        #[arg(long, value_name = "ADDRESS", value_parser = source)]
        source: Option<SourceIp>,
        /// Only findings that go on
        #[arg(long)]
        open: bool,
        /// Most findings to list
        #[arg(short, long, default_value_t = 100, value_parser = number)]
        number: usize,
        /// Format of the output
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
    },
    /// Show all that is known of one finding
    #[command(after_help = "Examples:
  stakeout findings show 6c1f0a52 -c stakeout.yaml
  stakeout findings show 6c1f0a52 -o json")]
    Show {
        /// The uid, or its first digits, at least eight
        #[arg(value_parser = uid)]
        uid: String,
        #[command(flatten)]
        config: ConfigArgs,
        /// Format of the output
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
    },
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Output {
    /// Text for people
    #[default]
    Text,
    /// One OCSF Detection Finding per line
    Json,
}

/// Runs `findings`.
pub(crate) fn run(args: &FindingsArgs) -> Result<Exit, Failure> {
    match &args.verb {
        FindingsVerb::List { config, since, level, rule, source, open, number, output } => {
            let query = FindingQuery {
                uid: None,
                since: *since,
                level_min: *level,
                rule: rule.clone(),
                source: *source,
                is_open: *open,
            };
            let page = find(config, &query, *number)?;
            written(print(&page, *output))?;
            Ok(Exit::Done)
        }
        FindingsVerb::Show { uid, config, output } => {
            let query = FindingQuery { uid: Some(uid.clone()), ..FindingQuery::default() };
            let page = find(config, &query, AMBIGUOUS_MAX)?;
            match &page.findings[..] {
                [] => Err(anyhow!(
                    "no finding begins with {uid}: it may be older than `state: retain` or `archive_bytes_max` keeps; \
                     `stakeout findings list` shows what there is"
                )
                .into()),
                [finding] => {
                    let text = match output {
                        Output::Text => details(finding),
                        Output::Json => line_of(finding),
                    };
                    written(std::io::stdout().write_all(text.as_bytes()))?;
                    Ok(Exit::Done)
                }
                several => {
                    let uids: Vec<String> = several.iter().map(|finding| finding.key.to_string()).collect();
                    Err(anyhow!("{uid} is ambiguous: write more digits of one of {}", uids.join(", ")).into())
                }
            }
        }
    }
}

/// Returns the findings that fit, of the running daemon or of a state that nobody holds.
fn find(config: &ConfigArgs, query: &FindingQuery, limit: usize) -> Result<FindingPage, Failure> {
    let (config, rules) = config.load()?;
    if let Some(rule) = query.rule.as_ref().filter(|rule| rules.named(rule).is_none()) {
        tracing::warn!(rule, "no rule of the config has this name, but older findings may");
    }
    let of_state = |ledger: &Ledger| FindingPage::of_ledger(ledger, query, limit);
    admin_client::state_or_daemon(&config, of_state, "/findings", finding_params::written(query, limit))
}

fn print(page: &FindingPage, output: Output) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for finding in &page.findings {
        match output {
            Output::Json => out.write_all(line_of(finding).as_bytes())?,
            Output::Text => {
                let state = match finding.status {
                    FindingStatus::Open => "open",
                    FindingStatus::Quiet => "closed",
                    FindingStatus::MergedInto(_) => "merged",
                };
                writeln!(out, "{} {state:<6} {}", finding.key, finding_line(finding))?;
            }
        }
    }
    let more = page.total.saturating_sub(page.findings.len());
    if more > 0 {
        tracing::warn!(more, "there are more findings: name -n, --since, --level, --rule or --source");
    }
    if page.unreadable > 0 {
        tracing::warn!(parts = page.unreadable, "parts of the archive cannot be read");
    }
    Ok(())
}

/// Returns the finding as a destination gets it, as it stands now.
fn line_of(finding: &Finding) -> String {
    let activity = match finding.status {
        FindingStatus::Open if finding.updated_at == finding.created_at => Activity::Create,
        FindingStatus::Open => Activity::Update,
        FindingStatus::Quiet | FindingStatus::MergedInto(_) => Activity::Close,
    };
    ocsf::to_line(&ocsf::finding(finding, activity, None, finding.updated_at)) + "\n"
}

fn since(text: &str) -> Result<Second, String> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at.into());
    }
    let seconds = seconds_of(text).ok_or("neither a duration such as 24h nor a time in RFC 3339")?;
    Ok(Second::from(clock::now()).plus(-seconds.abs()))
}
