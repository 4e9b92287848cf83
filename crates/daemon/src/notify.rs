//! The verb `notify`: sends a test message to one destination or to all, and shows which destinations hear of what.

mod route;

use clap::{Args, Subcommand};
use stakeout_core::diagnostic::suggestion;
use stakeout_notify::{Background, Message, MessageBody};
use tracing::{error, info};

use crate::bootstrap::{self, ConfigArgs};
use crate::clock;
use crate::destination;
use crate::exit::{Exit, Failure};
use crate::outbound::Outbound;
use crate::section::secret::SecretScope;
use route::RouteArgs;

/// The arguments of `stakeout notify`.
#[derive(Args, Debug)]
pub(crate) struct NotifyArgs {
    #[command(subcommand)]
    verb: NotifyVerb,
}

#[derive(Debug, Subcommand)]
enum NotifyVerb {
    /// Send a test message to one destination, or to all
    #[command(after_help = "Examples:
  stakeout notify test -c stakeout.yaml
  stakeout notify test secops -c stakeout.yaml")]
    Test {
        #[command(flatten)]
        config: ConfigArgs,
        /// Name of the destination [default: all]
        name: Option<String>,
    },
    /// Show which destinations hear of an incident, and why the others do not
    ///
    /// It sends nothing, and needs no secrets and no state.
    #[command(after_help = "Examples:
  stakeout notify route -c stakeout.yaml --severity high
  stakeout notify route -c stakeout.yaml --rule kubernetes-token-spray")]
    Route(RouteArgs),
}

/// Runs `notify`.
pub(crate) fn run(args: &NotifyArgs) -> Result<Exit, Failure> {
    match &args.verb {
        NotifyVerb::Test { config, name } => test(config, name.as_deref()),
        NotifyVerb::Route(args) => route::run(args),
    }
}

fn test(config: &ConfigArgs, name: Option<&str>) -> Result<Exit, Failure> {
    let (config, _) = config.load(SecretScope::notify(name))?;
    let chosen: Vec<_> =
        config.notify.iter().filter(|destination| name.is_none_or(|name| name == destination.name)).collect();
    if chosen.is_empty() {
        let known: Vec<&str> = config.notify.iter().map(|destination| destination.name.as_str()).collect();
        return Err(Failure::Usage(match name {
            Some(name) if !known.is_empty() => {
                format!("no destination has the name `{name}`; {}", suggestion(name, &known))
            }
            _ => "the config has no destination: add one under `notify`".to_owned(),
        }));
    }
    let outbound = Outbound::new(config.ca_file.as_deref()).map_err(anyhow::Error::from)?;
    bootstrap::runtime()?.block_on(async {
        let mut exit = Exit::Done;
        for destination in chosen {
            let now = clock::now();
            let destination = destination::open(destination, &outbound)?;
            let body = MessageBody::Test { destination: destination.name() };
            let message = Message { id: format!("test-{}", now.as_millisecond()), body };
            match destination.send(&message, Background::default(), now).await {
                Ok(_) => {
                    let next = destination.queues().unwrap_or_default();
                    info!(destination = destination.name(), next, "test message sent");
                }
                Err(error) => {
                    error!(destination = destination.name(), %error, "cannot send the test message");
                    exit = Exit::Incomplete;
                }
            }
        }
        Ok(exit)
    })
}
