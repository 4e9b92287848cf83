//! The verb `silence`: adds, lists and ends silences. It changes their file only; the daemon reads that at its next tick.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::{Args, Subcommand};
use ipnet::IpNet;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;
use stakeout_core::diagnostic::suggestion;
use stakeout_core::finding_query::FindingQuery;
use stakeout_core::rule::Rules;
use stakeout_core::silence::{Silence, Silences};
use stakeout_core::text::visible;
use stakeout_core::time::Second;
use stakeout_ledger::Ledger;
use stakeout_notify::ocsf;
use tracing::{info, warn};

use crate::admin_client;
use crate::bootstrap::{self, ConfigArgs};
use crate::clock;
use crate::config::{Config, seconds_of};
use crate::exit::{Exit, Failure};
use crate::finding_page::FindingRequest;
use crate::finding_params::{self, FINDINGS_USUAL};
use crate::incident_page::{self, IncidentSearch};
use crate::network;
use crate::printed::{Format, FormatArgs, Printed};
use crate::section::secret::SecretScope;
use crate::silence_file;
use crate::table::table;

/// The arguments of `stakeout silence`.
#[derive(Args, Debug)]
pub(crate) struct SilenceArgs {
    #[command(subcommand)]
    verb: SilenceVerb,
}

#[derive(Debug, Subcommand)]
enum SilenceVerb {
    /// Add a silence, and list the open incidents that it silences
    ///
    /// A silence fits what fits everything that it names. It takes effect at the next tick of the daemon.
    #[command(after_help = "Examples:
  stakeout silence add --source 203.0.113.0/24 --for 7d --reason 'red team'
  stakeout silence add --rule kubernetes-token-spray --cluster staging \\
    --for 24h --reason 'known bug of the CI, see OPS-7' --owner ada")]
    Add(AddArgs),
    /// List the silences
    #[command(after_help = "Examples:
  stakeout silence list -c stakeout.yaml
  stakeout silence list -o json -c stakeout.yaml")]
    List {
        #[command(flatten)]
        config: ConfigArgs,
        #[command(flatten)]
        output: FormatArgs,
    },
    /// End a silence now
    ///
    /// The silence stays in the file, with the time at which it ended.
    #[command(after_help = "Examples:
  stakeout silence expire 20261130-1 -c stakeout.yaml")]
    Expire {
        /// The id, as `silence list` shows it
        id: String,
        #[command(flatten)]
        config: ConfigArgs,
    },
}

#[derive(Args, Debug)]
struct AddArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Only if all sources are in this network, or have this address
    #[arg(long, value_name = "CIDR", value_parser = network::parse_argument)]
    source: Option<IpNet>,
    /// Only in this cluster
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// Only of this rule
    #[arg(long, value_name = "NAME")]
    rule: Option<String>,
    /// Only of this user, and only of rules that count by user
    #[arg(long, value_name = "NAME", value_parser = plain)]
    user: Option<String>,
    /// Why
    #[arg(long, value_name = "TEXT", value_parser = plain)]
    reason: String,
    /// Who answers questions about it
    #[arg(long, value_name = "NAME", env = "USER", value_parser = plain)]
    owner: String,
    /// How long, such as 24h or 7d, at most 90d
    #[arg(long = "for", value_name = "DURATION", value_parser = duration, required_unless_present = "until")]
    duration: Option<i64>,
    /// Until when, in RFC 3339
    #[arg(long, value_name = "TIME", value_parser = clock::parse_argument, conflicts_with = "duration")]
    until: Option<Timestamp>,
    /// The id [default: the date and a number]
    #[arg(long, value_name = "ID")]
    id: Option<String>,
}

/// Runs `silence`.
pub(crate) fn run(args: &SilenceArgs) -> Result<Exit, Failure> {
    let now = clock::now();
    match &args.verb {
        SilenceVerb::Add(args) => add(args, now),
        SilenceVerb::List { config, output } => list(config, output.format(), now.into()),
        SilenceVerb::Expire { id, config } => {
            let (config, _) = config.load(SecretScope::NONE)?;
            let silence = silence_file::expire(&path_of(&config)?, id, now.into())?;
            info!(id = silence.id, "the silence is over from the next tick on");
            Ok(Exit::Done)
        }
    }
}

fn duration(text: &str) -> Result<i64, String> {
    seconds_of(text).filter(|seconds| *seconds > 0).ok_or_else(|| "write a duration such as 24h or 7d".to_owned())
}

fn plain(text: &str) -> Result<String, String> {
    match silence_file::is_plain(text) {
        true => Ok(text.to_owned()),
        false => Err("write 1 to 500 visible characters on one line".to_owned()),
    }
}

fn path_of(config: &Config) -> Result<PathBuf, Failure> {
    let fix = "the config names no file for silences: add `silences: silences.yaml` to it, and reload the daemon";
    config.silences.clone().ok_or_else(|| Failure::Usage(fix.to_owned()))
}

fn known(path: &Path, now: Second) -> Result<Silences, Failure> {
    silence_file::read(path, now).unwrap_or_default().good().map_err(Failure::Config)
}

