//! Chance that can be repeated: a seed gives the same numbers on every machine.

use std::hash::{BuildHasher, Hasher, RandomState};

/// A small generator (SplitMix64); good enough to choose moments and times.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    /// Begins with the seed in `STAKEOUT_TEST_SEED`, or any other, and prints it.
    pub(crate) fn of_environment(test: &str) -> Dice {
        let given = std::env::var("STAKEOUT_TEST_SEED").ok().map(|seed| seed.parse().expect("the seed is a number"));
        let seed = given.unwrap_or_else(|| RandomState::new().build_hasher().finish());
        eprintln!("{test}: STAKEOUT_TEST_SEED={seed}");
        Dice(seed)
    }

    /// Returns a number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end.max(1)
    }

    /// Returns a number of seconds from zero up to, not including, `end`.
    pub(crate) fn seconds(&mut self, end: i64) -> i64 {
        i64::try_from(self.below(end.unsigned_abs())).expect("below a number of seconds")
    }

    /// Puts items into another order.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for place in (1..items.len()).rev() {
            let other = usize::try_from(self.below(place as u64 + 1)).expect("an index");
            items.swap(place, other);
        }
    }
}
