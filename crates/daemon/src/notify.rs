//! The verb `notify`: sends a test message to one destination or to all.

use clap::{Args, Subcommand};
use stakeout_core::diagnostic::suggestion;
use stakeout_notify::{Message, MessageBody};
use tracing::{error, info};

use crate::bootstrap::{self, ConfigArgs};
use crate::clock;
use crate::destination;
use crate::exit::{Exit, Failure};
use crate::outbound::Outbound;
use crate::section::secret::SecretScope;

/// The arguments of `stakeout notify`.
#[derive(Args, Debug)]
pub(crate) struct NotifyArgs {
    #[command(subcommand)]
    verb: NotifyVerb,
}

#[derive(Debug, Subcommand)]
enum NotifyVerb {
    /// Send a test message to one destination, or to all
    Test {
        #[command(flatten)]
        config: ConfigArgs,
        /// Name of the destination [default: all]
        name: Option<String>,
    },
}

/// Runs `notify`.
pub(crate) fn run(args: &NotifyArgs) -> Result<Exit, Failure> {
    let NotifyVerb::Test { config, name } = &args.verb;
    let (config, _) = config.load(SecretScope::notify(name.as_deref()))?;
    let chosen: Vec<_> =
        config.notify.iter().filter(|destination| name.as_ref().is_none_or(|name| *name == destination.name)).collect();
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
            match destination.send(&message, now).await {
                Ok(_) => info!(destination = destination.name(), "test message sent"),
                Err(error) => {
                    error!(destination = destination.name(), %error, "cannot send the test message");
                    exit = Exit::Incomplete;
                }
            }
        }
        Ok(exit)
    })
}
