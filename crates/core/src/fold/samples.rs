//! The samples of an open window: bounded over all groups, and the same in whatever order requests come.
//!
//! Each group keeps the samples of lowest rank of every minute in which the API server received requests. Where that is
//! too many over all groups, the highest rank kept is halved. How often depends on the requests alone, and a group with
//! many of them is likely to keep some.

use std::sync::Arc;

use super::hashed::ByNumber;
use crate::evidence::{Evidence, SAMPLES_MAX, Sample, SampleDraft};

/// The samples of an open window.
#[derive(Debug)]
pub(super) struct WindowSamples {
    /// By group and the minute in which the API server received the request. The event itself has it, so all copies of a
    /// record agree on it.
    kept: ByNumber<(u32, i32), Evidence>,
    total: usize,
    total_max: usize,
    rank_max: u32,
}

impl WindowSamples {
    /// Returns an empty set that keeps at most `total_max` samples.
    pub(super) fn new(total_max: usize) -> WindowSamples {
        WindowSamples { kept: ByNumber::default(), total: 0, total_max, rank_max: u32::MAX }
    }

    /// Adds the sample of a request, `received` in this minute, for one of its groups.
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

    /// Adds the samples of `other`. Group `n` of `other` is group `groups[n]` here.
    pub(super) fn join(&mut self, other: WindowSamples, groups: &[u32]) {
        self.rank_max = self.rank_max.min(other.rank_max);
        self.keep_below_rank();
        for ((group, received), evidence) in other.kept {
            let kept = self.kept.entry((groups[group as usize], received)).or_default();
            self.total -= kept.samples().len();
            kept.merge(&evidence);
            kept.keep_below(self.rank_max);
            self.total += kept.samples().len();
        }
        while self.total > self.total_max {
            self.halve();
        }
    }

    /// Returns whether the limit over all groups left out samples.
    pub(super) fn is_halved(&self) -> bool {
        self.rank_max < u32::MAX
    }

    /// Returns every sample with its group, and whether the group had more samples in that minute.
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
