//! The ledger: its reads and its two writes.
//!
//! `write_batch` and `rows` encode values; `engine` brings them to the disk.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::{PoisonError, RwLock};

use serde::de::DeserializeOwned;
use stakeout_core::commit::Commit;
use stakeout_core::delivery::{Delivery, DeliveryId, Settlement};
use stakeout_core::finding::{Finding, FindingKey};
use stakeout_core::group::CountKey;
use stakeout_core::hash::HashKey;
use stakeout_core::progress::Progress;
use stakeout_core::rule::{HeadKey, RuleHead};
use stakeout_core::source::{LogId, SourceId};
use stakeout_core::tally::StoredMinute;
use stakeout_core::time::Minute;

use crate::chunk::ValueReader;
use crate::directory::Directory;
use crate::engine::{Engine, catching};
use crate::error::{LedgerError, Result};
use crate::id_allocator::IdAllocator;
use crate::key::Key;
use crate::leftovers;
use crate::rows;
use crate::rule_meta::RuleMetaStore;
use crate::write_batch::{WriteBatch, get, get_json, parse_json};

/// The layout that this version reads and writes. Since 2, a row holds values, referenced rules and response codes; a
/// finding holds sources and related activity; progress holds pending follow-ups. Since 3, rule metadata is stored once
/// and findings name it by its key; a finding holds its context, and progress holds pending context queries. Since 4,
/// progress and deliveries have the names of today's fields, which are part of their JSON.
const FORMAT: u32 = 4;

/// The state of one daemon, on disk, held by one process at a time.
///
/// Reads may run beside each other; a write excludes reads and other writes. After a write has failed, every read and
/// write fails with [`LedgerError::Reopen`]: the disk may hold any part of that write, and an alert about state that is
/// not durable could be sent twice.
#[derive(Debug)]
pub struct Ledger {
    // Dropped in this order: the directory is free when the engine is done with it.
    engine: Engine,
    directory: Directory,
    hash_key: HashKey,
    state: RwLock<LedgerState>,
}

#[derive(Debug)]
struct LedgerState {
    ids: IdAllocator,
    rule_meta: RuleMetaStore,
    /// How many batches were written since the ledger was made.
    writes: u64,
    /// Whether a write has failed.
    is_poisoned: bool,
}

impl Ledger {
    /// Opens the state in `dir`. Creates a missing directory, which only its owner can read, with a new ledger.
    ///
    /// Fails at once if another process holds the state. Leaves a directory with foreign files alone.
    pub fn open(dir: &Path) -> Result<Ledger> {
        let directory = Directory::hold(dir)?;
        leftovers::discard(directory.path())?;
        let engine = Engine::open(directory.path())?;
        let (hash_key, state) = catching("read the database", || {
            begin(&engine, &directory)?;
            let integer = |key| Ok(u64::from_le_bytes(fixed(&engine, key)?));
            let next_delivery = DeliveryId(integer(Key::NextDelivery)?);
            let state = LedgerState {
                ids: IdAllocator::new(&progresses(&engine)?, next_delivery)?,
                rule_meta: RuleMetaStore::new(stored_rule_meta(&engine)?),
                writes: integer(Key::Writes)?,
                is_poisoned: false,
            };
            Ok((HashKey(fixed(&engine, Key::Sampling)?), state))
        })?;
        if let Some(durable) = directory.writes().filter(|durable| *durable > state.writes) {
            return Err(LedgerError::damaged(format!(
                "the database holds {} writes, but at least {durable} were durable",
                state.writes
            )));
        }
        // A write is acknowledged only after the files themselves would survive a power cut.
        directory.note_writes(state.writes);
        directory.sync()?;
        Ok(Ledger { engine, directory, hash_key, state: RwLock::new(state) })
    }

    /// Returns the key of the hash that chooses samples, random and made with the ledger.
    #[must_use]
    pub fn hash_key(&self) -> HashKey {
        self.hash_key
    }

