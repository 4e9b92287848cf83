//! One connection to the database, for callers that wait.
//!
//! The client's tasks run on a thread that all connections of the process share. A connection that failed is not
//! repaired: who holds it opens another one.

use std::future::Future;
use std::sync::OnceLock;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio_postgres::tls::NoTls;
use tokio_postgres::{Client, Error};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::failure;
use super::options::{PostgresOptions, PostgresTls};
use super::wait::wait;
use crate::error::{LedgerError, Result};

/// How long one statement may take in the database.
const STATEMENT_MS_MAX: u32 = 60_000;
/// How long a statement may wait for a lock. Commits of other replicas wait for each other; one that is paused in a commit
/// holds them up until the database ends its transaction, so this is longer than that.
const LOCK_MS_MAX: u32 = 45_000;
/// How long the database keeps a transaction in which nothing happens: that of a process that is paused, with its locks.
const IDLE_IN_TRANSACTION_MS_MAX: u32 = 30_000;
/// How long to wait for any sign of an answer: longer than a statement may take.
const SILENCE_MAX: Duration = Duration::from_secs(75);

/// An open connection.
#[derive(Debug)]
pub(crate) struct Connection {
    client: Client,
    /// What moves the bytes.
    task: JoinHandle<()>,
}

impl Connection {
    /// Connects, to the first host of the URL that takes writes.
    ///
    /// Fails with [`LedgerError::Unavailable`] where trying later may help.
    pub(crate) fn open(options: &PostgresOptions) -> Result<Connection> {
        let runtime = runtime()?;
        let options = options.clone();
        let setup = format!(
            "SET search_path TO {}; SET synchronous_commit TO on; SET client_min_messages TO warning; \
             SET statement_timeout TO {STATEMENT_MS_MAX}; SET lock_timeout TO {LOCK_MS_MAX}; \
             SET idle_in_transaction_session_timeout TO {IDLE_IN_TRANSACTION_MS_MAX}",
            options.schema
        );
        let opening = runtime.spawn(async move {
            match &options.tls {
                PostgresTls::Disable => {
                    let (client, connection) = options.config.connect(NoTls).await?;
                    Ok::<_, Error>((client, tokio::spawn(finished(connection))))
                }
                PostgresTls::Require(tls) | PostgresTls::VerifyFull(tls) => {
                    let connector = MakeRustlsConnect::new((**tls).clone());
                    let (client, connection) = options.config.connect(connector).await?;
                    Ok((client, tokio::spawn(finished(connection))))
                }
            }
        });
        let opened = wait(opening, SILENCE_MAX).ok_or_else(|| failure::no_answer("connect"))?;
        let opened = opened.map_err(|_| LedgerError::refused("the task of a connection ended"))?;
        let (client, task) = opened.map_err(|error| failure::of("connect", &error))?;
        let connection = Connection { client, task };
        connection.wait("set up the session", connection.client.batch_execute(&setup))?;
        Ok(connection)
    }

    /// Returns the client. What it returns is waited for by [`Connection::wait`].
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Returns whether the connection is over.
    pub(crate) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Waits for the answer to `action`. If there is none in time, the connection is over.
    pub(crate) fn wait<T>(
        &self,
        action: &str,
        answer: impl Future<Output = std::result::Result<T, Error>>,
    ) -> Result<T> {
        match wait(answer, SILENCE_MAX) {
            Some(answer) => answer.map_err(|error| failure::of(action, &error)),
            None => {
                self.task.abort();
                Err(failure::no_answer(action))
            }
        }
    }
}

/// Waits for the end of a connection. How it ended, each request that was not answered says.
async fn finished(connection: impl Future<Output = std::result::Result<(), Error>>) {
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection to the database ended");
    }
}

/// Returns what runs the tasks of all connections of this process.
fn runtime() -> Result<&'static Runtime> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let made = Builder::new_multi_thread().worker_threads(1).thread_name("postgres").enable_all().build();
    let made = made.map_err(|error| LedgerError::of_io("start the thread of the database's client", error))?;
    Ok(RUNTIME.get_or_init(|| made))
}

#[cfg(test)]
mod tests;
