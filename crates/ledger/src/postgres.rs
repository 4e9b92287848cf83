//! PostgreSQL as the place of the state: how it is connected to. It knows nothing of what is stored.

mod wait;
mod failure;
mod options;
mod connection;
mod inspection;

pub(crate) use connection::Connection;
pub use inspection::{DatabaseReport, inspect};
pub use options::{PostgresOptions, PostgresTls};

#[cfg(test)]
#[path = "../../../tests/support/postgres.rs"]
#[allow(dead_code, reason = "tests of other crates use the rest")]
pub(crate) mod server;
