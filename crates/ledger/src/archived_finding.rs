//! A finding as the archive keeps it. The archive does not know what its body means.

use stakeout_core::finding::FindingKey;
use stakeout_core::time::Second;

/// What can be known of a finding without decoding it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FindingHead {
    /// The key of the finding.
    pub(crate) key: FindingKey,
    /// Its first request.
    pub(crate) first: Second,
    /// Its last request.
    pub(crate) last: Second,
    /// The level of its rule, as a number that rises with it.
    pub(crate) level: u8,
}

/// A finding in its encoded form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ArchivedFinding {
    /// What a reader filters by.
    pub(crate) head: FindingHead,
    /// The encoded finding.
    pub(crate) body: Vec<u8>,
}
