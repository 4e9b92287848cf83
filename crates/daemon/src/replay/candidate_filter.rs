//! What a record must hold to be looked at, for each form that records come in.

use stakeout_core::decode::EventFilter;
use stakeout_core::needle::{Needles, Spelling};
use stakeout_core::prefilter::Prefilter;

use super::kind::Kind;

/// The needles for each. Where there are none, every record is looked at.
pub(super) struct Sieve {
    screen: EventFilter,
    native: Option<Needles>,
    wrapped: Option<Needles>,
    gke: Option<Needles>,
}

impl Sieve {
    /// Returns the needles of requests that fit `prefilter`.
    pub(super) fn of(prefilter: &Prefilter) -> Sieve {
        #[cfg(feature = "gcp")]
        let gke = stakeout_cloud_logging::needle::needles(prefilter);
        #[cfg(not(feature = "gcp"))]
        let gke = None;
        Sieve {
            native: Needles::of(prefilter, Spelling::Native),
            wrapped: Needles::of(prefilter, Spelling::Wrapped),
            gke,
            screen: EventFilter::new(prefilter),
        }
    }

    /// Returns no needles: every record is read to its end, and `prefilter` decides whether more is to be done.
    pub(super) fn strict(prefilter: &Prefilter) -> Sieve {
        Sieve { native: None, wrapped: None, gke: None, screen: EventFilter::new(prefilter) }
    }

    /// Returns what a request must fit that can match.
    pub(super) fn screen(&self) -> &EventFilter {
        &self.screen
    }

    /// Returns what records of this kind must hold, or `None` where all are looked at.
    pub(super) fn needles(&self, kind: Kind) -> Option<&Needles> {
        match kind {
            Kind::Audit => self.native.as_ref(),
            Kind::Eks | Kind::Aks => self.wrapped.as_ref(),
            // Cloud Logging spells codes and groups in words of its own.
            Kind::Gke => self.gke.as_ref(),
        }
    }
}
