//! A line as the cloud stored it, the page that it came on, and the errors of a read.

use std::time::Duration;

use thiserror::Error;

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
    /// What of the window this page lacks although no other request brings it, in a few words.
    pub lost: Option<String>,
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
