//! Maps whose keys nobody who sends requests can choose: they need no hash that withstands an attack.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use rustc_hash::FxHashMap;

/// A map by numbers that are given here, and by times that the API server or the provider gave.
pub(super) type ByNumber<K, T> = FxHashMap<K, T>;

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
