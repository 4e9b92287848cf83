//! PostgreSQL as the place of the state: how it is connected to, and tables for values by key. What values mean is not known
//! here.

mod wait;
mod failure;
mod options;
mod connection;
mod inspection;
mod table;
mod migration;
mod store;
mod archive;

pub(crate) use archive::{TableArchive, TableFindings, TableReader};
pub(crate) use connection::Connection;
pub use inspection::{DatabaseReport, inspect};
pub use options::{PostgresOptions, PostgresTls};
pub(crate) use store::{Store, TurnKind};

#[cfg(test)]
#[path = "../../../tests/support/postgres.rs"]
#[allow(dead_code, reason = "tests of other crates use the rest")]
pub(crate) mod server;
