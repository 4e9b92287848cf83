//! What is stored, read from a state that nobody holds, or from the admin page of the daemon that holds it.

use std::net::SocketAddr;

use anyhow::{Context, anyhow};
use serde::de::DeserializeOwned;
use stakeout_http::{Route, Url};
use stakeout_ledger::{Ledger, LedgerError};

use crate::bootstrap;
use crate::config::Config;
use crate::exit::Failure;

/// Longest time that the daemon may take to answer.
const ANSWER_SECONDS_MAX: u64 = 60;

/// Returns what `read` reads of the state, or what the daemon answers on `path` with these parameters if it holds the
/// state.
pub(crate) fn state_or_daemon<T: DeserializeOwned>(
    config: &Config,
    read: impl FnOnce(&Ledger) -> Result<T, LedgerError>,
    path: &str,
    params: Vec<(&'static str, String)>,
) -> Result<T, Failure> {
    let state = &config.state.path;
    let failure = |error: LedgerError| bootstrap::state_failure(error.into());
    if !state.exists() {
        return Err(anyhow!("no state in {} yet: start the daemon first", state.display()).into());
    }
    match Ledger::open(state).map_err(failure) {
        Ok(ledger) => read(&ledger).map_err(failure),
        Err(Failure::TryLater(held)) => {
            let listen = config.admin_listen.ok_or(Failure::TryLater(held))?;
            bootstrap::runtime()?.block_on(ask(listen, path, params))
        }
        Err(failure) => Err(failure),
    }
}

async fn ask<T: DeserializeOwned>(
    listen: SocketAddr,
    path: &str,
    params: Vec<(&'static str, String)>,
) -> Result<T, Failure> {
    let context = || format!("another process holds the state, and no daemon answers on {listen}");
    let client = stakeout_http::client(Route::Direct, std::time::Duration::from_secs(ANSWER_SECONDS_MAX))
        .context("cannot set up the HTTP client")?;
    let mut url = Url::parse(&format!("http://{listen}{path}")).context("the address of the admin page is no URL")?;
    if !params.is_empty() {
        url.query_pairs_mut().extend_pairs(params);
    }
    let answer = client.get(url).send().await.with_context(context)?;
    let answer = answer.error_for_status().with_context(context)?;
    Ok(answer.json().await.context("the answer of the daemon cannot be read")?)
}
