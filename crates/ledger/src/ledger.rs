//! The ledger: what it is asked, and its two writes.
//!
//! How things are spelled is in `draft` and `rows`, how they get to the disk in `engine`.

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

use crate::chunk::Walk;
use crate::directory::Directory;
use crate::engine::{Engine, catching};
use crate::error::{LedgerError, Result};
use crate::id_allocator::IdAllocator;
use crate::key::Key;
use crate::rows;
use crate::rule_meta::RuleMeta;
use crate::write_batch::{WriteBatch, get, get_json, parse_json};

/// The layout that this version reads and writes. Since 2 a row says which values came and of which legs its requests
/// are and how they were answered, a finding who sent them and what else its source did, and progress what is to be
/// followed up. Since 3 what is shown of a rule is stored once, and findings name it by its key; a finding says what its
/// source did around it, and progress where that is still to be looked for.
const FORMAT: u32 = 3;

/// The state of one daemon, on disk, held by one process at a time.
///
/// Reads may run beside each other; a write waits for them and they for it. After a write has failed, every read and
/// write fails with [`LedgerError::Reopen`]: nobody knows then what of it is on the disk, and what is told from
/// something that is not durable could be told again.
#[derive(Debug)]
pub struct Ledger {
    // Dropped in this order: the directory is free when the engine is done with it.
    engine: Engine,
    directory: Directory,
    hash_key: HashKey,
    state: RwLock<State>,
}

#[derive(Debug)]
struct State {
    numbers: IdAllocator,
    heads: RuleMeta,
    /// How many batches were written since the ledger was made.
    writes: u64,
    /// Whether a write has failed.
    is_torn: bool,
}

impl Ledger {
    /// Opens the state in `dir`; a missing directory is created for its owner only, and a new ledger in it.
    ///
    /// Fails without waiting where another process holds the state, and leaves a directory alone that holds
    /// something else.
    pub fn open(dir: &Path) -> Result<Ledger> {
        let directory = Directory::hold(dir)?;
        let engine = Engine::open(directory.path())?;
        let (hash_key, state) = catching("read the database", || {
            begin(&engine, &directory)?;
            let number = |key| Ok(u64::from_le_bytes(fixed(&engine, key)?));
            let next_delivery = DeliveryId(number(Key::NextDelivery)?);
            let state = State {
                numbers: IdAllocator::new(&progresses(&engine)?, next_delivery)?,
                heads: RuleMeta::new(heads(&engine)?),
                writes: number(Key::Writes)?,
                is_torn: false,
            };
            Ok((HashKey(fixed(&engine, Key::Sampling)?), state))
        })?;
        if let Some(durable) = directory.writes().filter(|durable| *durable > state.writes) {
            return Err(LedgerError::damaged(format!(
                "the database holds {} writes, but {durable} were durable",
                state.writes
            )));
        }
        // Nothing may be acknowledged before the files themselves are sure to be there after a power cut.
        directory.note_writes(state.writes);
        directory.sync()?;
        Ok(Ledger { engine, directory, hash_key, state: RwLock::new(state) })
    }

    /// Returns the key of the hash that chooses samples, random and made with the ledger.
    #[must_use]
    pub fn hash_key(&self) -> HashKey {
        self.hash_key
    }

