//! A line as the cloud stored it, the page that it came on, and the errors of a read.

use std::time::Duration;

use thiserror::Error;

use crate::event::CutFields;

/// A log record as the provider returns it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawRecord {
    /// The provider's own id of the record: `GROUP/STREAM/EVENT-ID`, or `FILE:BYTE-OFFSET`.
    pub record_id: String,
    /// The provider's time of the record, in milliseconds since 1970.
    pub time_ms: i64,
    /// The record's text.
    pub body: String,
}

/// Where the next page begins. The provider makes it; it is opaque and valid for one set of parameters only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageToken(pub String);

/// One answer of a provider.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The records in any order. A page may be empty although more follow.
    pub records: Vec<RawRecord>,
    /// Where to go on, or `None` after the last page.
    pub next: Option<PageToken>,
    /// Bytes of record text in this page.
    pub bytes: u64,
    /// Records that the provider sent without a time, a text or an id of their own, and that are therefore not among `records`.
    pub unusable: u32,
    /// The requests of which this page has the beginnings of long fields only, although no other page brings their ends.
    pub cut: CutRequests,
}

/// Requests of which a page has the beginnings of long fields only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CutRequests {
    /// How many.
    pub requests: u64,
    /// The fields that were cut, of one of the requests at least.
    pub fields: CutFields,
}

impl CutRequests {
    /// Adds others to these.
    pub fn add(&mut self, other: CutRequests) {
        self.requests = self.requests.saturating_add(other.requests);
        self.fields = self.fields.and(other.fields);
    }
}

/// Why a page could not be read, named after what the caller may do about it.
#[derive(Debug, Error)]
pub enum FetchError {
    /// The provider limits requests: wait, then ask for the same page.
    #[error("throttled: {reason}")]
    Throttled {
        /// How long the provider asks to wait, where it says.
        retry_after: Option<Duration>,
        /// The provider's words.
        reason: String,
    },
    /// The provider or the network is down: ask for the same page later.
    #[error("unavailable: {reason}")]
    Unavailable {
        /// What failed.
        reason: String,
    },
    /// Permissions or config must change before the provider answers.
    #[error("denied: {reason}")]
    Denied {
        /// The provider's words.
        reason: String,
    },
    /// The token is gone or repeats itself: read the window again from its first page.
    #[error("page token lost: {reason}")]
    TokenGone {
        /// The provider's words.
        reason: String,
    },
    /// The provider truncated its answer: ask for a shorter window.
    #[error("partial answer: {reason}")]
    Truncated {
        /// The provider's words.
        reason: String,
    },
}

impl FetchError {
    /// Returns the error with the fix in its reason, where a person has to act and there is one.
    #[must_use]
    pub fn with_fix(self, fix: Option<String>) -> FetchError {
        match (self, fix) {
            (FetchError::Denied { reason }, Some(fix)) => FetchError::Denied { reason: format!("{reason} ({fix})") },
            (error, _) => error,
        }
    }
}
