//! Which records can match a rule at all: the needles of lines, and the filter of events.

use stakeout_core::decode::EventFilter;
use stakeout_core::needle::{Needles, Spelling};
use stakeout_core::prefilter::Prefilter;

use crate::cloud::Cloud;

/// Selects the records that may match, before they are decoded.
pub(super) struct CandidateFilter {
    event_filter: EventFilter,
    needles: Option<Needles>,
    wrapped: Vec<Needles>,
}

impl CandidateFilter {
    /// Returns the filter for requests that fit `prefilter`.
    pub(super) fn of(prefilter: &Prefilter) -> CandidateFilter {
        let needles = Needles::of(prefilter, Spelling::Native);
        let own = Cloud::ALL.into_iter().filter_map(|cloud| cloud.export().own_needles);
        let own = own.map(|needles| needles(prefilter));
        let wrapped = std::iter::once(Needles::of(prefilter, Spelling::Wrapped)).chain(own);
        let wrapped = wrapped.collect::<Option<Vec<_>>>().unwrap_or_default();
        CandidateFilter { event_filter: EventFilter::new(prefilter), needles, wrapped }
    }

    /// Returns a filter without needles: every record is decoded, and only then does `prefilter` decide.
    pub(super) fn strict(prefilter: &Prefilter) -> CandidateFilter {
        CandidateFilter { event_filter: EventFilter::new(prefilter), needles: None, wrapped: Vec::new() }
    }

    /// Returns the filter of decoded events.
    pub(super) fn event_filter(&self) -> &EventFilter {
        &self.event_filter
    }

    /// Returns the needles of which each wrapped candidate contains one; none where every record may be one.
    pub(super) fn wrapped(&self) -> &[Needles] {
        &self.wrapped
    }

    /// Returns the needles of which each line with a candidate contains one, or `None` where every line may be one.
    pub(super) fn needles(&self) -> Option<&Needles> {
        self.needles.as_ref()
    }
}
