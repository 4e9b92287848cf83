//! Keyed hashes: without the key, no client can choose which samples and values are kept, or find two texts with one hash.

use std::fmt;
use std::hash::{Hash, Hasher};

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

/// The key of all hashes; a new ledger draws one at random.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct HashKey(pub [u8; 16]);

/// Hides the key.
impl fmt::Debug for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashKey(..)")
    }
}

/// The keyed hash of a value that is not an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TextHash(pub u64);

impl TextHash {
    /// Returns the hash of `text` with `key`.
    #[must_use]
    pub fn of(text: &str, key: &HashKey) -> TextHash {
        let mut hasher = SipHasher13::new_with_key(&key.0);
        text.hash(&mut hasher);
        TextHash(hasher.finish())
    }
}
