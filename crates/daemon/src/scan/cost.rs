//! The cost of a scan: requests, records and bytes, and how many of them went wrong.

/// The cost of a scan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ScanCost {
    /// Pages, or files.
    pub(crate) pages: u64,
    /// Records.
    pub(crate) records: u64,
    /// Bytes of record text.
    pub(crate) bytes: u64,
    /// Answers that asked for fewer requests.
    pub(crate) throttled: u64,
    /// Other failed requests that were retried.
    pub(crate) retried: u64,
    /// Times that a window or a part of it was split because the provider truncated its answer.
    pub(crate) splits: u64,
    /// Records that are not audit events.
    pub(crate) undecodable: u64,
    /// Records that were cut off or damaged.
    pub(crate) truncated: u64,
}
