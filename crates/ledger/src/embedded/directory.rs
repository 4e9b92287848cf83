//! The state directory: its owner, its lock, and the durability of its entries.
//!
//! The engine knows what its files hold.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};

use crate::error::{LedgerError, Result};

/// The log of the engine: all data but oversized values.
pub(crate) const DB: &str = "db";
/// Where the engine puts oversized values; it stays empty.
pub(crate) const BLOBS: &str = "blobs";
/// The settings of the engine.
pub(crate) const CONF: &str = "conf";
/// The engine's summaries of the log begin with this.
pub(crate) const SNAP: &str = "snap.";
/// The findings that are over, in files of their own.
pub(crate) const ARCHIVE: &str = "archive";
/// Copies of what is stored.
pub(crate) const BACKUPS: &str = "backups";
/// A damaged database is kept in a directory that begins so.
pub(crate) const DAMAGED: &str = "damaged-";
/// Where compaction makes its copy of the database, and a restore the new one.
pub(crate) const COMPACT: &str = "compact";
/// The file that is locked while a ledger is open. It does not belong to the engine, so that repair and compaction can
/// hold it while they move the engine's files.
///
/// It holds the least number of durable writes, because the engine takes a truncated log for a complete one. The number
/// is written after each fsync and not synced itself: it may be too low, never too high.
const LOCK: &str = "lock";
/// The text before the number in it.
const WRITES: &str = "writes ";
/// The rights of the group and of all others.
const OF_OTHERS: u32 = 0o077;
/// What `mkfs.ext4` puts into every volume.
const LOST_AND_FOUND: &str = "lost+found";

/// A state directory, locked for this process.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    lock: File,
    /// The number in the lock file; `None` before the first write.
    writes: Option<u64>,
    was_emptied: bool,
}

impl Directory {
    /// Creates the directory if it is missing, refuses a foreign one, and locks it without waiting.
    pub(crate) fn hold(path: &Path) -> Result<Directory> {
        let (mut directory, writes) = Directory::lock(path)?;
        directory.writes = parse_writes(&writes)?;
        Ok(directory)
    }

    /// Locks a directory whose files may be damaged.
    pub(crate) fn hold_damaged(path: &Path) -> Result<Directory> {
        let (mut directory, writes) = Directory::lock(path)?;
        directory.writes = parse_writes(&writes).unwrap_or_default();
        Ok(directory)
    }

