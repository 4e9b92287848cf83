//! The verb `findings`: lists and shows findings, open ones and those of the past. It asks the running daemon, or opens the
//! state if no process holds it.

use anyhow::anyhow;
use clap::{Args, Subcommand};
use ipnet::IpNet;
use jiff::Timestamp;
use stakeout_core::diagnostic::suggestion;
use stakeout_core::finding_query::FindingQuery;
use stakeout_core::rule::{Level, Rules};
use stakeout_core::time::Second;
use stakeout_ledger::Ledger;

use crate::address_files::AddressFiles;
use crate::admin_client;
use crate::bootstrap::{self, ConfigArgs};
use crate::clock;
use crate::config::seconds_of;
use crate::exit::{Exit, Failure};
use crate::finding_page::{self, FindingRequest, PageSearch};
use crate::finding_params::{self, FINDINGS_USUAL, level, number, uid};
use crate::network;
use crate::printed::{Format, FormatArgs};
use crate::section::secret::SecretScope;

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
  stakeout findings list --source 203.0.113.0/24 -o json
  stakeout findings list --open --rule kubernetes-denied-then-let-in")]
    List {
        #[command(flatten)]
        config: ConfigArgs,
        #[command(flatten)]
        query: QueryArgs,
        #[command(flatten)]
        output: FormatArgs,
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
        #[command(flatten)]
        output: FormatArgs,
    },
}

/// Which findings or incidents are listed.
#[derive(Args, Debug)]
pub(crate) struct QueryArgs {
    /// Only those with a request since then: a duration such as 24h, or a time in RFC 3339
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Second>,
    /// Only those of this level and above
    #[arg(long, value_parser = level)]
    level: Option<Level>,
    /// Only those of this rule
    #[arg(long, value_name = "NAME")]
    rule: Option<String>,
    /// Only those of sources in this network, or of this address
    #[arg(long, value_name = "CIDR", value_parser = network::parse_argument)]
    source: Option<IpNet>,
    /// Only those that go on
    #[arg(long)]
    open: bool,
    /// Most that are listed
    #[arg(short, long, default_value_t = FINDINGS_USUAL, value_parser = number)]
    number: usize,
}

impl QueryArgs {
    /// Returns the request, whose answer has this format.
    pub(crate) fn request(&self, format: Format) -> FindingRequest {
        let query = FindingQuery {
            uid: None,
            since: self.since,
            level_min: self.level,
            rule: self.rule.clone(),
            source: self.source,
            is_open: self.open,
        };
        FindingRequest { query, limit: self.number, format, silence: None }
    }
}

/// Runs `findings`.
pub(crate) fn run(args: &FindingsArgs) -> Result<Exit, Failure> {
    let (config, request) = match &args.verb {
        FindingsVerb::List { config, query, output } => (config, query.request(output.format())),
        FindingsVerb::Show { uid, config, output } => (config, finding_params::single(uid.clone(), output.format())),
    };
    let (config, rules) = config.load(SecretScope::NONE)?;
    if let Some(rule) = &request.query.rule {
        warn_of_unknown(rule, &rules);
    }
    let (path, params) = finding_params::written(finding_params::PATH, &request);
    let of_state = |ledger: &Ledger| {
        let search = PageSearch::new(request).with_addresses(AddressFiles::of(&config.addresses));
        let found = finding_page::of_ledger(ledger, search).map_err(|error| bootstrap::state_failure(error.into()))?;
        found.map_err(|reason| anyhow!(reason).into())
    };
    admin_client::state_or_daemon(&config, of_state, &path, &params)?.print()
}

/// Logs that no active rule has this name. It is no error, because findings outlive their rules.
fn warn_of_unknown(name: &str, rules: &Rules) {
    if rules.named(name).is_none() {
        let known: Vec<&str> = rules.rules.iter().map(|rule| rule.head.name.as_str()).collect();
        tracing::warn!("no rule has the name `{name}`, but older findings may; {}", suggestion(name, &known));
    }
}

fn since(text: &str) -> Result<Second, String> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at.into());
    }
    let seconds = seconds_of(text).ok_or("neither a duration such as 24h nor a time in RFC 3339")?;
    Ok(Second::from(clock::now()).plus(-seconds.abs()))
}
