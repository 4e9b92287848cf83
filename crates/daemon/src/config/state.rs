//! The section `state`: where the state is, and how much of the past it keeps.

use std::path::{Path, PathBuf};

use stakeout_core::diagnostic::Diagnostic;
use stakeout_core::yaml::{At, Map};

use super::duration;
use crate::section::{self, SectionReader, keys};

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

/// Where the state is, and how much of the past it keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StateConfig {
    /// The directory.
    pub(crate) path: PathBuf,
    /// For how many seconds a finding that is over is kept.
    pub(crate) retain_seconds: i64,
    /// Most bytes of the findings that are over.
    pub(crate) archive_bytes_max: u64,
}

impl Default for StateConfig {
    fn default() -> StateConfig {
        StateConfig { path: PATH.into(), retain_seconds: RETAIN_SECONDS, archive_bytes_max: ARCHIVE_BYTES_MAX }
    }
}

/// Reads the section.
pub(super) fn read(top: &Map<'_>, reader: &SectionReader<'_>) -> Result<StateConfig, Diagnostic> {
    let mut state = StateConfig::default();
    let Some(at) = top.get("state") else {
        return Ok(state);
    };
    let map = keys(&at, &["path", "retain", "archive_bytes_max"])?;
    if let Some(at) = map.get("path") {
        state.path = match reader.variable(STATE_BASE) {
            Some(base) => section::path(&at, at.text()?, Path::new(&base))?,
            None => reader.path(&at)?,
        };
        if state.path.parent().is_none() {
            return Err(at.error("the state would be the root of the file system", "name a directory of its own"));
        }
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