    /// Returns the id of `log`, if it has one.
    #[must_use]
    pub fn source_id(&self, log: &LogId) -> Option<SourceId> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.ids.source(log)
    }

    /// Returns the id of `log`; a new log gets the next free one.
    ///
    /// The log's first commit writes the id. Until then it is reserved only while the ledger is open.
    pub fn source_id_for(&self, log: &LogId) -> Result<SourceId> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.ids.source_for(log)
    }

    /// Returns how far `log` was read, with its id, or `None` before its first commit.
    pub fn progress(&self, log: &LogId) -> Result<Option<(SourceId, Progress)>> {
        self.read(|state| {
            let Some(source) = state.ids.source(log) else {
                return Ok(None);
            };
            let progress = get_json(&self.engine, Key::Progress(source))?;
            Ok(progress.map(|progress| (source, progress)))
        })
    }

    /// Returns how far every log was read, by ascending id.
    pub fn progresses(&self) -> Result<Vec<(SourceId, Progress)>> {
        self.read(|_| progresses(&self.engine))
    }

    /// Returns the rows that `keep` accepts in all sources' minutes in `[earliest, latest_exclusive)`, ascending by
    /// minute and source. Leaves out minutes without such a row.
    ///
    /// At most one rejected row is in memory at a time. `keep` must not call the ledger.
    pub fn minutes(
        &self,
        earliest: Minute,
        latest_exclusive: Minute,
        mut keep: impl FnMut(SourceId, &CountKey) -> bool,
    ) -> Result<Vec<StoredMinute>> {
        self.read(|_| {
            let mut minutes = self.stored_minutes(earliest, latest_exclusive, usize::MAX, &mut keep)?;
            minutes.retain(|minute| !minute.rows.is_empty());
            Ok(minutes)
        })
    }

    /// Returns the oldest minutes before `before` with all their rows: as many as fit into `chunks_max` records, but at
    /// least one if there is any. Deleting a minute takes one deletion for each of its records.
    pub fn expired(&self, before: Minute, chunks_max: usize) -> Result<Vec<StoredMinute>> {
        self.read(|_| self.stored_minutes(Minute(i64::MIN), before, chunks_max, &mut |_, _| true))
    }

    /// Returns every stored finding, by ascending key.
    pub fn findings(&self) -> Result<Vec<Finding>> {
        self.read(|state| {
            let mut findings = Vec::new();
            let mut reader = ValueReader::new(self.engine.range(Key::Finding(FindingKey(0)).kind()));
            while let Some(value) = reader.next_value()? {
                findings.push(state.rule_meta.complete(rows::read_finding(value)?)?);
            }
            Ok(findings)
        })
    }

    /// Returns the finding with this key, if it is stored.
    pub fn finding(&self, key: &FindingKey) -> Result<Option<Finding>> {
        self.read(|state| {
            let mut reader = ValueReader::new(self.engine.range(Key::Finding(*key).chunks_from(0)));
            let stored = reader.next_value()?.map(rows::read_finding).transpose()?;
            stored.map(|finding| state.rule_meta.complete(finding)).transpose()
        })
    }

    /// Returns all pending deliveries, by ascending id.
    pub fn deliveries(&self) -> Result<Vec<Delivery>> {
        self.read(|_| {
            let deliveries = all(&self.engine, Key::Delivery(DeliveryId(0)))?;
            Ok(deliveries.into_iter().map(|(_, delivery)| delivery).collect())
        })
    }

    /// Returns the id that the first delivery of the next commit gets.
    #[must_use]
    pub fn next_delivery(&self) -> DeliveryId {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.ids.next_delivery()
    }

    /// Writes all changes of a window, or none, and returns when they are on the disk.
    ///
    /// Each minute overwrites the stored one; a minute without rows is deleted. The commit gives its minutes away, so
    /// that a flood is not in memory twice. A key that the commit both deletes and writes stays written. The engine's
    /// memory grows with the number of records: a commit should delete at most 2,048.
    pub fn commit_window(&self, commit: &mut Commit) -> Result<()> {
        self.write(|state| {
            state.ids.check(commit)?;
            let rule_meta = state.rule_meta.name(&commit.findings);
            let mut batch = WriteBatch::new(&self.engine);
            batch.add_commit(commit, &rule_meta)?;
            self.apply(state, batch)?;
            state.ids.note(commit);
            state.rule_meta.note(rule_meta);
            Ok(())
        })
    }

    /// Removes what a destination accepted from its deliveries, and returns when that is on the disk. Deletes
    /// deliveries that are complete. Settling something that is not pending does nothing.
    pub fn settle_delivery(&self, settlement: &Settlement) -> Result<()> {
        self.write(|state| {
            let mut batch = WriteBatch::new(&self.engine);
            batch.add_settlement(settlement)?;
            self.apply(state, batch)
        })
    }

    /// Returns how many values the engine has put into files of their own, which it does not fsync. It must stay 0.
    pub fn blobs(&self) -> Result<usize> {
        self.directory.blobs()
    }

    /// Returns the bytes that the state takes on the disk.
    pub fn size_on_disk(&self) -> Result<u64> {
        self.engine.size_on_disk()
    }

    fn stored_minutes(
        &self,
        earliest: Minute,
        latest_exclusive: Minute,
        chunks_max: usize,
        keep: &mut impl FnMut(SourceId, &CountKey) -> bool,
    ) -> Result<Vec<StoredMinute>> {
        let mut minutes = Vec::new();
        let Some(range) = Key::minutes(earliest, latest_exclusive) else {
            return Ok(minutes);
        };
        let mut reader = ValueReader::new(self.engine.range(range));
        let mut chunks = 0_usize;
        while let Some(value) = reader.next_value()? {
            let Key::Minute(minute, source) = value.key() else {
                return Err(value.damaged("is stored among the minutes"));
            };
            chunks = chunks.saturating_add(value.chunks());
            if chunks > chunks_max && !minutes.is_empty() {
                break;
            }
            let rows = rows::read(value, &mut |key| keep(source, key))?;
            minutes.push(StoredMinute { source, minute, rows });
        }
        Ok(minutes)
    }

    fn apply(&self, state: &mut LedgerState, batch: WriteBatch<'_>) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        // Set first: whatever stops the write, an unknown part of it may be on the disk.
        state.is_poisoned = true;
        let write = state.writes + 1;
        batch.apply(write)?;
        self.directory.note_writes(write);
        state.writes = write;
        state.is_poisoned = false;
        Ok(())
    }

    /// Runs `f` while no write runs: `f` reads a value chunk by chunk.
    fn read<T>(&self, f: impl FnOnce(&LedgerState) -> Result<T>) -> Result<T> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        if state.is_poisoned {
            return Err(LedgerError::Reopen);
        }
        catching("read the database", || f(&state))
    }

    /// Runs `f` alone.
    fn write<T>(&self, f: impl FnOnce(&mut LedgerState) -> Result<T>) -> Result<T> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if state.is_poisoned {
            return Err(LedgerError::Reopen);
        }
        catching("write to the database", || f(&mut state))
    }
}

