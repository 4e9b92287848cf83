//! Which parts of the rules a request matches, remembered for requests that look the same to every condition: most of a
//! flood is a few requests again and again.
//!
//! The hash of what the conditions compare is keyed, so no client can make two requests share it. Nothing is decided here.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::matcher::PartIndex;

/// Most verdicts that are remembered. At this number all are forgotten: a client that changes its requests each time
/// makes every one of them useless.
const VERDICTS_MAX: usize = 4096;

/// The parts that match, by the keyed hash of what the conditions compare.
#[derive(Debug, Default)]
pub(super) struct Verdicts(FxHashMap<u64, Verdict>);

/// The parts that match a request, in the order of their rules.
pub(super) type Verdict = Arc<[PartIndex]>;

impl Verdicts {
    /// Returns the verdict of `hash`, which `decide` gives where it is not known.
    pub(super) fn get(&mut self, hash: u64, decide: impl FnOnce() -> Verdict) -> Verdict {
        if let Some(verdict) = self.0.get(&hash) {
            return verdict.clone();
        }
        if self.0.len() >= VERDICTS_MAX {
            self.0.clear();
        }
        self.0.entry(hash).insert_entry(decide()).get().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_decided_once_until_there_are_too_many() {
        let mut verdicts = Verdicts::default();
        let mut decided = 0;
        let mut ask = |hash| {
            verdicts.get(hash, || {
                decided += 1;
                Arc::new([PartIndex::of_only_rule(0)])
            });
            (decided, verdicts.0.len())
        };
        assert_eq!([ask(7), ask(7), ask(8)], [(1, 1), (1, 1), (2, 2)]);
        (0..2 * VERDICTS_MAX as u64).for_each(|hash| assert!(ask(hash).1 <= VERDICTS_MAX));
    }
}
