//! What keeps the values of a ledger: the one place that knows which engines there are. It does not know what values mean.

use std::collections::{BTreeMap, VecDeque};
use std::iter;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use stakeout_core::lease::Lease;

use crate::batch::Batch;
use crate::embedded::{self, Embedded};
use crate::error::Result;
use crate::key::{Key, KeyRange};
use crate::leases;
use crate::live_bytes::LiveBytes;
use crate::postgres::{PostgresOptions, Store};

pub(crate) use crate::embedded::{COMPACT_OVER_BYTES, catching};
pub use crate::embedded::{Compaction, Stay};
pub(crate) use crate::postgres::TurnKind;

/// Where a ledger is stored.
#[derive(Clone, Debug)]
pub enum Location {
    /// In a directory, which one process holds at a time.
    Directory(PathBuf),
    /// In PostgreSQL, which several processes share.
    Postgres(PostgresOptions),
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
    /// Only this process writes, so it has the turn always.
    Embedded(Embedded),
    /// Others write too: what is read belongs together only within a turn.
    Postgres(Arc<Store>),
}

/// Keys or ranges that are asked for at once where each question is a round trip.
const ASKED_AT_ONCE: usize = 512;

impl Engine {
    /// Opens what is stored at `location`, or begins it.
    pub(crate) fn open(location: &Location, stay: Stay) -> Result<Engine> {
        match location {
            Location::Directory(dir) => Embedded::open(dir, stay).map(Engine::Embedded),
            Location::Postgres(options) => Ok(Engine::Postgres(Arc::new(Store::open(options, &[leases::TABLES])?))),
        }
    }

    /// Returns whether this thread reads one state, and, in a turn alone, whether nobody else can write.
    pub(crate) fn has_turn(&self) -> bool {
        match self {
            Engine::Embedded(_) => true,
            Engine::Postgres(store) => store.has_turn(),
        }
    }

    /// Begins a turn of this thread, when the turns of others are over.
    pub(crate) fn begin_turn(&self, kind: TurnKind) -> Result<()> {
        match self {
            Engine::Embedded(_) => Ok(()),
            Engine::Postgres(store) => store.begin_turn(kind),
        }
    }

    /// Ends the turn of this thread. What was not committed is not written.
    pub(crate) fn end_turn(&self) {
        match self {
            Engine::Embedded(_) => {}
            Engine::Postgres(store) => store.end_turn(),
        }
    }

    /// Fails with [`LedgerError::Fenced`](crate::LedgerError::Fenced) where another replica has one of the `leases`, and keeps
    /// them until the turn ends.
    pub(crate) fn fence(&self, leases: &[Lease]) -> Result<()> {
        match self {
            Engine::Embedded(_) => Ok(()),
            Engine::Postgres(store) => store.connected(|connection| leases::fence(connection, leases)),
        }
    }

    /// Returns whether no ledger has begun here. Fails where something else is stored.
    pub(crate) fn is_new(&self) -> Result<bool> {
        match self {
            Engine::Embedded(embedded) => embedded.is_new(),
            Engine::Postgres(_) => Ok(self.get(Key::Format)?.is_none()),
        }
    }

    /// Returns the directory that holds everything, where one does.
    pub(crate) fn directory(&self) -> Option<&Path> {
        match self {
            Engine::Embedded(embedded) => Some(embedded.path()),
            Engine::Postgres(_) => None,
        }
    }

    /// Returns whether another ledger was here before, which somebody removed.
    pub(crate) fn was_emptied(&self) -> bool {
        match self {
            Engine::Embedded(embedded) => embedded.was_emptied(),
            Engine::Postgres(_) => false,
        }
    }

    /// Begins to work on a ledger that holds so many writes. Fails where some were lost.
    pub(crate) fn begin(&self, writes: u64) -> Result<()> {
        match self {
            Engine::Embedded(embedded) => embedded.begin(writes),
            Engine::Postgres(_) => Ok(()),
        }
    }

    /// Returns the value of `key`.
    pub(crate) fn get(&self, key: Key) -> Result<Option<Vec<u8>>> {
        match self {
            Engine::Embedded(embedded) => embedded.get(key),
            Engine::Postgres(store) => Ok(store.get_all(&[key])?.pop().flatten()),
        }
    }

