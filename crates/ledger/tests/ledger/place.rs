//! Where the ledgers of a test are: one of each engine, so that the same source tests all of them.

use std::path::{Path, PathBuf};

use secrecy::SecretString;
use stakeout_ledger::{Ledger, LedgerError, Location, PostgresOptions, PostgresTls};
use tempfile::TempDir;

use crate::postgres::Postgres;

/// Where a ledger is.
pub(crate) enum Place {
    /// In a directory, which goes with this if it is of this test.
    Directory(PathBuf, #[expect(dead_code, reason = "it is removed when it is dropped")] Option<TempDir>),
    /// In a schema of a database, by its URL.
    Schema(String, String),
}

impl Place {
    /// Returns a new place for each engine. Where PostgreSQL is missing, that is said aloud.
    pub(crate) fn each() -> Vec<Place> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let schema = Postgres::shared().map(Place::schema);
        [Place::Directory(dir.path().to_owned(), Some(dir))].into_iter().chain(schema).collect()
    }

    /// Returns a new place in a database.
    pub(crate) fn schema(server: &Postgres) -> Place {
        Place::Schema(server.new_schema(), server.url())
    }

    /// Returns an existing directory.
    pub(crate) fn directory(dir: &Path) -> Place {
        Place::Directory(dir.to_owned(), None)
    }

    /// Opens the ledger there.
    pub(crate) fn open(&self) -> Result<Ledger, LedgerError> {
        Ledger::open(self.location())
    }

    /// Returns it as the ledger wants it.
    pub(crate) fn location(&self) -> Location {
        match self {
            Place::Directory(path, _) => Location::Directory(path.clone()),
            Place::Schema(schema, url) => {
                let options = PostgresOptions::new(&SecretString::from(url.as_str()), schema, PostgresTls::Disable);
                Location::Postgres(options.expect("a URL"))
            }
        }
    }

    /// Returns it as a text for another process.
    pub(crate) fn text(&self) -> String {
        match self {
            Place::Directory(path, _) => path.to_str().expect("text").to_owned(),
            Place::Schema(schema, url) => format!("{schema} {url}"),
        }
    }

    /// Returns the place of a text.
    pub(crate) fn of_text(text: &str) -> Place {
        match text.split_once(' ') {
            Some((schema, url)) => Place::Schema(schema.to_owned(), url.to_owned()),
            None => Place::directory(Path::new(text)),
        }
    }
}
