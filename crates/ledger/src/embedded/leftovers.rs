//! Removes incomplete files of the engine before it opens, which a full disk or a kill leaves behind, and damaged snapshots.
//!
//! sled 0.34.7 writes two files beside its log, and does not open if they are incomplete or damaged. It can rebuild both from
//! a whole log, so removing them loses nothing. So does removing the copy of a compaction that did not finish. This
//! module never touches the log itself.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use flate2::Crc;

use super::directory::{COMPACT, CONF, SNAP};
use crate::error::{LedgerError, Result};

/// The suffix of an incomplete snapshot of the log; sled's `write_snapshot` renames a complete one. sled takes such a
/// file for the newest snapshot, and refuses to open.
const UNFINISHED: &str = ".generating";
/// The settings that sled writes for this way of opening; a checksum follows.
const SETTINGS: &[u8] = b"segment_size: 524288\nuse_compression: false\nversion: 0.34\n";
/// The length of a checksum.
const CHECKSUM_BYTES: usize = 4;
/// The length of the length of a snapshot.
const LENGTH_BYTES: usize = 8;

/// Removes the engine's incomplete files in `dir`, which sled rebuilds when it opens, and an unfinished copy.
///
/// Fails if the directory cannot be read or changed.
pub(crate) fn discard(dir: &Path) -> Result<()> {
    discard_copy(dir)?;
    let cannot_list = |error| LedgerError::of_io(format!("list the directory {}", dir.display()), error);
    for entry in fs::read_dir(dir).map_err(cannot_list)? {
        let entry = entry.map_err(cannot_list)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(SNAP) && (name.ends_with(UNFINISHED) || is_damaged(&entry.path())?) {
            remove(&entry.path())?;
        }
    }
    let conf = dir.join(CONF);
    match fs::read(&conf) {
        Ok(settings) if is_half_written(&settings) => remove(&conf),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(LedgerError::of_io(format!("read {}", conf.display()), error)),
    }
}

/// Removes what a compaction of the database in `dir` left behind.
pub(crate) fn discard_copy(dir: &Path) -> Result<()> {
    let copy = dir.join(COMPACT);
    let removed = match fs::symlink_metadata(&copy) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(&copy),
        Ok(_) => fs::remove_file(&copy),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    };
    removed.map_err(|error| LedgerError::of_io(format!("remove {}", copy.display()), error))
}

fn remove(path: &Path) -> Result<()> {
    tracing::warn!(file = %path.display(), "removing a damaged file of the database, which the engine rebuilds");
    let removed: io::Result<()> = fs::remove_file(path);
    removed.map_err(|error| LedgerError::of_io(format!("remove {}", path.display()), error))
}

/// Returns whether a snapshot does not have the checksum at its end, after its length (sled's `read_snapshot`).
fn is_damaged(snapshot: &Path) -> Result<bool> {
    let bytes =
        fs::read(snapshot).map_err(|error| LedgerError::of_io(format!("read {}", snapshot.display()), error))?;
    let Some((bytes, checksum)) = bytes.split_last_chunk::<CHECKSUM_BYTES>() else { return Ok(true) };
    let Some((bytes, _)) = bytes.split_last_chunk::<LENGTH_BYTES>() else { return Ok(true) };
    let mut actual = Crc::new();
    actual.update(bytes);
    Ok(actual.sum() != u32::from_le_bytes(*checksum))
}

/// Returns whether these are our settings, truncated or with zeros at the end, as after a kill, a full disk or a power
/// cut. sled reports errors in other settings.
fn is_half_written(settings: &[u8]) -> bool {
    let written = settings.len() - settings.iter().rev().take_while(|byte| **byte == 0).count();
    let text = written.min(SETTINGS.len());
    settings[..text] == SETTINGS[..text] && written < SETTINGS.len() + CHECKSUM_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_still_writes_these_settings() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        drop(
            crate::embedded::database::Database::open(dir.path(), crate::embedded::Stay::Brief)
                .expect("a new database"),
        );
        let settings = fs::read(dir.path().join(CONF)).expect("settings");
        assert_eq!(settings.strip_prefix(SETTINGS).map(<[u8]>::len), Some(CHECKSUM_BYTES));
        assert!(!is_half_written(&settings));
    }
}
