//! The ledger: how it opens, and its two writes. `reads` has what a commit reads of rows and findings.
//!
//! `write_batch` and `rows` encode values; `engine` brings them to the disk.

mod reads;
mod refresh;
mod transfer;
mod backup;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::sync::{Arc, PoisonError, RwLock};

use serde::de::DeserializeOwned;
use stakeout_core::commit::Commit;
use stakeout_core::day_report::Day;
use stakeout_core::delivery::{Delivery, DeliveryId, Settlement};
use stakeout_core::fold::Stored;
use stakeout_core::hash::HashKey;
use stakeout_core::lease::Lease;
use stakeout_core::novelty::{Seen, SeenDays, SeenKey};
use stakeout_core::progress::Progress;
use stakeout_core::rule::{HeadKey, RuleHead};
use stakeout_core::source::{LogId, SourceId};
use stakeout_core::time::Second;

use crate::archive::Archive;
use crate::archived::{ArchivedFindings, archived};
use crate::engine::{self, Compaction, Engine, Location, Stay, TurnKind, catching};
use crate::error::{LedgerError, Result};
use crate::id_allocator::IdAllocator;
use crate::key::Key;
use crate::pending::Pending;
use crate::rule_meta::RuleMetaStore;
use crate::totals::Totals;
use crate::write_batch::{WriteBatch, parse_json};

/// The layout that this version reads and writes. Since 2, a row holds values, referenced rules and response codes; a
/// finding holds sources and related activity; progress holds pending follow-ups. Since 3, rule metadata is stored once
/// and findings name it by its key; a finding holds its context, and progress holds pending context queries. Since 4,
/// progress and deliveries have the names of today's fields, which are part of their JSON. Since 5, rows are stored by
/// actor, findings can be found by their actor and by their end, both are compressed, and findings that are over are in
/// the archive. Since 9, what destinations show of incidents is stored.
const FORMAT: u32 = 10;

/// In place of the format while a state is imported.
const UNFINISHED: u32 = u32::MAX;

pub use reads::{NeededRows, OldestRows};
pub use transfer::Transferred;

/// The state of one daemon in a directory, held by one process at a time, or of several replicas in PostgreSQL.
///
/// In a directory, reads may run beside each other; a write excludes reads and other writes. In PostgreSQL, the threads of a
/// process take turns. After a write has failed, every read and
/// write fails with [`LedgerError::Reopen`]: any part of that write may be there, and an alert about state that is
/// not durable could be sent twice.
#[derive(Debug)]
pub struct Ledger {
    engine: Engine,
    hash_key: HashKey,
    state: RwLock<LedgerState>,
}

/// What is in memory while the ledger is open: little for each log, each version of a rule, each pending delivery, and each
/// group whose days are kept.
#[derive(Debug)]
struct LedgerState {
    ids: IdAllocator,
    rule_meta: RuleMetaStore,
    progress: BTreeMap<SourceId, Progress>,
    pending: Pending,
    totals: Totals,
    archive: Archive,
    seen: Arc<Seen>,
    /// How many times others have changed the progress.
    progress_version: u64,
    /// Whether a write has failed.
    is_poisoned: bool,
}

impl Ledger {
    /// The size of a database over which compacting it may be worth it.
    pub const COMPACT_OVER_BYTES: u64 = engine::COMPACT_OVER_BYTES;

    /// Opens the state at `location` for a moment.
    ///
    /// Creates and fails as [`Ledger::open_for`] does.
    pub fn open(location: impl Into<Location>) -> Result<Ledger> {
        Ledger::open_for(location, Stay::Brief)
    }

    /// Opens the state at `location`, or begins it: a missing directory is made, which only its owner can read.
    ///
    /// Fails at once if another process holds the directory. Leaves a directory with foreign files alone.
    pub fn open_for(location: impl Into<Location>, stay: Stay) -> Result<Ledger> {
        let engine = Engine::open(&location.into(), stay)?;
        begin(&engine)?;
        let turn = Turn::begin(&engine, TurnKind::Snapshot)?;
        let (hash_key, state) = catching("read the database", || {
            let hash_key = HashKey(fixed(&engine, Key::Hash)?);
            let progress = progresses(&engine)?;
            let mut pending = Pending::default();
            all(&engine, Key::Delivery(DeliveryId(0)))?.iter().for_each(|(_, delivery)| pending.note(delivery));
            let totals = totals(&engine)?;
            let state = LedgerState {
                ids: IdAllocator::new(&progress)?,
                rule_meta: RuleMetaStore::new(stored_rule_meta(&engine)?),
                progress,
                pending,
                archive: Archive::open(&engine, totals.archive)?,
                totals,
                seen: Arc::new(Seen::new(hash_key, seen_days(&engine)?)),
                progress_version: 0,
                is_poisoned: false,
            };
            Ok((hash_key, state))
        })?;
        drop(turn);
        engine.begin(state.totals.writes)?;
        Ok(Ledger { engine, hash_key, state: RwLock::new(state) })
    }

