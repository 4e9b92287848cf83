//! What is stored, read from a state that nobody holds, or from the admin page of the daemon that holds it.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, anyhow};
use stakeout_core::text::{is_invisible, reason};
use stakeout_http::{Answer, BodyLimit, Certificates, ExchangeError, Network, Proxies, TimeLimits, Url};
use stakeout_ledger::{Ledger, LedgerError};

use crate::admin::NOTE_HEADER;
use crate::bootstrap;
use crate::config::Config;
use crate::exit::Failure;
use crate::printed::Printed;

/// Longest time that the daemon may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Most bytes of its answer: a page of findings has a quarter of it.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Returns what `read` makes of the state, or what the daemon answers on `path` with these parameters if it holds the
/// state.
pub(crate) fn state_or_daemon(
    config: &Config,
    read: impl FnOnce(&Ledger) -> Result<Printed, Failure>,
    path: &str,
    params: &[(&'static str, String)],
) -> Result<Printed, Failure> {
    if config.state.directory().is_some_and(|directory| !directory.exists()) {
        return Err(anyhow!("no state in {} yet: start the daemon first", config.state.place).into());
    }
    match Ledger::open(bootstrap::location(config)?) {
        Ok(ledger) => read(&ledger),
        Err(error @ LedgerError::Locked { .. }) => of_daemon(config, &error.to_string(), path, params),
        Err(error) => Err(bootstrap::state_failure(error.into())),
    }
}

/// Returns what the daemon answers on `path` with these parameters. `why` says why this process does not read the state.
pub(crate) fn of_daemon(
    config: &Config,
    why: &str,
    path: &str,
    params: &[(&'static str, String)],
) -> Result<Printed, Failure> {
    let Some(listen) = config.admin.listen else {
        return Err(Failure::TryLater(format!("{why}, and `admin: {{listen: off}}` hides its admin page")));
    };
    let answer = bootstrap::runtime()?.block_on(ask(listen, path, params))?;
    let answer = answer.map_err(|unanswered| match unanswered {
        ExchangeError::Interrupted { .. } => {
            Failure::TryLater(format!("{why}, and no daemon answers on {listen}: {}", reason(&unanswered.to_string())))
        }
        _ => anyhow!("cannot read the answer of the daemon on {listen}: {unanswered}").into(),
    })?;
    printed(listen, &answer)
}

async fn ask(
    listen: SocketAddr,
    path: &str,
    params: &[(&'static str, String)],
) -> Result<Result<Answer, ExchangeError>, Failure> {
    // Plain http, and not through a proxy, even if the page listens for other machines.
    let network = Network::new(Proxies::default(), &Certificates::none());
    let client = network.client(TimeLimits::of_answer(ANSWER_TIMEOUT)).context("cannot set up the HTTP client")?;
    let mut url = Url::parse(&format!("http://{listen}{path}")).context("the address of the admin page is no URL")?;
    url.query_pairs_mut().extend_pairs(params);
    Ok(stakeout_http::exchange(client.get(url), BodyLimit::Refuse(ANSWER_BYTES_MAX)).await)
}

fn printed(listen: SocketAddr, answer: &Answer) -> Result<Printed, Failure> {
    let text = String::from_utf8_lossy(&answer.body);
    match answer.status {
        200 if text.contains(|c| c != '\n' && is_invisible(c)) => {
            Err(anyhow!("the answer on {listen} is not one of Stakeout: check `admin: listen`").into())
        }
        200 => {
            let notes = answer.headers.get_all(NOTE_HEADER).iter().filter_map(|note| note.to_str().ok());
            Ok(Printed { notes: notes.map(str::to_owned).collect(), text: text.into_owned() })
        }
        503 => Err(Failure::TryLater(format!("the daemon on {listen} cannot answer: {}", reason(text.trim())))),
        400 | 404 if !text.is_empty() => Err(anyhow!("{}", reason(text.trim())).into()),
        status => Err(anyhow!("the daemon on {listen} answers with status {status}: {}", reason(text.trim())).into()),
    }
}
