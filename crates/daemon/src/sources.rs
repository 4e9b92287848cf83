//! The verb `sources`: which logs are watched. It asks the running daemon, or opens the state if no process holds it.

use std::collections::BTreeMap;

use anyhow::Context;
use clap::Args;
use stakeout_ledger::Ledger;

use crate::admin_client;
use crate::bootstrap::{self, ConfigArgs};
use crate::clock;
use crate::cloud::budget::Budgets;
use crate::exit::{Exit, Failure};
use crate::log_list::LogList;
use crate::outbound::Outbound;
use crate::printed::FormatArgs;
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
    let format = args.output.format();
    let of_state = |ledger: &Ledger| {
        // Nothing is sent: a list knows which of the stored logs it would find.
        let outbound = Outbound::new(config.ca_file.as_deref()).context("cannot set up the network")?;
        let lists = LogList::of(&config.discover, &mut Budgets::new(config.budget), &outbound);
        let progresses = ledger.progresses().map_err(|error| bootstrap::state_failure(error.into()))?;
        let progresses = progresses.into_iter().map(|(_, progress)| progress).collect();
        let hosts = match bootstrap::database(&config)? {
            Some(options) => {
                stakeout_ledger::lease_hosts(&options).map_err(|error| bootstrap::state_failure(error.into()))?
            }
            None => BTreeMap::new(),
        };
        let page = SourcePage::of(&config, &lists, progresses, &CostLog::default(), &hosts);
        Ok(page.printed(format, clock::now().into()))
    };
    let params = [("format", format.as_str().to_owned())];
    admin_client::state_or_daemon(&config, of_state, source_page::PATH, &params)?.print()
}