/// Checks the format of the database, or begins a ledger in an empty one.
///
/// A process that was killed before its first batch was durable leaves an empty database. A database with records and
/// without a format is foreign. Neither is possible once a ledger has begun.
fn begin(engine: &Engine, directory: &Directory) -> Result<()> {
    let has_format = engine.range(Key::Format.chunks_from(0)).next().is_some();
    if !has_format && directory.writes().is_some() {
        return Err(LedgerError::damaged("the database has lost its first records"));
    }
    if engine.is_empty() {
        let mut batch = WriteBatch::new(engine);
        batch.add_beginning(FORMAT, random()?)?;
        return batch.apply(1);
    }
    if !has_format {
        return Err(LedgerError::Foreign {
            dir: directory.path().to_owned(),
            found: "a database without a format".to_owned(),
        });
    }
    match u32::from_le_bytes(fixed(engine, Key::Format)?) {
        FORMAT => Ok(()),
        found => Err(LedgerError::format(found, FORMAT)),
    }
}

fn random() -> Result<[u8; 16]> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .map_err(|error| LedgerError::of_io("read /dev/urandom", error))?;
    Ok(bytes)
}

fn progresses(engine: &Engine) -> Result<Vec<(SourceId, Progress)>> {
    all(engine, Key::Progress(SourceId(0)))?
        .into_iter()
        .map(|(key, progress)| match key {
            Key::Progress(source) => Ok((source, progress)),
            other => Err(LedgerError::damaged(format!("{other:?} is stored among the progress of logs"))),
        })
        .collect()
}

fn stored_rule_meta(engine: &Engine) -> Result<Vec<(HeadKey, RuleHead)>> {
    all(engine, Key::RuleMeta(HeadKey(0)))?
        .into_iter()
        .map(|(key, meta)| match key {
            Key::RuleMeta(key) => Ok((key, meta)),
            other => Err(LedgerError::damaged(format!("{other:?} is stored among the rules"))),
        })
        .collect()
}

/// Returns all values of the same kind as `any`, by ascending key.
fn all<T: DeserializeOwned>(engine: &Engine, any: Key) -> Result<Vec<(Key, T)>> {
    let mut found = Vec::new();
    let mut reader = ValueReader::new(engine.range(any.kind()));
    while let Some(value) = reader.next_value()? {
        let key = value.key();
        found.push((key, parse_json(key, &value.into_bytes()?)?));
    }
    Ok(found)
}

/// Returns a value of `N` bytes that every ledger has.
fn fixed<const N: usize>(engine: &Engine, key: Key) -> Result<[u8; N]> {
    let bytes = get(engine, key)?.ok_or_else(|| LedgerError::damaged(format!("{key:?} is missing")))?;
    bytes.try_into().map_err(|_| LedgerError::damaged(format!("{key:?} has the wrong length")))
}
