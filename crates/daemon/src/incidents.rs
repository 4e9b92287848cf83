//! The verb `incidents`: lists and shows incidents, those that go on and those of the past. It asks the running daemon, or
//! opens the state if no process holds it.

use anyhow::anyhow;
use clap::{Args, Subcommand};
use stakeout_core::time::Second;
use stakeout_ledger::Ledger;

use crate::address_files::AddressFiles;
use crate::admin_client;
use crate::bootstrap::{self, ConfigArgs};
use crate::clock;
use crate::exit::{Exit, Failure};
use crate::finding_params::{self, uid};
use crate::findings::QueryArgs;
use crate::incident_page::{self, IncidentSearch};
use crate::printed::FormatArgs;
use crate::section::secret::SecretScope;
use crate::silence_book::SilenceBook;

/// The arguments of `stakeout incidents`.
#[derive(Args, Debug)]
pub(crate) struct IncidentsArgs {
    #[command(subcommand)]
    verb: IncidentsVerb,
}

#[derive(Debug, Subcommand)]
enum IncidentsVerb {
    /// List incidents, the latest first
    #[command(after_help = "Examples:
  stakeout incidents list -c stakeout.yaml
  stakeout incidents list --since 24h --level medium
  stakeout incidents list --source 203.0.113.0/24 -o json")]
    List {
        #[command(flatten)]
        config: ConfigArgs,
        #[command(flatten)]
        query: QueryArgs,
        #[command(flatten)]
        output: FormatArgs,
    },
    /// Show an incident with its steps, sources and findings
    #[command(after_help = "Examples:
  stakeout incidents show 6c1f0a52 -c stakeout.yaml
  stakeout incidents show 6c1f0a52 -o json")]
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

/// Runs `incidents`.
pub(crate) fn run(args: &IncidentsArgs) -> Result<Exit, Failure> {
    let (config, request) = match &args.verb {
        IncidentsVerb::List { config, query, output } => (config, query.request(output.format())),
        IncidentsVerb::Show { uid, config, output } => (config, finding_params::single(uid.clone(), output.format())),
    };
    let (config, _) = config.load(SecretScope::NONE)?;
    let (path, params) = finding_params::written(finding_params::INCIDENTS_PATH, &request);
    let of_state = |ledger: &Ledger| {
        let (now, book) = (Second::from(clock::now()), SilenceBook::default());
        book.refresh(config.silences.as_deref(), now);
        let search = IncidentSearch::new(request, config.incidents, book.current(), now)
            .with_addresses(AddressFiles::of(&config.addresses));
        let found = incident_page::of_ledger(ledger, search).map_err(|error| bootstrap::state_failure(error.into()))?;
        found.map_err(|reason| anyhow!(reason).into())
    };
    admin_client::state_or_daemon(&config, of_state, &path, &params)?.print()
}
