//! Where the state of a daemon without clouds is: a directory, or a schema of a database of the tests' own.

use std::path::Path;

use secrecy::SecretString;
use stakeout_ledger::{Location, PostgresOptions, PostgresTls};
use tempfile::TempDir;

use self::postgres::Postgres;

#[path = "../../../../../tests/support/postgres.rs"]
#[allow(dead_code, reason = "tests of other crates use the rest")]
mod postgres;

/// What keeps the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EngineKind {
    Embedded,
    Postgres,
}

impl EngineKind {
    /// Returns those that are there. Where PostgreSQL is missing, that is said aloud.
    pub(super) fn all() -> Vec<EngineKind> {
        let postgres = Postgres::shared().map(|_| EngineKind::Postgres);
        [EngineKind::Embedded].into_iter().chain(postgres).collect()
    }
}

/// Where one state is.
pub(super) enum Place {
    Directory(TempDir),
    Schema(PostgresOptions),
}

impl Place {
    /// Returns a new place.
    pub(super) fn new(engine: EngineKind) -> Place {
        match engine {
            EngineKind::Embedded => {
                let memory = Path::new("/dev/shm");
                let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
                Place::Directory(dir.expect("a folder"))
            }
            EngineKind::Postgres => {
                let server = Postgres::shared().expect("it is there");
                let (url, schema) = (SecretString::from(server.url()), server.new_schema());
                Place::Schema(PostgresOptions::new(&url, &schema, PostgresTls::Disable).expect("a URL"))
            }
        }
    }

    /// Returns how many writers can share it.
    pub(super) fn replicas(&self) -> usize {
        match self {
            Place::Directory(_) => 1,
            Place::Schema(_) => 2,
        }
    }

    /// Returns it as the writer wants it.
    pub(super) fn location(&self) -> Location {
        match self {
            Place::Directory(dir) => dir.path().into(),
            Place::Schema(options) => Location::Postgres(options.clone()),
        }
    }
}
