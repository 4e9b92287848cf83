//! The context of a finding: what else its source asked for around that time, whether a rule counts it or not.
//!
//! A context query reads it (see [`context_query`](crate::context_query)), and the finding keeps it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::response_code::ResponseCodes;
use crate::text::bounded;
use crate::time::Window;

/// Most values that a list keeps.
pub(crate) const VALUES_MAX: usize = 10;
/// Longest value that a list keeps, in characters.
pub(crate) const VALUE_CHARS_MAX: usize = 128;
/// Longest reason of a failure that is kept, in characters.
const REASON_CHARS_MAX: usize = 300;

/// What a context query returned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FindingContext {
    /// The log was read.
    Read(Box<SourceActivity>),
    /// The log could not be read.
    Unread {
        /// Why.
        reason: String,
    },
}

impl FindingContext {
    /// Returns the context of a query that failed for `reason`.
    #[must_use]
    pub fn unread(reason: &str) -> FindingContext {
        FindingContext::Unread { reason: bounded(reason, REASON_CHARS_MAX) }
    }
}

/// What a source asked one cluster for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceActivity {
    /// The cluster.
    pub cluster: String,
    /// The span that was read. Where the limit cut it, the span ends with the last request read.
    pub window: Window,
    /// Requests of the source, at most [`REQUESTS_MAX`](crate::context_query::REQUESTS_MAX).
    pub requests: u64,
    /// Whether there were more.
    pub is_cut: bool,
    /// The requests by response code.
    pub codes: ResponseCodes,
    /// Allowed operations: verb and resource, or verb and path where there is no resource.
    pub allowed: TopValues,
    /// Operations that were refused or failed.
    pub refused: TopValues,
    /// Namespaces of the requests.
    pub namespaces: TopValues,
    /// Users that sent the requests.
    pub users: TopValues,
    /// User agents of the requests.
    pub agents: TopValues,
    /// Proxies on the way: the entries of `sourceIPs` after the source's own. Empty where requests came straight to the API.
    pub proxies: TopValues,
}

/// The most frequent values of a field.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopValues {
    /// At most ten values with their requests, most frequent first, equals by name.
    pub top: Vec<(String, u64)>,
    /// Number of other values.
    pub others: u64,
}

impl TopValues {
    /// Counts `values` and keeps the most frequent.
    pub(crate) fn of<'a>(values: impl Iterator<Item = &'a String>) -> TopValues {
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        for value in values {
            *counts.entry(value).or_default() += 1;
        }
        let mut top: Vec<(&str, u64)> = counts.into_iter().collect();
        top.sort_by(|left, right| right.1.cmp(&left.1).then_with(|| left.0.cmp(right.0)));
        let others = top.len().saturating_sub(VALUES_MAX) as u64;
        top.truncate(VALUES_MAX);
        TopValues { top: top.into_iter().map(|(value, n)| (value.to_owned(), n)).collect(), others }
    }
}