    /// Returns the locked directory, and the text of its lock.
    fn lock(path: &Path) -> Result<(Directory, String)> {
        // Only the owner: evidence names users and addresses.
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|error| LedgerError::of_io(format!("create the directory {}", path.display()), error))?;
        refuse_foreign(path)?;
        let lock = path.join(LOCK);
        // The lock is made before everything else.
        let is_there = |name: &str| path.join(name).exists();
        let was_emptied = !is_there(LOCK) && !is_there(DB) && (is_there(BLOBS) || is_there(ARCHIVE));
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&lock)
            .map_err(|error| LedgerError::of_io(format!("open {}", lock.display()), error))?;
        let action = || format!("lock {}", lock.display());
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LedgerError::Locked { dir: path.to_owned() });
            }
            Err(TryLockError::Error(error)) => return Err(LedgerError::of_io(action(), error)),
        }
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(|error| LedgerError::of_io(format!("read {}", lock.display()), error))?;
        let directory = Directory { path: path.to_owned(), lock: file, writes: None, was_emptied };
        Ok((directory, String::from_utf8_lossy(&text).into_owned()))
    }

    /// Returns the least number of durable writes, or `None` before the first.
    pub(crate) fn writes(&self) -> Option<u64> {
        self.writes
    }

    /// Returns whether files of an earlier ledger were removed: its empty directories are there, and neither its lock nor its
    /// log.
    pub(crate) fn was_emptied(&self) -> bool {
        self.was_emptied
    }

    /// Writes the number of durable writes anew: what the lock holds may be damaged.
    pub(crate) fn renew_writes(&self) -> io::Result<()> {
        self.lock.set_len(0)?;
        self.note_writes(self.writes.unwrap_or(0));
        self.lock.sync_all()
    }

    /// Records that `writes` writes are durable.
    ///
    /// Only logs a failure: the writes are durable whatever this file says.
    pub(crate) fn note_writes(&self, writes: u64) {
        // The length is constant, so that the line is overwritten in place, within one sector.
        let line = format!("{WRITES}{writes:020}\n");
        if let Err(error) = self.lock.write_all_at(line.as_bytes(), 0) {
            tracing::warn!(%error, "cannot record the number of durable writes");
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the rights of other users on the state away. The engine creates files that everybody may read, and somebody may
    /// have made the directory in that way too, as for a volume.
    ///
    /// Changes what this user owns: the owner of anything else decides about it.
    pub(crate) fn protect(&self) {
        if let Err(error) = protect(&self.path) {
            tracing::warn!(%error, "cannot take the rights of other users on the state away");
        }
    }

    /// Makes the files that the engine created or renamed while it opened survive a power cut.
    ///
    /// sled 0.34.7 fsyncs neither `conf` (`Config::write_config`) nor any directory: not after it created `db`,
    /// `conf` and `blobs`, and not after it renamed `snap.*.generating` (`write_snapshot`, whose file it does fsync).
    /// All of that happens while it opens and never later, so this runs once for each open.
    pub(crate) fn sync(&self) -> Result<()> {
        let path = &self.path;
        // A relative path of one part has the parent "".
        let parent = match path.parent() {
            Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
            Some(parent) => parent,
            None => path,
        };
        for entry in [&path.join(LOCK), &path.join(CONF), &path.join(DB), &path.join(BLOBS), path.as_path(), parent] {
            match sync_path(entry) {
                // A process that cannot read the parent has not just created the directory in it.
                Err(error) if entry == parent && error.kind() == io::ErrorKind::PermissionDenied => {}
                synced => synced.map_err(|error| LedgerError::of_io(format!("fsync {}", entry.display()), error))?,
            }
        }
        Ok(())
    }

    /// Returns how many oversized values the engine has put into files of their own.
    pub(crate) fn blobs(&self) -> Result<usize> {
        let blobs = self.path.join(BLOBS);
        fs::read_dir(&blobs)
            .map(Iterator::count)
            .map_err(|error| LedgerError::of_io(format!("list {}", blobs.display()), error))
    }
}

impl Drop for Directory {
    /// Gives the files back to their user, and unlocks explicitly: closing the file is not enough while a child process that was forked meanwhile still has it
    /// (flock(2)).
    fn drop(&mut self) {
        if let Err(error) = give_back(&self.path) {
            tracing::warn!(%error, "cannot give new files of the state to the owner of its directory");
        }
        if let Err(error) = self.lock.unlock() {
            tracing::warn!(%error, "cannot release the lock of the state directory");
        }
    }
}

/// Gives what is below `path` to the owner of `path`, if root worked in the state of another user: that user's daemon could
/// not open root's files.
fn give_back(path: &Path) -> io::Result<()> {
    let owner = match fs::metadata(path) {
        // The demo removes its directory while another thread still holds the state.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        owner => owner?,
    };
    let is_root = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    if is_root && owner.uid() != 0 { give_all_in(path, &owner) } else { Ok(()) }
}

fn give_all_in(directory: &Path, owner: &Metadata) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        match give(&entry?.path(), owner) {
            // The engine replaces its summaries meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            given => given?,
        }
    }
    Ok(())
}

fn give(path: &Path, owner: &Metadata) -> io::Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    if metadata.uid() != owner.uid() {
        lchown(path, Some(owner.uid()), Some(owner.gid()))?;
    }
    if metadata.is_dir() { give_all_in(path, owner) } else { Ok(()) }
}

/// Takes the rights of other users on a file, or a directory and all in it, away.
fn protect(path: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    if !metadata.is_dir() && !metadata.is_file() {
        return Ok(());
    }
    let mode = metadata.permissions().mode();
    if mode & OF_OTHERS != 0 {
        match fs::set_permissions(path, Permissions::from_mode(mode & 0o7777 & !OF_OTHERS)) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            set => set?,
        }
    }
    if metadata.is_dir() {
        let entries = match fs::read_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            match protect(&entry?.path()) {
                // The engine replaces its summaries meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                protected => protected?,
            }
        }
    }
    Ok(())
}

fn parse_writes(text: &str) -> Result<Option<u64>> {
    if text.is_empty() {
        return Ok(None);
    }
    text.strip_prefix(WRITES)
        .and_then(|number| number.trim_end().parse().ok())
        .map(Some)
        .ok_or_else(|| LedgerError::damaged(format!("the file {LOCK} does not hold the number of durable writes")))
}

pub(crate) fn sync_path(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Refuses a directory with foreign files and without a database.
///
/// A process that was killed while it created the state may leave any of the engine's files behind, so all of them are
/// accepted. Beside a complete database any file is accepted: an operator's note, an export.
fn refuse_foreign(path: &Path) -> Result<()> {
    if path.join(DB).is_file() && path.join(CONF).is_file() {
        return Ok(());
    }
    let cannot_list = |error| LedgerError::of_io(format!("list the directory {}", path.display()), error);
    for entry in fs::read_dir(path).map_err(cannot_list)? {
        let name = entry.map_err(cannot_list)?.file_name();
        let name = name.to_string_lossy();
        let is_ours = [DB, CONF, BLOBS, ARCHIVE, BACKUPS, COMPACT, LOCK, LOST_AND_FOUND].contains(&name.as_ref())
            || name.starts_with(SNAP)
            || name.starts_with(DAMAGED);
        if !is_ours {
            return Err(LedgerError::Foreign { dir: path.to_owned(), found: name.into_owned() });
        }
    }
    Ok(())
}
