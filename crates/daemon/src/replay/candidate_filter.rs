//! Which records can match a rule at all: the needles of each cloud, and the filter of events.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use stakeout_core::decode::EventFilter;
use stakeout_core::needle::Needles;
use stakeout_core::prefilter::Prefilter;

use crate::cloud::Cloud;

/// Selects the records that may match, before they are decoded.
pub(super) struct CandidateFilter<'a> {
    event_filter: EventFilter,
    prefilter: &'a Prefilter,
    /// Made for a cloud when its first record is read.
    needles: BTreeMap<Cloud, OnceLock<Option<Needles>>>,
}

impl<'a> CandidateFilter<'a> {
    /// Returns the filter for requests that fit `prefilter`.
    pub(super) fn of(prefilter: &'a Prefilter) -> CandidateFilter<'a> {
        let needles = Cloud::ALL.into_iter().map(|cloud| (cloud, OnceLock::new())).collect();
        CandidateFilter { event_filter: EventFilter::new(prefilter), prefilter, needles }
    }

    /// Returns a filter without needles: every record is decoded, and only then does `prefilter` decide.
    pub(super) fn strict(prefilter: &'a Prefilter) -> CandidateFilter<'a> {
        CandidateFilter { event_filter: EventFilter::new(prefilter), prefilter, needles: BTreeMap::new() }
    }

    /// Returns the filter of decoded events.
    pub(super) fn event_filter(&self) -> &EventFilter {
        &self.event_filter
    }

    /// Returns the needles of which each candidate of a cloud contains one, or `None` where every record is a candidate.
    pub(super) fn needles(&self, cloud: Cloud) -> Option<&Needles> {
        let needles = self.needles.get(&cloud)?;
        needles.get_or_init(|| (cloud.export().needles)(self.prefilter)).as_ref()
    }
}
