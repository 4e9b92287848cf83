//! The first steps of every verb with a config: the config and its rules, the runtime, the state.

use std::path::PathBuf;

use anyhow::{Context, anyhow};
use clap::Args;
use jiff::Timestamp;
use stakeout_core::rule::Rules;
use stakeout_ledger::{Leases, LedgerError, Location, PostgresOptions, Stay};
use tracing::{info, warn};

use crate::address_files::AddressFiles;
use crate::clock;
use crate::config::{Config, PostgresConfig, StatePlace, route};
use crate::exit::Failure;
use crate::in_flight::InFlight;
use crate::outbound::Outbound;
use crate::replica::{self, Replica};
use crate::rule_files;
use crate::section::expand::CREDENTIALS_DIRECTORY;
use crate::section::secret::SecretScope;
use crate::silence_book::SilenceBook;
use crate::watch::Process;
use crate::writer::{StateError, Writer};

/// Where systemd keeps the credentials of the shipped unit while it runs (systemd.exec(5), `LoadCredential=`).
const SERVICE_CREDENTIALS: &str = "/run/credentials/stakeout.service";

/// The path of the config.
#[derive(Args, Clone, Debug)]
pub(crate) struct ConfigArgs {
    /// Path of the config file
    #[arg(short, long, value_name = "FILE", default_value = "/etc/stakeout/stakeout.yaml", env = "STAKEOUT_CONFIG")]
    pub(crate) config: PathBuf,
}

/// Returns the time of `--at`, or now. Fails if it is in the future.
pub(crate) fn time_of(at: Option<Timestamp>) -> Result<Timestamp, Failure> {
    let now = clock::now();
    match at {
        Some(at) if at > now => Err(Failure::Usage(format!("--at {at} is in the future: name a time that has passed"))),
        at => Ok(at.unwrap_or(now)),
    }
}

impl ConfigArgs {
    /// Reads the config with these secrets, and its rules, and logs their warnings.
    pub(crate) fn load(&self, secrets: SecretScope<'_>) -> Result<(Config, Rules), Failure> {
        let (config, rules) = self.read(secrets)?;
        for warning in &config.warnings {
            warn!("{warning}");
        }
        for note in &rules.replacements {
            info!("{note}");
        }
        warn_of(&rules);
        Ok((config, rules))
    }

    /// Reads the config with these secrets, and its rules.
    pub(crate) fn read(&self, secrets: SecretScope<'_>) -> Result<(Config, Rules), Failure> {
        let mut config = Config::load(&self.config, &variable, secrets).map_err(Failure::Config)?;
        let mut rules = rule_files::load(&config.rules).map_err(Failure::Config)?;
        rule_files::disable(&mut rules, &config.disabled_rules).map_err(Failure::Config)?;
        let named = config.notify.iter_mut();
        let errors: Vec<_> = named.flat_map(|one| route::name_rules(&mut one.route, &one.rules, &rules)).collect();
        if !errors.is_empty() {
            return Err(Failure::Config(errors));
        }
        Ok((config, rules))
    }
}

/// Returns the value of an environment variable. Outside of the service, the credentials are those of the running service, if
/// this user may read them, as root may.
fn variable(name: &str) -> Option<String> {
    let value = std::env::var(name).ok();
    if name != CREDENTIALS_DIRECTORY || value.is_some() {
        return value;
    }
    std::fs::read_dir(SERVICE_CREDENTIALS).is_ok().then(|| SERVICE_CREDENTIALS.to_owned())
}

/// Logs the warnings of rules, expired filters included.
pub(crate) fn warn_of(rules: &Rules) {
    for warning in rules.warnings.iter().chain(&rules.expired(clock::now().into())) {
        warn!("{warning}");
    }
}

/// Starts the async runtime of a verb.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    stakeout_http::install_crypto_provider();
    // At least two threads: a page that takes long to decode must not delay a signal.
    let threads = std::thread::available_parallelism().map_or(2, |threads| threads.get().max(2));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    Ok(runtime.context("cannot start the runtime")?)
}

/// Returns how to connect to the database of the config, or `None` where the state is in a directory.
pub(crate) fn database(config: &Config) -> Result<Option<PostgresOptions>, Failure> {
    config.state.postgres().map(|postgres| options(config, postgres)).transpose()
}

fn options(config: &Config, postgres: &PostgresConfig) -> Result<PostgresOptions, Failure> {
    let outbound = Outbound::new(config.ca_file.as_deref()).map_err(anyhow::Error::from)?;
    let options = postgres.options(&outbound.common);
    let unreadable = || Failure::Failed(anyhow!("the URL of the database (`state.postgres`) cannot be read here"));
    options.ok_or_else(unreadable)
}

/// Opens the state of the config for a verb that `stay`s as long, alone or among other replicas.
pub(crate) fn process(config: &Config, stay: Stay) -> Result<Process, Failure> {
    let in_flight = InFlight::default();
    let opened = |writer: Result<Writer, LedgerError>| writer.map_err(|error| state_failure(error.into()));
    let (writer, replica) = match &config.state.place {
        StatePlace::Directory(path) => (opened(Writer::start(path.into(), stay))?, Replica::default()),
        StatePlace::Postgres(postgres) => {
            let options = options(config, postgres)?;
            let leases = Leases::new(options.clone(), &replica::host(), postgres.lease);
            let leases = leases.map_err(|error| state_failure(error.into()))?;
            (opened(Writer::start(Location::Postgres(options), stay))?, Replica::among(leases, in_flight.clone()))
        }
    };
    Ok(Process { writer, replica, in_flight, silences: SilenceBook::default(), addresses: AddressFiles::default() })
}

/// Returns where the state of the config is.
pub(crate) fn location(config: &Config) -> Result<Location, Failure> {
    match &config.state.place {
        StatePlace::Directory(path) => Ok(path.into()),
        StatePlace::Postgres(postgres) => options(config, postgres).map(Location::Postgres),
    }
}

/// Turns an error of the state into a failure of the verb.
pub(crate) fn state_failure(error: StateError) -> Failure {
    let error = match error {
        StateError::Ledger(error) => error,
        StateError::Closed => return Failure::Failed(anyhow!("{error}")),
    };
    match &*error {
        LedgerError::Locked { .. }
        | LedgerError::DiskFull { .. }
        | LedgerError::Unavailable { .. }
        | LedgerError::Conflict { .. }
        | LedgerError::Fenced { .. } => Failure::TryLater(error.to_string()),
        LedgerError::Failed { .. } => {
            Failure::Failed(anyhow!("{error} (check `state.path`, its permissions and its disk)"))
        }
        // The text of the error names its source already, so the chain would repeat it.
        _ => Failure::Failed(anyhow!("{error}")),
    }
}
