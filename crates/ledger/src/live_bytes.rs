//! How much of something is stored.

/// Records, and the sum of the lengths of their keys and values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LiveBytes {
    /// How many records.
    pub(crate) records: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
}
