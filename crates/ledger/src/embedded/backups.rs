//! Copies of the values in a state directory, beside the database: how many there are, and what they are called.
//!
//! What a copy holds, the ledger knows. The archive is not in it: its files are append-only and have checksums of their own,
//! and a copy names the position up to which they are valid.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use stakeout_core::time::Second;

use super::directory::{BACKUPS, sync_path};
use crate::error::{LedgerError, Result};

/// How many are kept: damage may be noticed after it was copied.
const KEPT: usize = 3;
/// The end of a name; the time of the copy, in seconds since 1970, is before it.
const SUFFIX: &str = ".state";
const UNFINISHED: &str = "unfinished";

/// A copy: when it was made, and its file.
pub(crate) type Backup = (Second, PathBuf);

/// Returns the copies in the state directory `dir`, the newest first.
pub(crate) fn list(dir: &Path) -> Result<Vec<Backup>> {
    let backups = dir.join(BACKUPS);
    let entries = match fs::read_dir(&backups) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|error| cannot("list", &backups, error))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| cannot("list", &backups, error))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(at) = name.strip_suffix(SUFFIX).and_then(|at| at.parse().ok()) {
            found.push((Second(at), path));
        }
    }
    found.sort_unstable_by(|one, other| other.cmp(one));
    Ok(found)
}

/// Adds the copy that `write` writes, when it is whole and on the disk, and removes the oldest ones. Returns its bytes.
pub(crate) fn add(dir: &Path, at: Second, write: impl FnOnce(&mut File) -> Result<()>) -> Result<u64> {
    let backups = dir.join(BACKUPS);
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&backups);
    made.map_err(|error| cannot("create", &backups, error))?;
    let unfinished = backups.join(UNFINISHED);
    let options = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).clone();
    let mut file = options.open(&unfinished).map_err(|error| cannot("create", &unfinished, error))?;
    write(&mut file)?;
    let path = backups.join(format!("{:012}{SUFFIX}", at.0));
    let bytes = file
        .sync_all()
        .and_then(|()| fs::rename(&unfinished, &path))
        .and_then(|()| sync_path(&backups))
        .and_then(|()| Ok(file.metadata()?.len()))
        .map_err(|error| cannot("write", &path, error))?;
    for (_, old) in list(dir)?.into_iter().skip(KEPT) {
        fs::remove_file(&old).map_err(|error| cannot("remove", &old, error))?;
    }
    Ok(bytes)
}

fn cannot(action: &str, path: &Path, error: io::Error) -> LedgerError {
    LedgerError::of_io(format!("{action} {}", path.display()), error)
}