    /// Returns the key of the hashes that choose samples, random and made with the ledger.
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
            let source = state.ids.source(log);
            Ok(source.and_then(|source| Some((source, state.progress.get(&source)?.clone()))))
        })
    }

    /// Returns how far every log was read, by ascending id.
    pub fn progresses(&self) -> Result<Vec<(SourceId, Progress)>> {
        self.read(|state| Ok(state.progress.iter().map(|(source, progress)| (*source, progress.clone())).collect()))
    }

    /// Returns the pending deliveries of `destination` that are not held at `now`, by ascending id.
    pub fn deliveries(&self, destination: &str, now: Second) -> Result<Vec<Delivery>> {
        self.read(|state| self.stored_deliveries(state.pending.of(destination, Some(now))).collect())
    }

    /// Returns how much is stored of what has a limit.
    pub fn stored(&self) -> Result<Stored> {
        self.read(|state| {
            Ok(Stored {
                findings: state.totals.findings,
                rows: state.totals.rows,
                pending: state.pending.totals(),
                held: state.pending.held(),
            })
        })
    }

    /// Returns whether the directory held another ledger before, whose files are gone, and nothing was committed since.
    pub fn is_anew(&self) -> Result<bool> {
        self.read(|state| Ok(state.totals.is_anew))
    }

    /// Returns the last day whose line was committed, and how many notices were committed since.
    pub fn day_reported(&self) -> Result<(Option<Day>, u64)> {
        self.read(|state| Ok((state.totals.day_reported, state.totals.notices)))
    }

    /// Returns the days on which groups were seen.
    pub fn seen(&self) -> Result<Arc<Seen>> {
        self.read(|state| Ok(state.seen.clone()))
    }

    /// Returns how many findings outside of the archive go on.
    pub fn findings_open(&self) -> Result<usize> {
        self.read(|state| Ok(state.totals.findings_open))
    }

    /// Returns the id that the first delivery of the next commit gets.
    #[must_use]
    pub fn next_delivery(&self) -> DeliveryId {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.totals.next_delivery
    }

    /// Writes all changes of the windows of some logs, or none, and returns when they are durable.
    ///
    /// Each row overwrites the stored one of its rule, group and minute. The commit gives its minutes away, so that a flood
    /// is not in memory twice. The engine's memory grows with the number of values that change.
    ///
    /// Fails with [`LedgerError::Fenced`] if another replica has one of the `leases`: then nothing is written.
    pub fn commit_window(&self, commit: &mut Commit, leases: &[Lease]) -> Result<()> {
        self.write(|state| {
            self.engine.fence(leases)?;
            state.ids.check(commit, state.totals.next_delivery)?;
            let rule_meta = state.rule_meta.name(&commit.findings);
            let mut batch = WriteBatch::new(&self.engine, self.hash_key, state.totals);
            let over = batch.add_commit(commit, &rule_meta, &state.rule_meta)?;
            if !over.is_empty() {
                let over =
                    over.iter().map(|finding| archived(finding, &state.rule_meta)).collect::<Result<Vec<_>>>()?;
                // The archive is valid up to the position in the batch: before that is durable, nothing has moved.
                batch.totals.archive = state.archive.append(&over)?;
            }
            self.apply(state, batch)?;
            state.ids.note(commit);
            state.rule_meta.note(rule_meta);
            Arc::make_mut(&mut state.seen).apply(&commit.seen);
            for log in &commit.logs {
                state.progress.insert(log.source, log.progress.clone());
            }
            Ok(())
        })
    }

    /// Deletes the oldest files of the archive: those with findings from before `keep_from` only, and those that are too
    /// much for `bytes_max` in all. Returns how many bytes are gone.
    pub fn expire_archive(&self, keep_from: Second, bytes_max: u64) -> Result<u64> {
        self.locked(|state| state.archive.expire(keep_from, bytes_max))
    }

    /// Returns a reader of the archive as it is now, which needs the ledger no more.
    pub fn archive(&self) -> Result<ArchivedFindings> {
        self.read(|state| Ok(ArchivedFindings::new(state.archive.reader(), state.rule_meta.clone())))
    }

    /// Returns the bytes that the archive takes on the disk.
    pub fn archive_bytes(&self) -> Result<u64> {
        self.read(|state| state.archive.bytes())
    }

    /// Returns how many records the database holds of each kind, and their bytes. Reads all of it.
    pub fn live_bytes(&self) -> Result<Vec<(String, u64, u64)>> {
        self.read(|_| {
            let live = self.engine.live_bytes()?.into_iter();
            Ok(live.map(|(letter, live)| (Key::kind_name(letter).to_owned(), live.records, live.bytes)).collect())
        })
    }

    /// Compacts the database at `location`, which nobody may have open, where its file is large and much larger than what it
    /// holds. Returns `None` where it is not, or where there is no room for a copy.
    pub fn compact(location: impl Into<Location>) -> Result<Option<Compaction>> {
        engine::compact(&location.into())
    }

    /// Removes what a destination accepted from its deliveries, writes what it shows of incidents, and returns when both are on
    /// the disk. Deletes deliveries that are complete. Settling something that is not pending does nothing.
    ///
    /// Fails with [`LedgerError::Fenced`] if another replica has one of the `leases`: then nothing is written.
    pub fn settle_delivery(&self, settlement: &Settlement, leases: &[Lease]) -> Result<()> {
        self.write(|state| {
            self.engine.fence(leases)?;
            let mut batch = WriteBatch::new(&self.engine, self.hash_key, state.totals);
            batch.add_settlement(settlement)?;
            self.apply(state, batch)
        })
    }

    /// Gives the pending deliveries of the destination `from`, and what it shows of incidents, to the destination `to`, and returns the number of their
    /// entries and notices when that is durable.
    pub fn move_pending(&self, from: &str, to: &str) -> Result<usize> {
        self.write(|state| {
            let mut batch = WriteBatch::new(&self.engine, self.hash_key, state.totals);
            let mut moved = 0;
            for delivery in self.stored_deliveries(state.pending.of(from, None)) {
                let delivery = delivery?;
                moved += delivery.entries.len() + delivery.notices.len();
                batch.put_delivery(Delivery { destination: to.to_owned(), ..delivery })?;
            }
            batch.move_shown(from, to)?;
            self.apply(state, batch)?;
            Ok(moved)
        })
    }

    /// Returns how many values the engine has put into files of their own, which it does not fsync. It must stay 0.
    pub fn blobs(&self) -> Result<usize> {
        self.engine.blobs()
    }

    /// Returns the bytes that the state takes on the disk.
    pub fn size_on_disk(&self) -> Result<u64> {
        self.engine.size_on_disk()
    }

    fn stored_deliveries(&self, ids: impl Iterator<Item = DeliveryId>) -> impl Iterator<Item = Result<Delivery>> {
        self.engine.get_all(ids.map(|id| Ok(Key::Delivery(id)))).map(|stored| {
            let (key, value) = stored?;
            parse_json(key, &value.ok_or_else(|| LedgerError::damaged(format!("{key:?} is missing")))?)
        })
    }

    fn apply(&self, state: &mut LedgerState, batch: WriteBatch<'_>) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        // Set first: whatever stops the write, an unknown part of it may be there.
        state.is_poisoned = true;
        let (totals, deliveries) = batch.apply()?;
        state.totals = totals;
        deliveries.iter().for_each(|delivery| state.pending.note(delivery));
        state.is_poisoned = false;
        Ok(())
    }

    /// Runs `f` while no other process writes: what it reads is what its commit or settlement is based on. Costs nothing where
    /// this process is the only one.
    ///
    /// The first write in `f` ends the turn, and its end without a write does; what comes after reads a later state.
    pub fn alone<T>(&self, f: impl FnOnce(&Ledger) -> Result<T>) -> Result<T> {
        let _turn = self.turn(TurnKind::Alone)?;
        f(self)
    }

    /// Runs `f`, which only reads, on one state: what others write meanwhile, it does not see. Costs nothing where this process
    /// is the only one.
    pub fn snapshot<T>(&self, f: impl FnOnce(&Ledger) -> Result<T>) -> Result<T> {
        let _turn = self.turn(TurnKind::Snapshot)?;
        f(self)
    }

    /// Returns how many times others have changed the progress of logs since the ledger was opened, as far as it is known.
    /// What a caller keeps of the progress is valid while the number stays.
    pub fn progress_version(&self) -> Result<u64> {
        self.read(|state| Ok(state.progress_version))
    }

    /// Begins a turn with the memory up to date, unless this thread has one.
    fn turn(&self, kind: TurnKind) -> Result<Option<Turn<'_>>> {
        if self.engine.has_turn() {
            return Ok(None);
        }
        let turn = Turn::begin(&self.engine, kind)?;
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if !state.is_poisoned {
            refresh::refresh(&self.engine, self.hash_key, &mut state)?;
        }
        Ok(Some(turn))
    }

    /// Runs `f` while no write runs.
    fn read<T>(&self, f: impl FnOnce(&LedgerState) -> Result<T>) -> Result<T> {
        let _turn = self.turn(TurnKind::Snapshot)?;
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        if state.is_poisoned {
            return Err(LedgerError::Reopen);
        }
        catching("read the database", || f(&state))
    }

    /// Runs `f` alone.
    fn write<T>(&self, f: impl FnOnce(&mut LedgerState) -> Result<T>) -> Result<T> {
        let _turn = self.turn(TurnKind::Alone)?;
        self.locked(f)
    }

    /// Runs `f` while no thread of this process reads or writes.
    fn locked<T>(&self, f: impl FnOnce(&mut LedgerState) -> Result<T>) -> Result<T> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if state.is_poisoned {
            return Err(LedgerError::Reopen);
        }
        let written = catching("write to the database", || f(&mut state));
        // The engine's own thread may be the first to find the disk full: then no read of the engine succeeds either.
        state.is_poisoned |= matches!(written, Err(LedgerError::DiskFull { .. }));
        written
    }
}

