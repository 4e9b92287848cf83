//! The embedded engine: values by key in a directory that one process holds, on top of sled.
//!
//! `directory` locks, `leftovers` puts right what a kill left behind, `database` opens sled and syncs, `chunk` cuts values
//! into pieces that sled can keep, `compaction` shrinks its file, and `archive` keeps findings in files of their own. No
//! other module names sled. What values mean is not known here.

mod directory;
mod leftovers;
mod database;
mod archive;
mod compaction;
mod chunk;
pub(crate) mod backups;
mod replacement;

use std::collections::BTreeMap;
use std::path::Path;

use stakeout_core::text::counted;

pub(crate) use archive::{Archive, ArchiveOrder, ArchivePosition, ArchiveReader, Findings};
pub(crate) use compaction::COMPACT_OVER_BYTES;
pub use compaction::Compaction;
pub use database::Stay;
pub(crate) use database::catching;
pub(crate) use replacement::{Held, damaged_since};

use self::chunk::{ChunkWriter, ValueReader};
use self::database::Database;
use self::directory::{DB, Directory};
use crate::batch::Batch;
use crate::error::{LedgerError, Result};
use crate::key::{Key, KeyRange};
use crate::live_bytes::LiveBytes;

/// An open state directory.
#[derive(Debug)]
pub(crate) struct Embedded {
    // Dropped in this order: the directory is free when the database is done with it.
    database: Database,
    directory: Directory,
}

impl Embedded {
    /// Opens the state in `dir`. Creates a missing directory, which only its owner can read, with a new database.
    ///
    /// Fails at once if another process holds the state. Leaves a directory with foreign files alone.
    pub(crate) fn open(dir: &Path, stay: Stay) -> Result<Embedded> {
        let directory = Directory::hold(dir)?;
        leftovers::discard(directory.path())?;
        let database = Database::open(directory.path(), stay)?;
        directory.protect();
        Ok(Embedded { database, directory })
    }

    /// Returns the directory.
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Returns whether no ledger has begun here.
    ///
    /// A process that was killed before its first batch was durable leaves an empty database. A database with records and
    /// without a format is foreign. Neither is possible once a ledger has begun.
    pub(crate) fn is_new(&self) -> Result<bool> {
        if self.database.range(Key::Format.chunks_from(0)).next().is_some() {
            return Ok(false);
        }
        if self.directory.writes().is_some() {
            return Err(LedgerError::damaged("the database has lost its first records"));
        }
        if self.database.is_empty() {
            return match backups::list(self.directory.path())?.is_empty() {
                true => Ok(true),
                false => Err(LedgerError::damaged("its files are gone, and there are copies of it")),
            };
        }
        let (dir, found) = (self.directory.path().to_owned(), "a database without a format".to_owned());
        Err(LedgerError::Foreign { dir, found })
    }

    /// Returns whether the directory held another database before, whose files are gone.
    pub(crate) fn was_emptied(&self) -> bool {
        self.directory.was_emptied()
    }

    /// Checks that the database has all `writes` that were durable, and makes the files survive a power cut: a write is
    /// acknowledged only after the files themselves would.
    pub(crate) fn begin(&self, writes: u64) -> Result<()> {
        if let Some(durable) = self.directory.writes().filter(|durable| *durable > writes) {
            return Err(LedgerError::damaged(format!(
                "the database holds {}, but at least {durable} were durable",
                counted(writes, "write")
            )));
        }
        self.directory.note_writes(writes);
        self.directory.sync()
    }

    /// Opens the archive beside the database up to `position`.
    pub(crate) fn archive(&self, position: ArchivePosition) -> Result<Archive> {
        Archive::open(self.directory.path(), position)
    }

    /// Returns the value of `key`.
    pub(crate) fn get(&self, key: Key) -> Result<Option<Vec<u8>>> {
        let mut reader = ValueReader::new(self.database.range(key.chunks_from(0)));
        reader.next_value()?.map(|value| value.into_bytes()).transpose()
    }

    /// Returns the keys in `range`, ascending.
    pub(crate) fn keys(&self, range: KeyRange) -> impl Iterator<Item = Result<Key>> + use<> {
        self.database.range(range.chunks()).keys().filter_map(|stored| {
            let parsed =
                stored.map_err(|error| LedgerError::of_engine("read the database", error)).and_then(|stored| {
                    Key::parse(&stored).ok_or_else(|| LedgerError::damaged(format!("{stored:?} is no key of a ledger")))
                });
            parsed.map(|(key, chunk)| (chunk == 0).then_some(key)).transpose()
        })
    }

    /// Returns the keys in `range` with their values, ascending.
    pub(crate) fn values(&self, range: KeyRange) -> impl Iterator<Item = Result<(Key, Vec<u8>)>> + use<> {
        let mut reader = ValueReader::new(self.database.range(range.chunks()));
        std::iter::from_fn(move || {
            let value = reader.next_value().transpose()?;
            Some(value.and_then(|value| Ok((value.key(), value.into_bytes()?))))
        })
    }

    /// Writes a batch, the number `writes` of the ledger, atomically, and returns when it is on the disk.
    pub(crate) fn apply(&self, mut batch: Batch, writes: u64) -> Result<()> {
        let mut records = sled::Batch::default();
        while let Some((key, value)) = batch.pop() {
            let chunks = match value {
                Some(value) if key.has_value() => {
                    let mut chunks = ChunkWriter::new(&mut records, key);
                    chunks.write(&value)?;
                    chunks.finish()?
                }
                Some(_) => {
                    records.insert(key.chunk(0), Vec::new());
                    continue;
                }
                None => 0,
            };
            self.remove_from(&mut records, key, chunks)?;
        }
        self.database.apply(records)?;
        self.directory.note_writes(writes);
        Ok(())
    }

    /// Removes the stored chunks of `key` from number `chunks` on, which a longer value left behind.
    fn remove_from(&self, records: &mut sled::Batch, key: Key, chunks: usize) -> Result<()> {
        let Ok(from) = u16::try_from(chunks) else { return Ok(()) };
        for stale in self.database.range(key.chunks_from(from)).keys() {
            records.remove(stale.map_err(|error| LedgerError::of_engine("read the database", error))?);
        }
        Ok(())
    }

    /// Returns how many records there are of each kind, by the first byte of their keys, and their bytes. Reads all of it.
    pub(crate) fn live_bytes(&self) -> Result<BTreeMap<u8, LiveBytes>> {
        compaction::live_bytes(&self.database)
    }

    /// Returns how many values sled has put into files of their own, which it does not fsync. It must stay 0.
    pub(crate) fn blobs(&self) -> Result<usize> {
        self.directory.blobs()
    }

    /// Returns the bytes that the database takes on the disk.
    pub(crate) fn size_on_disk(&self) -> Result<u64> {
        self.database.size_on_disk()
    }
}

/// Returns whether there is a database in `dir`.
pub(crate) fn has_database(dir: &Path) -> bool {
    dir.join(DB).exists()
}

/// Compacts the database in `dir`, which nobody may have open, where its file is large and much larger than what it holds.
/// Returns `None` where it is not, or where there is no room for a copy.
pub(crate) fn compact(dir: &Path) -> Result<Option<Compaction>> {
    // Holding a directory makes its lock, which must not hide that the rest is gone.
    if !dir.join(DB).exists() {
        return Ok(None);
    }
    let directory = Directory::hold(dir)?;
    leftovers::discard(directory.path())?;
    compaction::compact(&directory)
}
