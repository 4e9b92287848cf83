//! The wrapper around sled 0.34.7: its settings, its panics, and the one way in which a batch becomes durable.
//!
//! This module does not know what keys and values mean.

use std::fs::{File, TryLockError};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::directory::DB;
use crate::error::{LedgerError, Result};

/// How often sled's own thread wakes, in milliseconds. It writes out buffers, which does not replace our fsync, and half of
/// its time it cleans segments of the file. A daemon is open for hours and should let the disk sleep; a process that
/// is open for a second must clean in that second, or the file takes four times what it holds after a day.
const FLUSH_EVERY_MS_LONG: u64 = 500;
const FLUSH_EVERY_MS_BRIEF: u64 = 40;
/// How long a flush may take until another one looks after it; the next one waits twice as long. A disk takes milliseconds.
const FLUSH_SLOW: Duration = Duration::from_millis(500);
/// How long a closing database may hold its lock, in milliseconds. Ten were never observed.
const CLOSING_MS_MAX: u32 = 1000;
/// Bytes of the log that sled may cache in memory; they take two to three times as much there.
const CACHE_BYTES: u64 = 8 * 1024 * 1024;
/// The same for a database that is read or written once from begin to end.
const CACHE_BYTES_ONCE: u64 = 1024 * 1024;

/// How long a process keeps the state open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stay {
    /// For seconds, as `stakeout once` does.
    Brief,
    /// For hours, as the daemon does.
    Long,
}

/// An open database.
#[derive(Debug)]
pub(crate) struct Database {
    // Dropped in this order: the log waits until sled has closed the database.
    db: sled::Db,
    log: Log,
}

/// Our own descriptor of sled's log. It stays open because Linux reports a failed write-back once to each descriptor
/// that was open then; a descriptor that is opened for the fsync may miss it (fsync(2)).
#[derive(Debug)]
struct Log(File);

impl Database {
    /// Opens the database in `dir`, or creates one.
    pub(crate) fn open(dir: &Path, stay: Stay) -> Result<Database> {
        Database::open_with(dir, stay, CACHE_BYTES)
    }

    /// Opens the database in `dir`, or creates one, to read or write it once from begin to end.
    pub(crate) fn open_once(dir: &Path) -> Result<Database> {
        Database::open_with(dir, Stay::Brief, CACHE_BYTES_ONCE)
    }

    fn open_with(dir: &Path, stay: Stay, cache_bytes: u64) -> Result<Database> {
        // sled reports a held lock only in the text of an error.
        if let Ok(log) = File::open(dir.join(DB))
            && !is_free(&log)
        {
            return Err(LedgerError::Locked { dir: dir.to_owned() });
        }
        let flush_every_ms = match stay {
            Stay::Brief => FLUSH_EVERY_MS_BRIEF,
            Stay::Long => FLUSH_EVERY_MS_LONG,
        };
        let settings = sled::Config::new()
            .path(dir)
            .flush_every_ms(Some(flush_every_ms))
            .cache_capacity(cache_bytes)
            .use_compression(false);
        // This does panic: "tried to serialize Uninitialized" on a log that a power cut truncated.
        let db = catching("open the database", || {
            settings.open().map_err(|error| LedgerError::of_engine("open the database", error))
        })?;
        let log =
            File::open(dir.join(DB)).map_err(|error| LedgerError::of_io("open the log of the database", error))?;
        Ok(Database { db, log: Log(log) })
    }

    /// Returns whether nothing was ever stored.
    pub(crate) fn is_empty(&self) -> bool {
        self.db.is_empty() && self.has_one_tree()
    }

    /// Returns whether all records are in the default tree, as those of a ledger are.
    pub(crate) fn has_one_tree(&self) -> bool {
        self.db.tree_names().len() == 1
    }

    /// Returns all records, ascending.
    pub(crate) fn records(&self) -> sled::Iter {
        self.db.iter()
    }

    /// Returns the records with keys in `keys`, ascending. The range must not be backwards.
    pub(crate) fn range(&self, keys: Range<Vec<u8>>) -> sled::Iter {
        self.db.range(keys)
    }

    /// Writes a batch atomically, and returns when it is on the disk.
    ///
    /// `flush` hands the log to the kernel and, on Linux, starts the write-back with `sync_file_range`
    /// (`IoBufs::write_to_log`), which flushes neither the size of the file nor the disk's cache; the fsync after it
    /// does. Only the log needs syncing: `snap.*` is written only while sled opens, and nothing is in `blobs`
    /// because no value is larger than a chunk.
    pub(crate) fn apply(&self, batch: sled::Batch) -> Result<()> {
        catching("write to the database", || {
            self.db.apply_batch(batch).map_err(|error| LedgerError::of_engine("write to the database", error))?;
            flush(&self.db)?;
            self.log.0.sync_all().map_err(|error| LedgerError::of_io("fsync the log of the database", error))
        })
    }

    /// Writes a batch that becomes durable with the next one that is applied.
    pub(crate) fn buffer(&self, batch: sled::Batch) -> Result<()> {
        catching("write to the database", || {
            self.db.apply_batch(batch).map_err(|error| LedgerError::of_engine("write to the database", error))
        })
    }

    /// Returns the bytes that the database takes on the disk.
    pub(crate) fn size_on_disk(&self) -> Result<u64> {
        self.db.size_on_disk().map_err(|error| LedgerError::of_engine("measure the database", error))
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // Every write was durable when it returned, so a failure loses nothing.
        if let Err(error) = flush(&self.db) {
            tracing::warn!(%error, "the database did not close cleanly");
        }
    }
}

impl Drop for Log {
    /// Waits until sled has released its lock. A thread of its pool may hold the file for a moment after the database
    /// is closed, and reopening the ledger at once would fail.
    #[expect(clippy::disallowed_methods, reason = "sled has no call that waits for its threads")]
    fn drop(&mut self) {
        for _ in 0..CLOSING_MS_MAX {
            if is_free(&self.0) {
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
        tracing::warn!("the database still holds its lock");
    }
}

/// Returns whether the lock of `log` is free. It is acquired and released explicitly, because a child process that is
/// forked meanwhile would keep it (flock(2)).
fn is_free(log: &File) -> bool {
    match log.try_lock() {
        Err(TryLockError::WouldBlock) => false,
        Ok(()) => log.unlock().is_ok(),
        // This file system has no locks: sled reports the error.
        Err(TryLockError::Error(_)) => true,
    }
}

/// Hands all that is buffered to the kernel.
///
/// sled 0.34.7 wakes nobody when the write of a buffer fails that its last writer hands over (`Log::exit_reservation`), and each
/// batch begins with one (`PageCache::pin_log`): who waits for that buffer waits for ever. A flush that begins after the failure
/// sees it, and wakes all.
fn flush(db: &sled::Db) -> Result<()> {
    let (sender, flushed) = mpsc::channel();
    let mut wait = FLUSH_SLOW;
    loop {
        let (db, sender) = (db.clone(), sender.clone());
        thread::spawn(move || {
            let outcome = catching("flush the database", || {
                db.flush().map_err(|error| LedgerError::of_engine("flush the database", error))
            });
            // Before the answer, so that the caller may have the last handle.
            drop(db);
            drop(sender.send(outcome.map(drop)));
        });
        match flushed.recv_timeout(wait) {
            Ok(outcome) => return outcome,
            Err(_) => wait *= 2,
        }
    }
}

/// Runs `f`, and turns a panic of sled into an error.
pub(crate) fn catching<T>(action: &str, f: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|panic| {
        let message = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no message");
        Err(LedgerError::damaged(format!("cannot {action}: the engine panicked: {message}")))
    })
}
