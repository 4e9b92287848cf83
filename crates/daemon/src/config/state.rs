//! The section `state`: where the state is, and how much of the past it keeps.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use stakeout_core::diagnostic::{Diagnostic, suggestion};
use stakeout_core::yaml::{At, Map};
use stakeout_http::{Network, unverified_tls};
use stakeout_ledger::{PostgresOptions, PostgresTls};

use super::duration;
use crate::section::{self, SectionReader, keys, secret};

const PATH: &str = "/var/lib/stakeout";
/// Names the directory at which a relative path begins, if not at the config's: in a container, that one is read-only.
const STATE_BASE: &str = "STAKEOUT_STATE_BASE";
const RETAIN_SECONDS: i64 = 30 * 24 * 3600;
/// Findings from before the last reread are still needed, so they are kept for a day at least.
const RETAIN_SECONDS_MIN: i64 = 24 * 3600;
const ARCHIVE_BYTES_MAX: u64 = 128 * MIB;
const MIB: u64 = 1024 * 1024;
/// Two files of the archive.
const ARCHIVE_MIB_LEAST: u64 = 8;
const UNITS: [(&str, u64); 2] = [("MiB", MIB), ("GiB", 1024 * MIB)];

/// The schema of PostgreSQL that holds the state.
const SCHEMA: &str = "stakeout";
/// How long a lease holds: three beats. A replica that is gone for so long has lost its logs to the others.
const LEASE: Duration = Duration::from_secs(60);
const LEASE_SECONDS_MIN: u64 = 2;
const LEASE_SECONDS_MAX: u64 = 3_600;
/// The protocol's registered name (RFC 7301).
const PROTOCOL: &str = "postgresql";

/// Where the state is, and how much of the past it keeps.
#[derive(Clone, Debug)]
pub(crate) struct StateConfig {
    /// Where it is.
    pub(crate) place: StatePlace,
    /// For how many seconds a finding that is over is kept.
    pub(crate) retain_seconds: i64,
    /// Most bytes of the findings that are over.
    pub(crate) archive_bytes_max: u64,
}

/// Where the state is.
#[derive(Clone, Debug)]
pub(crate) enum StatePlace {
    /// In a directory, for one process.
    Directory(PathBuf),
    /// In PostgreSQL, for several replicas.
    Postgres(PostgresConfig),
}

/// Shows the place as a person finds it.
impl fmt::Display for StatePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StatePlace::Directory(path) => write!(f, "{}", path.display()),
            StatePlace::Postgres(postgres) => write!(f, "schema {} of PostgreSQL", postgres.schema),
        }
    }
}

/// The database that several replicas share.
#[derive(Clone, Debug)]
pub(crate) struct PostgresConfig {
    /// `None` if the verb does not need it.
    url: Option<SecretString>,
    schema: String,
    tls: TlsMode,
    /// How long a lease holds after each beat.
    pub(crate) lease: Duration,
}

/// How safe the way to the database must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TlsMode {
    Disable,
    Require,
    VerifyFull,
}

impl TlsMode {
    const ALL: [(&str, TlsMode); 3] =
        [("verify-full", TlsMode::VerifyFull), ("require", TlsMode::Require), ("disable", TlsMode::Disable)];
}

impl StateConfig {
    /// Returns whether the state of both is in the same place, and is reached in the same way.
    pub(crate) fn is_same_place(&self, other: &StateConfig) -> bool {
        match (&self.place, &other.place) {
            (StatePlace::Directory(one), StatePlace::Directory(other)) => one == other,
            (StatePlace::Postgres(one), StatePlace::Postgres(other)) => one.is_same(other),
            _ => false,
        }
    }

    /// Returns the directory, or `None` where the state is in PostgreSQL.
    pub(crate) fn directory(&self) -> Option<&Path> {
        match &self.place {
            StatePlace::Directory(path) => Some(path),
            StatePlace::Postgres(_) => None,
        }
    }

    /// Returns the database, or `None` where the state is in a directory.
    pub(crate) fn postgres(&self) -> Option<&PostgresConfig> {
        match &self.place {
            StatePlace::Directory(_) => None,
            StatePlace::Postgres(postgres) => Some(postgres),
        }
    }
}

impl PostgresConfig {
    /// Returns what the ledger needs to connect over `network`, or `None` where the URL could not be read.
    pub(crate) fn options(&self, network: &Network) -> Option<PostgresOptions> {
        let tls = match self.tls {
            TlsMode::Disable => PostgresTls::Disable,
            TlsMode::Require => PostgresTls::Require(Arc::new(unverified_tls(PROTOCOL))),
            TlsMode::VerifyFull => PostgresTls::VerifyFull(Arc::new(network.tls(PROTOCOL))),
        };
        // The section was read with the same URL, so it is one.
        PostgresOptions::new(self.url.as_ref()?, &self.schema, tls).ok()
    }

