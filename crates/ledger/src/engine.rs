//! What keeps the values of a ledger: the one place that knows which engines there are. It does not know what values mean.

use std::collections::BTreeMap;
use std::iter;
use std::path::{Path, PathBuf};

use crate::batch::Batch;
use crate::embedded::{self, Compaction, Embedded, Stay};
use crate::error::Result;
use crate::key::{Key, KeyRange};
use crate::live_bytes::LiveBytes;

/// Where a ledger is stored.
#[derive(Clone, Debug)]
pub enum Location {
    /// In a directory, which one process holds at a time.
    Directory(PathBuf),
}

impl From<&PathBuf> for Location {
    fn from(dir: &PathBuf) -> Location {
        Location::Directory(dir.clone())
    }
}

impl From<&Path> for Location {
    fn from(dir: &Path) -> Location {
        Location::Directory(dir.to_owned())
    }
}

/// An open store of values by key. Keys have an order, and a batch is written as a whole or not at all.
#[derive(Debug)]
pub(crate) enum Engine {
    Embedded(Embedded),
}

impl Engine {
    /// Opens what is stored at `location`, or begins it.
    pub(crate) fn open(location: &Location, stay: Stay) -> Result<Engine> {
        match location {
            Location::Directory(dir) => Embedded::open(dir, stay).map(Engine::Embedded),
        }
    }

    /// Returns whether no ledger has begun here. Fails where something else is stored.
    pub(crate) fn is_new(&self) -> Result<bool> {
        match self {
            Engine::Embedded(embedded) => embedded.is_new(),
        }
    }

    /// Returns whether another ledger was here before, which somebody removed.
    pub(crate) fn was_emptied(&self) -> bool {
        match self {
            Engine::Embedded(embedded) => embedded.was_emptied(),
        }
    }

    /// Begins to work on a ledger that holds so many writes. Fails where some were lost.
    pub(crate) fn begin(&self, writes: u64) -> Result<()> {
        match self {
            Engine::Embedded(embedded) => embedded.begin(writes),
        }
    }

    /// Returns the value of `key`.
    pub(crate) fn get(&self, key: Key) -> Result<Option<Vec<u8>>> {
        match self {
            Engine::Embedded(embedded) => embedded.get(key),
        }
    }

    /// Returns the values of `keys` of one kind, in their order, in as few questions as the engine needs.
    pub(crate) fn get_all(
        &self,
        keys: impl IntoIterator<Item = Result<Key>>,
    ) -> impl Iterator<Item = Result<(Key, Option<Vec<u8>>)>> {
        let mut keys = keys.into_iter();
        iter::from_fn(move || match self {
            Engine::Embedded(embedded) => {
                let key = keys.next()?;
                Some(key.and_then(|key| Ok((key, embedded.get(key)?))))
            }
        })
    }

    /// Returns the keys in `ranges` of one kind, range by range, ascending.
    pub(crate) fn keys(&self, ranges: impl IntoIterator<Item = KeyRange>) -> impl Iterator<Item = Result<Key>> {
        match self {
            Engine::Embedded(embedded) => ranges.into_iter().flat_map(|range| embedded.keys(range)),
        }
    }

    /// Returns the keys in `range` with their values, ascending.
    pub(crate) fn values(&self, range: KeyRange) -> impl Iterator<Item = Result<(Key, Vec<u8>)>> {
        match self {
            Engine::Embedded(embedded) => embedded.values(range),
        }
    }

    /// Writes a batch, the number `writes` of the ledger, and returns when it is durable.
    pub(crate) fn apply(&self, batch: Batch, writes: u64) -> Result<()> {
        match self {
            Engine::Embedded(embedded) => embedded.apply(batch, writes),
        }
    }

    /// Returns how many records there are of each kind, by the letter of the kind, and their bytes. Reads all of it.
    pub(crate) fn live_bytes(&self) -> Result<BTreeMap<u8, LiveBytes>> {
        match self {
            Engine::Embedded(embedded) => embedded.live_bytes(),
        }
    }

    /// Returns how many values are stored in a way that does not survive a power cut. It must stay 0.
    pub(crate) fn blobs(&self) -> Result<usize> {
        match self {
            Engine::Embedded(embedded) => embedded.blobs(),
        }
    }

    /// Returns the bytes that all of it takes.
    pub(crate) fn size_on_disk(&self) -> Result<u64> {
        match self {
            Engine::Embedded(embedded) => embedded.size_on_disk(),
        }
    }
}

/// Gives back the space that a store at `location` does not need any more, where that is worth it. Nobody may have it open.
pub(crate) fn compact(location: &Location) -> Result<Option<Compaction>> {
    match location {
        Location::Directory(dir) => embedded::compact(dir),
    }
}