/// A turn of this thread. It ends when this is dropped, if it did not end with a write.
struct Turn<'e>(&'e Engine);

impl Turn<'_> {
    fn begin(engine: &Engine, kind: TurnKind) -> Result<Turn<'_>> {
        engine.begin_turn(kind)?;
        Ok(Turn(engine))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.end_turn();
    }
}

/// Checks the format of the database, or begins a ledger in an empty one.
fn begin(engine: &Engine) -> Result<()> {
    let _turn = Turn::begin(engine, TurnKind::Alone)?;
    catching("read the database", || {
        if engine.is_new()? {
            let totals = Totals { is_anew: engine.was_emptied(), ..Totals::EMPTY };
            let mut batch = WriteBatch::new(engine, HashKey(random()?), totals);
            batch.add_beginning(FORMAT)?;
            return batch.apply().map(drop);
        }
        match u32::from_le_bytes(fixed(engine, Key::Format)?) {
            FORMAT => Ok(()),
            UNFINISHED => Err(LedgerError::Unfinished),
            found => Err(LedgerError::format(found, FORMAT)),
        }
    })
}

fn totals(engine: &Engine) -> Result<Totals> {
    let value = engine.get(Key::Totals)?;
    parse_json(Key::Totals, &value.ok_or_else(|| LedgerError::damaged("the numbers of everything are missing"))?)
}