    fn is_same(&self, other: &PostgresConfig) -> bool {
        let url = |one: &PostgresConfig| one.url.as_ref().map(|url| url.expose_secret().to_owned());
        let rest = |one: &PostgresConfig| (one.schema.clone(), one.tls, one.lease);
        url(self) == url(other) && rest(self) == rest(other)
    }
}

impl Default for StateConfig {
    fn default() -> StateConfig {
        StateConfig {
            place: StatePlace::Directory(PATH.into()),
            retain_seconds: RETAIN_SECONDS,
            archive_bytes_max: ARCHIVE_BYTES_MAX,
        }
    }
}

/// Reads the section.
pub(super) fn read(top: &Map<'_>, reader: &mut SectionReader<'_>) -> Result<StateConfig, Diagnostic> {
    let mut state = StateConfig::default();
    let Some(at) = top.get("state") else {
        return Ok(state);
    };
    let map = keys(&at, &["path", "postgres", "retain", "archive_bytes_max"])?;
    if let Some(at) = map.get("postgres") {
        if let Some(path) = map.get("path") {
            return Err(path.error("both `path` and `postgres` are set", "keep one of the two: there is one state"));
        }
        state.place = StatePlace::Postgres(postgres(&at, reader)?);
    }
    if let Some(at) = map.get("path") {
        let path = match reader.variable(STATE_BASE) {
            Some(base) => section::path(&at, at.text()?, Path::new(&base))?,
            None => reader.path(&at)?,
        };
        state.place = StatePlace::Directory(path);
    }
    if let Some(at) = map.get("retain") {
        state.retain_seconds = duration::seconds(&at)?;
        if state.retain_seconds < RETAIN_SECONDS_MIN {
            return Err(
                at.error("findings that are over must stay for a day at least", "write 24h or more, such as 30d")
            );
        }
    }
    if let Some(at) = map.get("archive_bytes_max") {
        state.archive_bytes_max = bytes(&at)?;
    }
    Ok(state)
}

fn postgres(at: &At<'_>, reader: &mut SectionReader<'_>) -> Result<PostgresConfig, Diagnostic> {
    let map = keys(at, &["url", "url_file", "schema", "tls", "lease"])?;
    let tls = map.get("tls").map_or(Ok(TlsMode::VerifyFull), |at| {
        let text = at.text()?;
        let known = TlsMode::ALL.iter().find(|(name, _)| *name == text);
        known.map(|(_, mode)| *mode).ok_or_else(|| {
            at.error(format!("unknown mode `{text}`"), suggestion(text, &TlsMode::ALL.map(|(name, _)| name)))
        })
    })?;
    let schema = match map.get("schema") {
        Some(at) => at.text()?.to_owned(),
        None => SCHEMA.to_owned(),
    };
    let lease = map.get("lease").map_or(Ok(LEASE), |at| lease(&at))?;
    let secret = secret::need(&map, "url", "the URL of the database", reader)?;
    let postgres = PostgresConfig { url: secret.value, schema, tls, lease };
    if let Some(url) = &postgres.url {
        // Which authorities are trusted is not known here, and changes nothing of what is checked.
        let checked = match tls {
            TlsMode::Disable => PostgresTls::Disable,
            TlsMode::Require | TlsMode::VerifyFull => PostgresTls::Require(Arc::new(unverified_tls(PROTOCOL))),
        };
        PostgresOptions::new(url, &postgres.schema, checked).map_err(|(problem, fix)| {
            map.get("schema").filter(|_| problem.contains("schema")).unwrap_or(secret.at).error(problem, fix)
        })?;
    }
    Ok(postgres)
}

/// Returns how long a lease holds. It is the only duration in seconds.
fn lease(at: &At<'_>) -> Result<Duration, Diagnostic> {
    let text = at.text()?;
    let seconds = duration::parse(text).and_then(|seconds| u64::try_from(seconds).ok());
    let seconds = seconds.filter(|seconds| (LEASE_SECONDS_MIN..=LEASE_SECONDS_MAX).contains(seconds));
    seconds
        .map(Duration::from_secs)
        .ok_or_else(|| at.error(format!("`{text}` is not a length of a lease"), "write from 2s to 1h, such as 60s"))
}

fn bytes(at: &At<'_>) -> Result<u64, Diagnostic> {
    let text = at.text()?;
    let parsed = UNITS.iter().find_map(|(unit, bytes)| {
        let number: u64 = text.strip_suffix(unit)?.trim_end().parse().ok()?;
        number.checked_mul(*bytes)
    });
    let bytes = parsed.ok_or_else(|| {
        at.error(format!("`{text}` is not a size"), "write a whole number and MiB or GiB, such as 128MiB")
    })?;
    if bytes < ARCHIVE_MIB_LEAST * MIB {
        return Err(at.error(format!("`{text}` is too little"), format!("write at least {ARCHIVE_MIB_LEAST}MiB")));
    }
    Ok(bytes)
}
