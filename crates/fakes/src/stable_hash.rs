//! Hashes and shuffles that are the same on each run, for ids, tokens and orders.

use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher13};

/// The second half of every hash's key; the seed is the first.
const KEY: u64 = 0x7374_616e_6469_6e00;

/// Returns a 128-bit hash of bytes.
pub(crate) fn of_bytes(seed: u64, bytes: &[u8]) -> u128 {
    let mut hasher = SipHasher13::new_with_keys(seed, KEY);
    hasher.write(bytes);
    hasher.finish128().as_u128()
}

/// Returns a 128-bit hash of numbers.
pub(crate) fn of_numbers(seed: u64, numbers: &[u64]) -> u128 {
    let mut hasher = SipHasher13::new_with_keys(seed, KEY);
    numbers.iter().for_each(|number| hasher.write_u64(*number));
    hasher.finish128().as_u128()
}

/// Sorts `items` by `key`, and shuffles those with equal keys: the same way for the same seed and order of arrival.
pub(crate) fn shuffle_by_key<T, K: Ord>(items: Vec<T>, seed: u64, key: impl Fn(&T) -> K) -> Vec<T> {
    let mut ranked: Vec<(u64, T)> = (0..).zip(items).collect();
    ranked.sort_by_cached_key(|(arrival, item)| (key(item), of_numbers(seed, &[*arrival])));
    ranked.into_iter().map(|(_, item)| item).collect()
}

/// Shuffles `items`: the same way for the same seed and order of arrival.
pub(crate) fn shuffle<T>(items: Vec<T>, seed: u64) -> Vec<T> {
    shuffle_by_key(items, seed, |_| ())
}
