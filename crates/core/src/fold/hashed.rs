//! Maps whose keys no client can choose: they need no hash that withstands an attack.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use rustc_hash::FxHashMap;

/// A map by numbers that this program gives, and by times that the API server or the provider gives.
pub(super) type ByNumber<K, T> = FxHashMap<K, T>;

/// A map by keyed hashes, which no client can choose without the key.
pub(super) type ByHash<T> = HashMap<u64, T, BuildHasherDefault<Identity>>;

/// Hashes a number to itself.
#[derive(Default)]
pub(super) struct Identity(u64);

impl Hasher for Identity {
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