fn random() -> Result<[u8; 16]> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .map_err(|error| LedgerError::of_io("read /dev/urandom", error))?;
    Ok(bytes)
}

fn progresses(engine: &Engine) -> Result<BTreeMap<SourceId, Progress>> {
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

fn seen_days(engine: &Engine) -> Result<Vec<(SeenKey, SeenDays)>> {
    all(engine, Key::Seen(SeenKey(0)))?
        .into_iter()
        .map(|(key, days)| match key {
            Key::Seen(key) => Ok((key, days)),
            other => Err(LedgerError::damaged(format!("{other:?} is stored among the days of groups"))),
        })
        .collect()
}

/// Returns all values of the same kind as `any`, by ascending key.
fn all<T: DeserializeOwned>(engine: &Engine, any: Key) -> Result<Vec<(Key, T)>> {
    engine
        .values(any.kind())
        .map(|stored| stored.and_then(|(key, value)| Ok((key, parse_json(key, &value)?))))
        .collect()
}

/// Returns a value of `N` bytes that every ledger has.
fn fixed<const N: usize>(engine: &Engine, key: Key) -> Result<[u8; N]> {
    let bytes = engine.get(key)?.ok_or_else(|| LedgerError::damaged(format!("{key:?} is missing")))?;
    bytes.try_into().map_err(|_| LedgerError::damaged(format!("{key:?} has the wrong length")))
}
