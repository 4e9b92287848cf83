//! Compaction: the database is copied into a new file, because the engine's file never shrinks after a peak.
//!
//! It runs while no engine is open, under the lock of the directory. A kill at any moment leaves the old file, with or
//! without its snapshots, or the new one without: the old snapshots are removed before the new file takes the place of
//! the old one, and sled rebuilds them. The copy is made in `compact/`, which `leftovers` discards. This module does not
//! know what records mean, and decides nothing but whether copying is worth it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use super::database::{Database, catching};
use super::directory::{BLOBS, COMPACT, DB, Directory, SNAP, sync_path};
use super::leftovers::discard_copy;
use crate::error::{LedgerError, Result};
use crate::live_bytes::LiveBytes;

/// A smaller file is left alone: reading it takes moments, and its space is nobody's trouble. With what one run writes, it
/// stays below 64 million bytes.
pub(crate) const COMPACT_OVER_BYTES: u64 = 58 * 1024 * 1024;
/// A file of at most this many tenths of a byte for each byte of its records is left alone. A new copy has 18 for chunks of
/// 4,096 bytes, 19 for records of 400 and 23 to 26 for records of 60: with less, it would be copied again at each opening.
const COMPACT_OVER_TENTHS: u64 = 25;
/// Records that are written at once: the engine's memory follows the keys of a batch.
const BATCH_RECORDS: usize = 64;

/// What a compaction has achieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compaction {
    /// The bytes of the file before.
    pub bytes_before: u64,
    /// The bytes of the file that replaced it.
    pub bytes_after: u64,
}

/// The moments after which a test kills the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    BatchCopied,
    Copied,
    Verified,
    CopyDurable,
    SnapshotRemoved,
    SnapshotsGone,
    Renamed,
    RenameDurable,
    Done,
}

/// Copies the database into a smaller file if that is worth it, and returns what was achieved, or `None` if it was not
/// worth it or not possible.
///
/// Fails if the database cannot be opened, or if the files cannot be exchanged. If the copy cannot be made, as on a full
/// disk, that is only logged, and the old file stays.
pub(crate) fn compact(directory: &Directory) -> Result<Option<Compaction>> {
    compact_over(COMPACT_OVER_BYTES, directory, |_| {})
}

fn compact_over(over_bytes: u64, directory: &Directory, mut reached: impl FnMut(Step)) -> Result<Option<Compaction>> {
    let dir = directory.path();
    let bytes_before = match fs::metadata(dir.join(DB)) {
        Ok(db) if db.len() > over_bytes => db.len(),
        _ => return Ok(None),
    };
    discard_copy(dir)?;
    let database = Database::open_once(dir)?;
    let live = catching("measure the database", || live_bytes(&database))?.values().map(|kind| kind.bytes).sum::<u64>();
    if bytes_before <= live.saturating_mul(COMPACT_OVER_TENTHS) / 10 || !database.has_one_tree() {
        return Ok(None);
    }
    let copied = catching("compact the database", || copy(&database, dir, &mut reached));
    drop(database);
    if let Err(error) = copied {
        tracing::warn!(%error, bytes = bytes_before, live_bytes = live, "cannot compact the database; using it as it is");
        discard_copy(dir)?;
        return Ok(None);
    }
    let bytes_after = exchange(dir, &mut reached).map_err(|error| LedgerError::of_io("replace the database", error))?;
    reached(Step::Done);
    Ok(Some(Compaction { bytes_before, bytes_after }))
}

/// Returns the live bytes of each kind of records, by the first byte of their keys. Reads the whole database.
pub(crate) fn live_bytes(database: &Database) -> Result<BTreeMap<u8, LiveBytes>> {
    let mut kinds = BTreeMap::<u8, LiveBytes>::new();
    for record in database.records() {
        let (key, value) = record.map_err(cannot_read)?;
        let kind = kinds.entry(key.first().copied().unwrap_or_default()).or_default();
        kind.records += 1;
        kind.bytes += (key.len() + value.len()) as u64;
    }
    Ok(kinds)
}

/// Makes a complete and durable copy of the database in `dir`.
fn copy(database: &Database, dir: &Path, reached: &mut impl FnMut(Step)) -> Result<()> {
    let copy_dir = dir.join(COMPACT);
    let copy = Database::open_once(&copy_dir)?;
    let mut records = database.records().peekable();
    while records.peek().is_some() {
        let mut batch = sled::Batch::default();
        for record in records.by_ref().take(BATCH_RECORDS) {
            let (key, value) = record.map_err(cannot_read)?;
            batch.insert(key, value);
        }
        copy.buffer(batch)?;
        reached(Step::BatchCopied);
    }
    copy.apply(sled::Batch::default())?;
    drop(copy);
    reached(Step::Copied);
    // Opened again, it shows what the file holds and not what the memory does.
    let copy = Database::open_once(&copy_dir)?;
    verify(database, &copy)?;
    drop(copy);
    reached(Step::Verified);
    // The settings need no copy: sled has compared those of both with its own when it opened them.
    let blobs = sync_path(&copy_dir.join(DB))
        .and_then(|()| sync_path(&copy_dir))
        .and_then(|()| fs::read_dir(copy_dir.join(BLOBS)))
        .map_err(|error| LedgerError::of_io("fsync the copy of the database", error))?;
    if blobs.count() > 0 {
        return Err(LedgerError::damaged("a value is longer than a chunk"));
    }
    reached(Step::CopyDurable);
    Ok(())
}

/// Checks that both databases hold the same records.
fn verify(database: &Database, copy: &Database) -> Result<()> {
    let mut copied = copy.records();
    for record in database.records() {
        if copied.next().transpose().map_err(cannot_read)? != Some(record.map_err(cannot_read)?) {
            return Err(LedgerError::damaged("a record of the copy differs"));
        }
    }
    match copied.next() {
        None => Ok(()),
        Some(_) => Err(LedgerError::damaged("the copy has too many records")),
    }
}

/// Replaces the database in `dir` by its copy, and returns the bytes of the new file.
pub(super) fn exchange(dir: &Path, reached: &mut impl FnMut(Step)) -> io::Result<u64> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(SNAP) {
            fs::remove_file(entry.path())?;
            reached(Step::SnapshotRemoved);
        }
    }
    // A snapshot of the old file must not come back beside the new one.
    sync_path(dir)?;
    reached(Step::SnapshotsGone);
    let db = dir.join(DB);
    fs::rename(dir.join(COMPACT).join(DB), &db)?;
    reached(Step::Renamed);
    sync_path(dir)?;
    reached(Step::RenameDurable);
    fs::remove_dir_all(dir.join(COMPACT))?;
    Ok(fs::metadata(db)?.len())
}

fn cannot_read(error: sled::Error) -> LedgerError {
    LedgerError::of_engine("read the database", error)
}

#[cfg(test)]
mod tests;
