//! Maps whose keys are keyed hashes already: they need no second hash.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A map by a number that nobody without the key can choose.
pub(super) type ByHash<T> = HashMap<u64, T, BuildHasherDefault<Itself>>;

/// A hash of a number that is the number itself.
#[derive(Default)]
pub(super) struct Itself(u64);

impl Hasher for Itself {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}
