//! The samples of a window while it is open: bounded over all groups, and the same in whatever order requests come.
//!
//! Each group keeps the samples of lowest rank of every minute in which requests were received. Where that is too
//! many over all groups, the highest rank that is kept at all is halved. How far it must be halved depends on the
//! requests alone, and a group with many of them is likely to keep some.

use std::sync::Arc;

use super::hashed::ByNumber;
use crate::evidence::{Evidence, SAMPLES_MAX, Sample, SampleDraft};

/// The samples of an open window.
#[derive(Debug)]
pub(super) struct Samples {
    /// By group and the minute in which the request was received. That minute is the event's own: copies of a record
    /// may bring other times, but not another one of it.
    kept: ByNumber<(u32, i32), Evidence>,
    total: usize,
    total_max: usize,
    rank_max: u64,
}

impl Samples {
    /// Returns an empty set that keeps at most `total_max` samples.
    pub(super) fn new(total_max: usize) -> Samples {
        Samples { kept: ByNumber::default(), total: 0, total_max, rank_max: u64::MAX }
    }

    /// Adds the sample of a request that was received in this minute, for one of its groups.
    pub(super) fn add(&mut self, group: u32, received: i32, sample: &SampleDraft<'_>) {
        if sample.rank() > self.rank_max {
            return;
        }
        let evidence = self.kept.entry((group, received)).or_default();
        if !evidence.would_keep(sample.rank(), SAMPLES_MAX) {
            evidence.note_more();
            return;
        }
        self.total -= evidence.samples().len();
        evidence.add(sample.sample(), SAMPLES_MAX);
        self.total += evidence.samples().len();
        while self.total > self.total_max {
            self.halve();
        }
    }

    /// Adds the samples of `other`, whose groups stand here at `places`.
    pub(super) fn join(&mut self, other: Samples, places: &[u32]) {
        self.rank_max = self.rank_max.min(other.rank_max);
        self.keep_below_rank();
        for ((group, received), evidence) in other.kept {
            let kept = self.kept.entry((places[group as usize], received)).or_default();
            self.total -= kept.samples().len();
            kept.merge(&evidence);
            kept.keep_below(self.rank_max);
            self.total += kept.samples().len();
        }
        while self.total > self.total_max {
            self.halve();
        }
    }

    /// Tells whether samples were left out because there were too many over all groups.
    pub(super) fn is_halved(&self) -> bool {
        self.rank_max < u64::MAX
    }

    /// Returns every sample with its group, and whether there were others beside it.
    pub(super) fn into_samples(self) -> impl Iterator<Item = (u32, Arc<Sample>, bool)> {
        self.kept.into_iter().flat_map(|((group, _), evidence)| {
            let is_cut = evidence.is_cut();
            evidence.into_samples().into_iter().map(move |sample| (group, sample, is_cut))
        })
    }

    fn halve(&mut self) {
        self.rank_max /= 2;
        self.keep_below_rank();
    }

    fn keep_below_rank(&mut self) {
        self.total = 0;
        for evidence in self.kept.values_mut() {
            evidence.keep_below(self.rank_max);
            self.total += evidence.samples().len();
        }
        self.kept.retain(|_, evidence| !evidence.samples().is_empty());
    }
}
