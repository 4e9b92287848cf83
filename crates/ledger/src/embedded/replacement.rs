//! A state directory whose database gives way to a copy, and where the damaged one is kept.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use stakeout_core::time::Second;

use super::compaction::exchange;
use super::directory::{COMPACT, CONF, DAMAGED, DB, Directory, sync_path};
use super::leftovers;
use crate::error::{LedgerError, Result};

/// In the name of what is kept, in place of its time.
const INTERRUPTED: &str = "interrupted";

/// A state directory that this process holds without opening its database.
pub(crate) struct Held(Directory);

impl Held {
    /// Locks the directory. Fails where another process has it.
    pub(crate) fn of(dir: &Path) -> Result<Held> {
        Directory::hold_damaged(dir).map(Held)
    }

    /// Returns how many writes were durable, as far as is known.
    pub(crate) fn writes(&self) -> u64 {
        self.0.writes().unwrap_or(0)
    }

    /// Returns where the copy is to be made.
    pub(crate) fn begin_copy(&self) -> Result<PathBuf> {
        leftovers::discard_copy(self.0.path())?;
        Ok(self.0.path().join(COMPACT))
    }

    /// Puts the copy in the place of the database, which is kept as damaged since `now`, the only one that is kept.
    pub(crate) fn exchange(&self, now: Second) -> Result<()> {
        let dir = self.0.path();
        // It gets its time when all is done: what was interrupted is begun again.
        let kept = dir.join(format!("{DAMAGED}{INTERRUPTED}"));
        let exchanged = forget_damaged(dir)
            .and_then(|()| fs::create_dir(&kept))
            .and_then(|()| keep(dir, &kept))
            // The damage may be in the settings.
            .and_then(|()| fs::rename(dir.join(COMPACT).join(CONF), dir.join(CONF)))
            .and_then(|()| sync_path(dir))
            .and_then(|()| exchange(dir, &mut |_| {}))
            // Not before: until then, the number says that the database is not whole.
            .and_then(|_| self.0.renew_writes())
            .and_then(|()| fs::rename(&kept, dir.join(format!("{DAMAGED}{:012}", now.0))))
            .and_then(|()| sync_path(dir));
        exchanged.map_err(|error| LedgerError::of_io("replace the damaged database", error))
    }
}

/// Returns since when a damaged database is kept in the state directory `dir`.
pub(crate) fn damaged_since(dir: &Path) -> Result<Option<Second>> {
    let listed = kept_in(dir).map_err(|error| LedgerError::of_io(format!("list {}", dir.display()), error))?;
    Ok(listed.into_iter().filter_map(|(at, _)| at).max())
}

fn kept_in(dir: &Path) -> io::Result<Vec<(Option<Second>, PathBuf)>> {
    let mut kept = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if let Some(at) = entry.file_name().to_str().and_then(|name| name.strip_prefix(DAMAGED)) {
            kept.push((at.parse().ok().map(Second), entry.path()));
        }
    }
    Ok(kept)
}

fn forget_damaged(dir: &Path) -> io::Result<()> {
    kept_in(dir)?.into_iter().try_for_each(|(_, path)| fs::remove_dir_all(path))
}

/// Links the database into `kept`: the file itself stays in its place until the copy replaces it.
fn keep(dir: &Path, kept: &Path) -> io::Result<()> {
    match fs::hard_link(dir.join(DB), kept.join(DB)) {
        // Its file may be what is lost.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        linked => linked,
    }
}
