//! Projects and their entries, in order of timestamp and arrival.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::entry::Entry;
use crate::paged_search::Record;
use crate::stable_hash;

#[derive(Debug, Default)]
pub(super) struct Store {
    projects: BTreeMap<String, Vec<Arc<Stored>>>,
    /// Log views, with the projects whose entries a sink sends there.
    pub(super) views: BTreeMap<String, Vec<String>>,
    /// Projects and views that the caller may not read.
    pub(super) denied: BTreeSet<String>,
}

/// An entry, and the time from which searches find it.
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
            let hash = stable_hash::of_bytes(arrival, entry.timestamp.as_nanosecond().to_string().as_bytes());
            entry.set_insert_id(&format!("{:020x}", hash >> 48));
        }
        entries.push(Arc::new(Stored { entry, visible_from }));
    }
}

impl Record for Stored {
    fn text_bytes(&self) -> usize {
        self.entry.bytes
    }
}
