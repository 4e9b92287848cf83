//! Projects and their entries, in order of timestamp and arrival.

use std::collections::BTreeMap;
use std::hash::Hasher;
use std::sync::Arc;

use jiff::Timestamp;
use siphasher::sip128::{Hasher128, SipHasher13};

use super::entry::Entry;

#[derive(Debug, Default)]
pub(super) struct Store {
    projects: BTreeMap<String, Vec<Arc<Stored>>>,
}

/// An entry, and from when it is found.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) entry: Entry,
    pub(super) visible_from: Timestamp,
}

impl Store {
    pub(super) fn project_or_new(&mut self, project: &str) -> &mut Vec<Arc<Stored>> {
        self.projects.entry(project.to_owned()).or_default()
    }

    pub(super) fn project(&self, project: &str) -> Option<&[Arc<Stored>]> {
        self.projects.get(project).map(Vec::as_slice)
    }

    pub(super) fn ingest(&mut self, mut entry: Entry, visible_from: Timestamp) {
        let entries = self.project_or_new(&entry.project);
        let arrival = entries.len() as u64;
        if entry.insert_id.is_empty() {
            entry.set_insert_id(&format!(
                "{:020x}",
                hash(arrival, entry.timestamp.as_nanosecond().to_string().as_bytes()) >> 48
            ));
        }
        entries.push(Arc::new(Stored { entry, visible_from }));
    }
}

/// A 128-bit hash, for ids and orders that are the same on each run.
pub(super) fn hash(seed: u64, bytes: &[u8]) -> u128 {
    let mut hasher = SipHasher13::new_with_keys(seed, 0x7374_616e_6469_6e00);
    hasher.write(bytes);
    hasher.finish128().as_u128()
}
