//! The samples of an open window: bounded over all groups, and the same in whatever order requests come.
//!
//! Of the requests of one sender that count for the same groups, the samples of lowest rank are kept of every minute in which
//! the API server received some: so each group has those of lowest rank. Where that is too many over all, the highest rank
//! kept is halved. How often depends on the requests alone, and a group with many of them is likely to keep some.

use std::sync::Arc;

use super::hashed::ByNumber;
use super::sources::Sender;
use crate::evidence::{Evidence, SAMPLES_MAX, Sample, SampleDraft};

/// The samples of an open window.
#[derive(Debug)]
pub(super) struct WindowSamples {
    kept: ByNumber<SampleKey, Evidence>,
    total: usize,
    total_max: usize,
    rank_max: u32,
}

/// Requests whose samples are kept together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct SampleKey {
    /// The first set of memberships with their groups.
    pub(super) groups: u32,
    pub(super) source: Sender,
    /// The minute in which the API server received them. The event itself has it, so all copies of a record agree on it.
    pub(super) received: i32,
}

impl WindowSamples {
    /// Returns an empty set that keeps at most `total_max` samples.
    pub(super) fn new(total_max: usize) -> WindowSamples {
        WindowSamples { kept: ByNumber::default(), total: 0, total_max, rank_max: u32::MAX }
    }

    /// Adds the sample of a request. The key is asked for only if the sample may be kept.
    pub(super) fn add(&mut self, sample: &SampleDraft<'_>, key: impl FnOnce() -> SampleKey) {
        if sample.rank() > self.rank_max {
            return;
        }
        let evidence = self.kept.entry(key()).or_default();
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

    /// Adds the samples of `other`, whose keys `translated` makes keys of this window.
    pub(super) fn join(&mut self, other: WindowSamples, translated: impl Fn(SampleKey) -> SampleKey) {
        self.rank_max = self.rank_max.min(other.rank_max);
        self.keep_below_rank();
        for (key, evidence) in other.kept {
            let kept = self.kept.entry(translated(key)).or_default();
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

    /// Returns every sample with its key, and whether there were more with the same key.
    pub(super) fn into_samples(self) -> impl Iterator<Item = (SampleKey, Arc<Sample>, bool)> {
        self.kept.into_iter().flat_map(|(key, evidence)| {
            let is_cut = evidence.is_cut();
            evidence.into_samples().into_iter().map(move |sample| (key, sample, is_cut))
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
