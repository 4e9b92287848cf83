//! What a batch changes of what destinations show of incidents.

use std::collections::{BTreeMap, BTreeSet};

use stakeout_core::hash::HashKey;
use stakeout_core::incident::IncidentKey;
use stakeout_core::shown::{SHOWN_SECONDS_MAX, ShownChange, ShownIncident};
use stakeout_core::time::Second;

use super::{WriteBatch, parse_json};
use crate::error::Result;
use crate::findings::keyed_hash;
use crate::key::{DestinationHash, IncidentHash, Key, KeyRange};

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
                None => self.batch.delete(key),
            }
        }
        Ok(())
    }

    /// Deletes what destinations show of incidents that go to the archive.
    pub(super) fn remove_shown(&mut self, incidents: &BTreeSet<IncidentKey>) -> Result<()> {
        let shown = incidents.iter().map(|incident| Key::shown_of(incident_hash(*incident, &self.hash_key)));
        let keys = self.engine.keys(shown).collect::<Result<Vec<Key>>>()?;
        keys.into_iter().for_each(|key| self.batch.delete(key));
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
                self.batch.delete(key);
                self.put_json(Key::Shown(incident, to), &shown)?;
            }
        }
        Ok(())
    }

    /// Deletes those of the records after `key` that were written before `before`.
    fn sweep_after(&mut self, key: Key, before: Second) -> Result<()> {
        for (key, shown) in self.shown_in(key.and_later(), SWEPT)? {
            if shown.at < before && !self.batch.has(key) {
                self.batch.delete(key);
            }
        }
        Ok(())
    }

    fn shown_in(&self, range: KeyRange, max: usize) -> Result<Vec<(Key, ShownIncident)>> {
        let stored = self.engine.values(range).take(max);
        stored.map(|stored| stored.and_then(|(key, value)| Ok((key, parse_json(key, &value)?)))).collect()
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
