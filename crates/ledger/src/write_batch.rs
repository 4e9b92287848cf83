//! One write: a batch, with every value encoded and cut into chunks.
//!
//! The ledger decides whether a write is consistent; this module only encodes it.

use std::collections::{BTreeSet, HashSet};

use serde::Serialize;
use stakeout_core::commit::Commit;
use stakeout_core::delivery::{Delivery, DeliveryId, Entry, Settlement};
use stakeout_core::notice::Notice;

use crate::chunk::{ChunkWriter, ValueReader};
use crate::engine::Engine;
use crate::error::{LedgerError, Result};
use crate::key::Key;
use crate::rows;
use crate::rule_meta::NamedRules;

/// A batch, with deletions of the chunks that it replaces.
pub(crate) struct WriteBatch<'e> {
    engine: &'e Engine,
    batch: sled::Batch,
    put: BTreeSet<Key>,
    is_empty: bool,
}

impl<'e> WriteBatch<'e> {
    pub(crate) fn new(engine: &'e Engine) -> WriteBatch<'e> {
        WriteBatch { engine, batch: sled::Batch::default(), put: BTreeSet::new(), is_empty: true }
    }

    /// Adds all changes of a window, and takes its minutes. A key that is both deleted and written stays written.
    pub(crate) fn add_commit(&mut self, commit: &mut Commit, rules: &NamedRules) -> Result<()> {
        for (source, minute) in &commit.expired {
            self.delete(Key::Minute(*minute, *source))?;
        }
        for finding in &commit.forgotten {
            self.delete(Key::Finding(*finding))?;
        }
        // The rows of a flood fill memory: each minute is freed as soon as it is encoded.
        for (minute, rows) in std::mem::take(&mut commit.minutes) {
            let key = Key::Minute(minute, commit.source);
            if rows.is_empty() {
                self.delete(key)?;
            } else {
                self.put_with(key, |value| rows::write(&rows, value))?;
            }
        }
        for (key, meta) in &rules.new {
            self.put_json(Key::RuleMeta(*key), &**meta)?;
        }
        let mut encoded = Vec::new();
        for finding in &commit.findings {
            encoded.clear();
            rows::encode(&rules.stored(finding), &mut encoded)?;
            self.put(Key::Finding(finding.key), &encoded)?;
        }
        for delivery in &commit.deliveries {
            self.put_delivery(delivery)?;
        }
        self.put_json(Key::Progress(commit.source), &commit.progress)?;
        self.put_next_delivery(commit.next_delivery)
    }

    /// Removes what a destination accepted from its deliveries.
    pub(crate) fn add_settlement(&mut self, settlement: &Settlement) -> Result<()> {
        let entries: HashSet<&(DeliveryId, Entry)> = settlement.entries.iter().collect();
        let notices: HashSet<(DeliveryId, &Notice)> =
            settlement.notices.iter().map(|(delivery, notice)| (*delivery, notice)).collect();
        let touched: BTreeSet<DeliveryId> = entries
            .iter()
            .map(|(delivery, _)| *delivery)
            .chain(notices.iter().map(|(delivery, _)| *delivery))
            .collect();
        for id in touched {
            let Some(mut delivery) = get_json::<Delivery>(self.engine, Key::Delivery(id))? else {
                continue;
            };
            let pending = delivery.entries.len() + delivery.notices.len();
            delivery.entries.retain(|entry| !entries.contains(&(id, *entry)));
            delivery.notices.retain(|notice| !notices.contains(&(id, notice)));
            if delivery.entries.len() + delivery.notices.len() < pending {
                self.put_delivery(&delivery)?;
            }
        }
        Ok(())
    }

    /// Adds the first records of a new ledger.
    pub(crate) fn add_beginning(&mut self, format: u32, hash_key: [u8; 16]) -> Result<()> {
        self.put(Key::Format, &format.to_le_bytes())?;
        self.put(Key::Sampling, &hash_key)?;
        self.put_next_delivery(DeliveryId(0))
    }

    /// Returns whether there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.is_empty
    }

    /// Writes the batch as number `write` and returns when it is on the disk.
    pub(crate) fn apply(mut self, write: u64) -> Result<()> {
        self.put(Key::Writes, &write.to_le_bytes())?;
        self.engine.apply(self.batch)
    }

    fn put_next_delivery(&mut self, next: DeliveryId) -> Result<()> {
        self.put(Key::NextDelivery, &next.0.to_le_bytes())
    }

    /// Writes a delivery, or deletes it when it is complete.
    fn put_delivery(&mut self, delivery: &Delivery) -> Result<()> {
        let key = Key::Delivery(delivery.id);
        if delivery.entries.is_empty() && delivery.notices.is_empty() {
            self.delete(key)
        } else {
            self.put_json(key, delivery)
        }
    }

    fn put_json(&mut self, key: Key, value: &impl Serialize) -> Result<()> {
        let encoded = serde_json::to_vec(value)
            .map_err(|error| LedgerError::refused(format!("{key:?} cannot be encoded as JSON: {error}")))?;
        self.put(key, &encoded)
    }

    fn put(&mut self, key: Key, bytes: &[u8]) -> Result<()> {
        self.put_with(key, |value| value.write(bytes))
    }

    fn put_with(&mut self, key: Key, write: impl FnOnce(&mut ChunkWriter<'_>) -> Result<()>) -> Result<()> {
        // The chunks of two values under one key would mix.
        if !self.put.insert(key) {
            return Err(LedgerError::refused(format!("{key:?} is written twice")));
        }
        self.is_empty = false;
        let mut value = ChunkWriter::new(&mut self.batch, key);
        write(&mut value)?;
        let chunks = value.finish()?;
        self.delete_from(key, chunks)
    }

    fn delete(&mut self, key: Key) -> Result<()> {
        self.delete_from(key, 0)
    }

    /// Deletes the stored chunks of `key` from number `chunks` on, which a longer value left behind.
    fn delete_from(&mut self, key: Key, chunks: usize) -> Result<()> {
        let Ok(from) = u16::try_from(chunks) else {
            return Ok(());
        };
        for stale in self.engine.range(key.chunks_from(from)).keys() {
            let stale = stale.map_err(|error| LedgerError::of_engine("read the database", error))?;
            self.batch.remove(stale);
            self.is_empty = false;
        }
        Ok(())
    }
}

/// Returns the stored bytes of `key`.
pub(crate) fn get(engine: &Engine, key: Key) -> Result<Option<Vec<u8>>> {
    let mut reader = ValueReader::new(engine.range(key.chunks_from(0)));
    reader.next_value()?.map(|value| value.into_bytes()).transpose()
}

/// Returns the JSON value of `key`.
pub(crate) fn get_json<T: serde::de::DeserializeOwned>(engine: &Engine, key: Key) -> Result<Option<T>> {
    get(engine, key)?.map(|bytes| parse_json(key, &bytes)).transpose()
}

/// Parses the JSON value of `key`.
pub(crate) fn parse_json<T: serde::de::DeserializeOwned>(key: Key, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| LedgerError::damaged(format!("{key:?} cannot be read: {error}")))
}