    /// Returns the values of `keys` of one kind, in their order, in as few questions as the engine needs.
    pub(crate) fn get_all(
        &self,
        keys: impl IntoIterator<Item = Result<Key>>,
    ) -> impl Iterator<Item = Result<(Key, Option<Vec<u8>>)>> {
        let (mut keys, mut found) = (keys.into_iter(), VecDeque::new());
        iter::from_fn(move || match self {
            Engine::Embedded(embedded) => {
                let key = keys.next()?;
                Some(key.and_then(|key| Ok((key, embedded.get(key)?))))
            }
            Engine::Postgres(store) => {
                if found.is_empty() {
                    let asked = keys.by_ref().take(ASKED_AT_ONCE).collect::<Result<Vec<Key>>>();
                    match asked.and_then(|asked| Ok((store.get_all(&asked)?, asked))) {
                        Ok((values, asked)) => found.extend(asked.into_iter().zip(values)),
                        Err(error) => return Some(Err(error)),
                    }
                }
                found.pop_front().map(Ok)
            }
        })
    }

    /// Returns the keys in `ranges` of one kind, range by range, ascending.
    pub(crate) fn keys(&self, ranges: impl IntoIterator<Item = KeyRange>) -> impl Iterator<Item = Result<Key>> {
        let (mut ranges, mut embedded_keys, mut found) = (ranges.into_iter(), None, VecDeque::new());
        iter::from_fn(move || match self {
            Engine::Embedded(embedded) => loop {
                if let Some(key) = embedded_keys.as_mut().and_then(Iterator::next) {
                    return Some(key);
                }
                embedded_keys = Some(embedded.keys(ranges.next()?));
            },
            Engine::Postgres(store) => loop {
                if let Some(key) = found.pop_front() {
                    return Some(Ok(key));
                }
                let asked: Vec<KeyRange> = ranges.by_ref().take(ASKED_AT_ONCE).collect();
                if asked.is_empty() {
                    return None;
                }
                match store.keys_in(&asked) {
                    Ok(keys) => found.extend(keys),
                    Err(error) => return Some(Err(error)),
                }
            },
        })
    }

    /// Returns the keys in `range` with their values, ascending.
    pub(crate) fn values(&self, range: KeyRange) -> impl Iterator<Item = Result<(Key, Vec<u8>)>> {
        let (embedded, table) = match self {
            Engine::Embedded(embedded) => (Some(embedded.values(range)), None),
            Engine::Postgres(store) => (None, Some(store.values(range))),
        };
        embedded.into_iter().flatten().chain(table.into_iter().flatten())
    }

    /// Returns what others wrote after the write number `writes` of the kind of `any`, which must be one that is kept in
    /// memory: progress, rules, days of groups, or deliveries.
    pub(crate) fn written_after(&self, any: Key, writes: u64) -> Result<Vec<(Key, Vec<u8>)>> {
        match self {
            Engine::Embedded(_) => Ok(Vec::new()),
            Engine::Postgres(store) => store.written_after(any, writes),
        }
    }

    /// Writes a batch, the number `writes` of the ledger, and returns when it is durable. Ends the turn.
    pub(crate) fn apply(&self, batch: Batch, writes: u64) -> Result<()> {
        match self {
            Engine::Embedded(embedded) => embedded.apply(batch, writes),
            Engine::Postgres(store) => store.apply(batch, writes),
        }
    }

    /// Returns how many records there are of each kind, by the letter of the kind, and their bytes. Reads all of it.
    pub(crate) fn live_bytes(&self) -> Result<BTreeMap<u8, LiveBytes>> {
        match self {
            Engine::Embedded(embedded) => embedded.live_bytes(),
            Engine::Postgres(store) => store.live_bytes(),
        }
    }

    /// Returns how many values are stored in a way that does not survive a power cut. It must stay 0.
    pub(crate) fn blobs(&self) -> Result<usize> {
        match self {
            Engine::Embedded(embedded) => embedded.blobs(),
            Engine::Postgres(_) => Ok(0),
        }
    }

    /// Returns the bytes that all of it takes.
    pub(crate) fn size_on_disk(&self) -> Result<u64> {
        match self {
            Engine::Embedded(embedded) => embedded.size_on_disk(),
            Engine::Postgres(store) => store.size_on_disk(),
        }
    }
}

/// Gives back the space that a store at `location` does not need any more, where that is worth it. Nobody may have it open.
pub(crate) fn compact(location: &Location) -> Result<Option<Compaction>> {
    match location {
        Location::Directory(dir) => embedded::compact(dir),
        // The database cleans up by itself (autovacuum).
        Location::Postgres(_) => Ok(None),
    }
}