    /// Returns the number of `log`, where it has one.
    #[must_use]
    pub fn source_id(&self, log: &LogId) -> Option<SourceId> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.numbers.source(log)
    }

    /// Returns the number of `log`; a new log gets the next free one.
    ///
    /// Nothing is written: the log's first commit does that. Until then the number is its own only while the ledger
    /// is open.
    pub fn source_id_for(&self, log: &LogId) -> Result<SourceId> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.numbers.source_for(log)
    }

    /// Returns how far `log` was read, with its number, or `None` where nothing was committed of it.
    pub fn progress(&self, log: &LogId) -> Result<Option<(SourceId, Progress)>> {
        self.read(|state| {
            let Some(source) = state.numbers.source(log) else {
                return Ok(None);
            };
            let progress = get_json(&self.engine, Key::Progress(source))?;
            Ok(progress.map(|progress| (source, progress)))
        })
    }

    /// Returns how far every log was read, by ascending number.
    pub fn progresses(&self) -> Result<Vec<(SourceId, Progress)>> {
        self.read(|_| progresses(&self.engine))
    }

    /// Returns the rows that `keep` accepts of all sources' minutes in `[earliest, latest_exclusive)`, ascending by
    /// minute and source. A minute of which no row is kept is left out.
    ///
    /// One row that is not kept is in memory at a time. `keep` is told whose row it is, and must not call the ledger.
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

    /// Returns the oldest minutes before `before` with all their rows, as many as `chunks_max` records hold, but at
    /// least one where there is any. To delete a minute takes as many deletions as it has records.
    pub fn expired(&self, before: Minute, chunks_max: usize) -> Result<Vec<StoredMinute>> {
        self.read(|_| self.stored_minutes(Minute(i64::MIN), before, chunks_max, &mut |_, _| true))
    }

    /// Returns every stored finding, by ascending key.
    pub fn findings(&self) -> Result<Vec<Finding>> {
        self.read(|state| {
            let mut findings = Vec::new();
            let mut walk = Walk::new(self.engine.range(Key::Finding(FindingKey(0)).kind()));
            while let Some(value) = walk.next_value()? {
                findings.push(state.heads.complete(rows::read_finding(value)?)?);
            }
            Ok(findings)
        })
    }

    /// Returns the finding with this key, where it is stored.
    pub fn finding(&self, key: &FindingKey) -> Result<Option<Finding>> {
        self.read(|state| {
            let mut walk = Walk::new(self.engine.range(Key::Finding(*key).chunks_from(0)));
            let stored = walk.next_value()?.map(rows::read_finding).transpose()?;
            stored.map(|finding| state.heads.complete(finding)).transpose()
        })
    }

    /// Returns all that is still owed, by ascending number.
    pub fn deliveries(&self) -> Result<Vec<Delivery>> {
        self.read(|_| {
            let deliveries = all(&self.engine, Key::Delivery(DeliveryId(0)))?;
            Ok(deliveries.into_iter().map(|(_, owed)| owed).collect())
        })
    }

    /// Returns the number that the next commit's first delivery gets.
    #[must_use]
    pub fn next_delivery(&self) -> DeliveryId {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.numbers.next_delivery()
    }

    /// Writes all that a window changes, or nothing, and returns when it is on the disk.
    ///
    /// Minutes are overwritten as given; one without rows is deleted. They are taken out of the commit, so that a flood is
    /// not in memory twice. What a commit both deletes and writes stays
    /// written. The engine's memory follows the number of records: a commit should delete at most 2,048.
    pub fn commit_window(&self, commit: &mut Commit) -> Result<()> {
        self.write(|state| {
            state.numbers.check(commit)?;
            let heads = state.heads.name(&commit.findings);
            let mut draft = WriteBatch::new(&self.engine);
            draft.add_commit(commit, &heads)?;
            self.apply(state, draft)?;
            state.numbers.note(commit);
            state.heads.note(heads);
            Ok(())
        })
    }

    /// Takes off what a destination took, and returns when that is on the disk. A delivery of which nothing is owed
    /// any more is deleted; to settle what is not owed does nothing.
    pub fn settle_delivery(&self, settlement: &Settlement) -> Result<()> {
        self.write(|state| {
            let mut draft = WriteBatch::new(&self.engine);
            draft.add_settlement(settlement)?;
            self.apply(state, draft)
        })
    }

    /// Returns how many values the engine has put aside into files that it does not fsync. It must stay 0.
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
        let mut walk = Walk::new(self.engine.range(range));
        let mut chunks = 0_usize;
        while let Some(value) = walk.next_value()? {
            let Key::Minute(minute, source) = value.key() else {
                return Err(value.damaged("lies among the minutes"));
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

    fn apply(&self, state: &mut State, draft: WriteBatch<'_>) -> Result<()> {
        if draft.is_empty() {
            return Ok(());
        }
        // Set first: whatever stops the write, an unknown part of it may be on the disk.
        state.is_torn = true;
        let write = state.writes + 1;
        draft.apply(write)?;
        self.directory.note_writes(write);
        state.writes = write;
        state.is_torn = false;
        Ok(())
    }

    /// Runs `f` while nothing is written: the chunks of a value are read one by one.
    fn read<T>(&self, f: impl FnOnce(&State) -> Result<T>) -> Result<T> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        if state.is_torn {
            return Err(LedgerError::Reopen);
        }
        catching("read the database", || f(&state))
    }

    /// Runs `f` alone.
    fn write<T>(&self, f: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if state.is_torn {
            return Err(LedgerError::Reopen);
        }
        catching("write to the database", || f(&mut state))
    }
}

/// Checks the format of the database, or begins a ledger in an empty one.
///
/// A process that was killed before its first batch was durable leaves an empty database; a database with something
/// in it and no format is of somebody else. Neither can be after a ledger has begun.
fn begin(engine: &Engine, directory: &Directory) -> Result<()> {
    let has_format = engine.range(Key::Format.chunks_from(0)).next().is_some();
    if !has_format && directory.writes().is_some() {
        return Err(LedgerError::damaged("the database has lost its beginning"));
    }
    if engine.is_empty() {
        let mut draft = WriteBatch::new(engine);
        draft.add_beginning(FORMAT, random()?)?;
        return draft.apply(1);
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
            other => Err(LedgerError::damaged(format!("{other:?} is no progress"))),
        })
        .collect()
}

fn heads(engine: &Engine) -> Result<Vec<(HeadKey, RuleHead)>> {
    all(engine, Key::Head(HeadKey(0)))?
        .into_iter()
        .map(|(key, head)| match key {
            Key::Head(key) => Ok((key, head)),
            other => Err(LedgerError::damaged(format!("{other:?} shows no rule"))),
        })
        .collect()
}

/// Returns everything of the kind of `any`, by ascending key.
fn all<T: DeserializeOwned>(engine: &Engine, any: Key) -> Result<Vec<(Key, T)>> {
    let mut found = Vec::new();
    let mut walk = Walk::new(engine.range(any.kind()));
    while let Some(value) = walk.next_value()? {
        let key = value.key();
        found.push((key, parse_json(key, &value.into_bytes()?)?));
    }
    Ok(found)
}

/// Returns a value that every ledger has, of `N` bytes.
fn fixed<const N: usize>(engine: &Engine, key: Key) -> Result<[u8; N]> {
    let bytes = get(engine, key)?.ok_or_else(|| LedgerError::damaged(format!("{key:?} is missing")))?;
    bytes.try_into().map_err(|_| LedgerError::damaged(format!("{key:?} has a wrong length")))
}
