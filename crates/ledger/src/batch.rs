//! What one write changes: a value or its deletion for each key. An engine writes all of it or nothing.

use std::collections::BTreeMap;

use crate::error::{LedgerError, Result};
use crate::key::Key;

/// The changes of one write, by key; of several changes of a key the last.
#[derive(Debug, Default)]
pub(crate) struct Batch(BTreeMap<Key, Option<Vec<u8>>>);

impl Batch {
    /// Writes a value. Fails if the batch has a value of this key.
    pub(crate) fn put(&mut self, key: Key, value: Vec<u8>) -> Result<()> {
        match self.0.insert(key, Some(value)) {
            Some(Some(_)) => Err(LedgerError::refused(format!("{key:?} is written twice"))),
            _ => Ok(()),
        }
    }

    /// Writes a key that has no value, however often.
    pub(crate) fn put_key(&mut self, key: Key) {
        self.0.insert(key, Some(Vec::new()));
    }

    /// Deletes what is stored under a key.
    pub(crate) fn delete(&mut self, key: Key) {
        self.0.insert(key, None);
    }

    /// Returns whether the batch has a value of this key.
    pub(crate) fn has(&self, key: Key) -> bool {
        matches!(self.0.get(&key), Some(Some(_)))
    }

    /// Returns whether there is nothing to change.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes the change of the least key. The rows of a flood fill memory, so an engine takes one after the other.
    pub(crate) fn pop(&mut self) -> Option<(Key, Option<Vec<u8>>)> {
        self.0.pop_first()
    }
}