fn add(args: &AddArgs, now: Timestamp) -> Result<Exit, Failure> {
    let (config, rules) = args.config.load(SecretScope::NONE)?;
    let path = path_of(&config)?;
    check_names(args, &config, &rules)?;
    let now_second = Second::from(now);
    let before = known(&path, now_second)?;
    let until = match args.until {
        Some(until) => until.into(),
        None => now_second.plus(args.duration.unwrap_or_default()),
    };
    if until <= now_second {
        return Err(Failure::Usage("it would be over already: name a time in the future".to_owned()));
    }
    let silence = Silence {
        id: args.id.clone().unwrap_or_else(|| new_id(&before, now)),
        source: args.source,
        cluster: args.cluster.clone(),
        rule: args.rule.clone(),
        user: args.user.clone(),
        reason: args.reason.clone(),
        owner: args.owner.clone(),
        until,
    };
    let text = silence_file::on_one_line(&silence);
    let silence = silence_file::parse_entry(&text, now_second)
        .map_err(|error| Failure::Usage(format!("{} ({})", error.problem, error.fix)))?;
    silence_file::add(&path, &silence, now_second)?;
    info!(id = silence.id, until = %silence.until, "the silence is in force from the next tick on");
    match would_silence(&config, before, silence, now_second) {
        Ok(printed) => printed.print(),
        Err(error) => {
            warn!("the silence is added, but what it silences now is not known: {error}");
            Ok(Exit::Done)
        }
    }
}

/// Checks that there is a cluster and a rule of these names: a typo would silence nothing.
fn check_names(args: &AddArgs, config: &Config, rules: &Rules) -> Result<(), Failure> {
    let clusters = config.clusters();
    let rules: Vec<&str> = rules.rules.iter().map(|rule| rule.head.name.as_str()).collect();
    for (what, name, known) in
        [("source has the cluster", &args.cluster, clusters), ("active rule has the name", &args.rule, Some(rules))]
    {
        if let (Some(name), Some(known)) = (name, known)
            && !known.contains(&name.as_str())
        {
            return Err(Failure::Usage(format!("no {what} `{name}`; {}", suggestion(name, &known))));
        }
    }
    Ok(())
}

/// Returns an id that no silence has: the date, and the first free number.
fn new_id(known: &Silences, now: Timestamp) -> String {
    let date = now.to_zoned(TimeZone::UTC).strftime("%Y%m%d").to_string();
    let ids: Vec<&str> = known.iter().map(|silence| silence.id.as_str()).collect();
    let mut numbers = (1_u32..).map(|number| format!("{date}-{number}"));
    numbers.find(|id| !ids.contains(&id.as_str())).unwrap_or(date)
}

/// Returns the open incidents that are silenced with this silence, and would not be without it.
fn would_silence(config: &Config, known: Silences, silence: Silence, now: Second) -> Result<Printed, Failure> {
    let query = FindingQuery { is_open: true, ..FindingQuery::default() };
    let request = FindingRequest { query, limit: FINDINGS_USUAL, format: Format::Text, silence: Some(silence) };
    let (path, params) = finding_params::written(finding_params::INCIDENTS_PATH, &request);
    let of_state = |ledger: &Ledger| {
        let search = IncidentSearch::new(request, config.incidents, known.into(), now);
        let found = incident_page::of_ledger(ledger, search).map_err(|error| bootstrap::state_failure(error.into()))?;
        found.map_err(|reason| anyhow!(reason).into())
    };
    let printed = admin_client::state_or_daemon(config, of_state, &path, &params)?;
    match printed.text.is_empty() {
        true => Ok(Printed { text: "it silences no open incident now\n".to_owned(), notes: Vec::new() }),
        false => Ok(printed),
    }
}

fn list(config: &ConfigArgs, format: Format, now: Second) -> Result<Exit, Failure> {
    let (config, _) = config.load(SecretScope::NONE)?;
    let listed = known(&path_of(&config)?, now)?;
    let mut silences: Vec<&Silence> = listed.iter().collect();
    silences.sort_by_key(|silence| (silence.is_over(now), silence.until, &silence.id));
    let status = |silence: &Silence| if silence.is_over(now) { "over" } else { "in force" };
    if format == Format::Json {
        let object = |silence: &&Silence| {
            let Silence { id, source, cluster, rule, user, reason, owner, until } = silence;
            ocsf::to_line(&json!({
                "id": id, "status": status(silence), "until": until.to_string(), "owner": owner, "reason": reason,
                "source": source, "cluster": cluster, "rule": rule, "user": user,
            })) + "\n"
        };
        return Printed { text: silences.iter().map(object).collect(), notes: Vec::new() }.print();
    }
    let row = |silence: &Silence| {
        let status = status(silence);
        let owner = visible(&silence.owner);
        [
            silence.id.clone(),
            status.to_owned(),
            silence.until.to_string(),
            owner,
            matcher(silence),
            visible(&silence.reason),
        ]
    };
    let rows: Vec<_> = silences.into_iter().map(row).collect();
    let notes = if rows.is_empty() { vec!["there is no silence".to_owned()] } else { Vec::new() };
    Printed { text: table(["ID", "STATUS", "UNTIL", "OWNER", "SILENCES", "REASON"], &rows), notes }.print()
}

/// Returns what the silence names.
fn matcher(silence: &Silence) -> String {
    let Silence { source, cluster, rule, user, .. } = silence;
    let source = source.map(|network| network.to_string());
    let named = [("source", &source), ("cluster", cluster), ("rule", rule), ("user", user)];
    let named = named.iter().filter_map(|(key, value)| Some(format!("{key}={}", visible(value.as_ref()?))));
    named.collect::<Vec<_>>().join(" ")
}
