//! The verb `sources`: which logs are watched. It asks the running daemon, or opens the state if no process holds it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use clap::Args;
use serde_json::Value;
use stakeout_core::source::ALL_CLUSTERS;
use stakeout_ledger::Ledger;

use crate::admin_client;
use crate::bootstrap::{self, ConfigArgs};
use crate::clock;
use crate::cloud::budget::Budgets;
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::log_list::LogList;
use crate::outbound::Outbound;
use crate::printed::{Format, FormatArgs, Printed};
use crate::section::secret::SecretScope;
use crate::source_page::{self, CostLog, SourcePage};

/// The arguments of `stakeout sources`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  stakeout sources -c stakeout.yaml
  stakeout sources -o json | jq 'select(.status != \"read\")'

Only a running daemon knows what the last window of a log took.")]
pub(crate) struct SourcesArgs {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    output: FormatArgs,
}

/// Runs `sources`.
pub(crate) fn run(args: &SourcesArgs) -> Result<Exit, Failure> {
    let (config, _) = args.config.load(SecretScope::NONE)?;
    page(&config, args.output.format())?.print()
}

/// Returns the names of the clusters that the config names and that its discoveries have found, from the state or the daemon.
pub(crate) fn known_clusters(config: &Config) -> Result<BTreeSet<String>, Failure> {
    let lines = page(config, Format::Json)?.text;
    let values = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let clusters = values.filter_map(|value| value["cluster"].as_str().map(str::to_owned));
    Ok(clusters.filter(|cluster| cluster != ALL_CLUSTERS).collect())
}

fn page(config: &Config, format: Format) -> Result<Printed, Failure> {
    let of_state = |ledger: &Ledger| {
        // Nothing is sent: a list knows which of the stored logs it would find.
        let outbound = Outbound::new(config.ca_file.as_deref()).context("cannot set up the network")?;
        let lists = LogList::of(&config.discover, &mut Budgets::new(config.budget), &outbound);
        let progresses = ledger.progresses().map_err(|error| bootstrap::state_failure(error.into()))?;
        let progresses = progresses.into_iter().map(|(_, progress)| progress).collect();
        let hosts = match bootstrap::database(config)? {
            Some(options) => {
                stakeout_ledger::lease_hosts(&options).map_err(|error| bootstrap::state_failure(error.into()))?
            }
            None => BTreeMap::new(),
        };
        let page = SourcePage::of(config, &lists, progresses, &CostLog::default(), &hosts);
        Ok(page.printed(format, clock::now().into()))
    };
    let params = [("format", format.as_str().to_owned())];
    admin_client::state_or_daemon(config, of_state, source_page::PATH, &params)
}
