//! What every verb with a config begins with: the config and its rules, the runtime, the state.

use std::path::PathBuf;

use anyhow::{Context, anyhow};
use clap::Args;
use stakeout_core::rule::Rules;
use stakeout_ledger::LedgerError;
use tracing::warn;

use crate::clock;
use crate::config::Config;
use crate::exit::Failure;
use crate::rule_files;
use crate::writer::{StateError, Writer};

/// Where the config is.
#[derive(Args, Clone, Debug)]
pub(crate) struct ConfigArgs {
    /// The config file
    #[arg(short, long, value_name = "FILE", default_value = "/etc/stakeout/stakeout.yaml", env = "STAKEOUT_CONFIG")]
    pub(crate) config: PathBuf,
}

impl ConfigArgs {
    /// Reads the config and the rules that it names, and warns of what is allowed but hardly meant.
    pub(crate) fn load(&self) -> Result<(Config, Rules), Failure> {
        let (config, rules) = self.read()?;
        for warning in &config.warnings {
            warn!("{warning}");
        }
        warn_of(&rules);
        Ok((config, rules))
    }

    /// Reads the config and the rules that it names.
    pub(crate) fn read(&self) -> Result<(Config, Rules), Failure> {
        let environment = |name: &str| std::env::var(name).ok();
        let config = Config::load(&self.config, &environment).map_err(Failure::Config)?;
        let rules = rule_files::load(&config.rules).map_err(Failure::Config)?;
        Ok((config, rules))
    }
}

/// Warns of what is allowed in rules but hardly meant, and of filters that have expired.
pub(crate) fn warn_of(rules: &Rules) {
    for warning in rules.warnings.iter().chain(&rules.expired(clock::now().into())) {
        warn!("{warning}");
    }
}

/// Returns the runtime that a verb runs on.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    stakeout_http::install_crypto_provider();
    // Two threads at least: a page that takes long to decode must not keep a signal waiting.
    let threads = std::thread::available_parallelism().map_or(2, |threads| threads.get().max(2));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    Ok(runtime.context("cannot start the runtime")?)
}

/// Opens the state that the config names.
pub(crate) fn open_state(config: &Config) -> Result<Writer, Failure> {
    Writer::start(config.state_path.clone()).map_err(|fault| state_failure(StateError::Ledger(fault)))
}

/// Returns the failure that an error of the state is to the caller.
pub(crate) fn state_failure(fault: StateError) -> Failure {
    match fault {
        StateError::Ledger(fault @ (LedgerError::Locked { .. } | LedgerError::DiskFull { .. })) => {
            Failure::TryLater(fault.to_string())
        }
        fault => Failure::Failed(anyhow!(fault)),
    }
}
