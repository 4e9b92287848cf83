//! What a batch changes of what destinations show of incidents.

use std::collections::BTreeMap;
use std::ops::Range;

use stakeout_core::hash::HashKey;
use stakeout_core::incident::IncidentKey;
use stakeout_core::shown::{SHOWN_SECONDS_MAX, ShownChange, ShownIncident};
use stakeout_core::time::Second;

use super::{WriteBatch, parse_json};
use crate::chunk::ValueReader;
use crate::error::Result;
use crate::findings::keyed_hash;
use crate::key::{DestinationHash, IncidentHash, Key};

/// How many records a batch looks at for each that it writes, to delete those that are too old. The records are in the order of
/// a hash, so these are any of them.
const SWEPT: usize = 8;

impl WriteBatch<'_> {
    /// Writes or deletes what destinations show; of several changes of one incident, the last.
    pub(super) fn add_shown(&mut self, changes: &[ShownChange]) -> Result<()> {
        let hash_key = self.hash_key;
        let key = |change: &ShownChange| shown_key(change.incident, &change.destination, &hash_key);
        let last: BTreeMap<Key, &Option<ShownIncident>> =
            changes.iter().map(|change| (key(change), &change.shown)).collect();
        for (key, shown) in last {
            match shown {
                Some(shown) => {
                    self.put_json(key, shown)?;
                    self.sweep_after(key, shown.at.plus(-SHOWN_SECONDS_MAX))?;
                }
                None => self.delete(key)?,
            }
        }
        Ok(())
    }

    /// Deletes what destinations show of an incident that goes to the archive.
    pub(super) fn remove_shown(&mut self, incident: IncidentKey) -> Result<()> {
        for (key, _) in self.shown_in(Key::shown_of(incident_hash(incident, &self.hash_key)), usize::MAX)? {
            self.delete(key)?;
        }
        Ok(())
    }

    /// Gives what the destination `from` shows to the destination `to`.
    pub(crate) fn move_shown(&mut self, from: &str, to: &str) -> Result<()> {
        let [from, to] = [from, to].map(|name| destination_hash(name, &self.hash_key));
        for (key, shown) in self.shown_in(Key::Shown(IncidentHash(0), from).kind(), usize::MAX)? {
            if let Key::Shown(incident, destination) = key
                && destination == from
                && from != to
            {
                self.delete(key)?;
                self.put_json(Key::Shown(incident, to), &shown)?;
            }
        }
        Ok(())
    }

    /// Deletes those of the records after `key` that were written before `before`.
    fn sweep_after(&mut self, key: Key, before: Second) -> Result<()> {
        let range = key.chunks_from(0).end..key.kind().end;
        for (key, shown) in self.shown_in(range, SWEPT)? {
            if shown.at < before && !self.put.contains(&key) {
                self.delete(key)?;
            }
        }
        Ok(())
    }

    fn shown_in(&self, range: Range<Vec<u8>>, max: usize) -> Result<Vec<(Key, ShownIncident)>> {
        let mut found = Vec::new();
        let mut reader = ValueReader::new(self.engine.range(range));
        while found.len() < max
            && let Some(value) = reader.next_value()?
        {
            let key = value.key();
            found.push((key, parse_json(key, &value.into_bytes()?)?));
        }
        Ok(found)
    }
}

/// Returns the key of what a destination shows of an incident.
pub(crate) fn shown_key(incident: IncidentKey, destination: &str, key: &HashKey) -> Key {
    Key::Shown(incident_hash(incident, key), destination_hash(destination, key))
}

fn incident_hash(incident: IncidentKey, key: &HashKey) -> IncidentHash {
    IncidentHash(keyed_hash(&incident.0.to_be_bytes(), key))
}

fn destination_hash(name: &str, key: &HashKey) -> DestinationHash {
    DestinationHash(keyed_hash(name.as_bytes(), key))
}
