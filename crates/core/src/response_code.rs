//! Response codes as counts keep them: those of the Kubernetes API, and the others by hundreds.
//!
//! A server behind the API may answer with any number. Only codes of a fixed set are counted one by one, so that the
//! number of counts is bounded and does not depend on the order of requests.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The codes that are counted one by one, ascending: those of Kubernetes and of its HTTP server.
const APART: [u16; 27] = [
    101, 200, 201, 202, 204, 206, 301, 302, 304, 307, 400, 401, 403, 404, 405, 406, 409, 410, 413, 415, 422, 429, 500,
    501, 502, 503, 504,
];
/// Represents a code that HTTP does not have.
const OTHER: u16 = 9;

/// The response code of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ResponseCode(u16);

impl ResponseCode {
    /// Returns the code of a request; `None` where its record has none.
    #[must_use]
    pub fn of(code: Option<i64>) -> ResponseCode {
        let Some(code) = code else { return ResponseCode(0) };
        match u16::try_from(code) {
            Ok(code) if APART.binary_search(&code).is_ok() => ResponseCode(code),
            Ok(code @ 100..=599) => ResponseCode(code / 100),
            _ => ResponseCode(OTHER),
        }
    }

    /// Returns the number of a code that is counted by itself.
    #[must_use]
    pub fn number(self) -> Option<u16> {
        (self.0 >= 100).then_some(self.0)
    }
}

/// Writes `403`, `4xx` for the rest of a hundred, `other`, or `none` where the record had no code.
impl fmt::Display for ResponseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("none"),
            hundred @ 1..=5 => write!(f, "{hundred}xx"),
            number @ 100.. => number.fmt(f),
            _ => f.write_str("other"),
        }
    }
}

/// Requests by response code.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ResponseCodes(BTreeMap<ResponseCode, u64>);

impl ResponseCodes {
    /// Counts `n` more requests.
    pub fn add(&mut self, code: ResponseCode, n: u64) {
        let count = self.0.entry(code).or_default();
        *count = count.saturating_add(n);
    }

    /// Adds the counts of `other`, which counted other requests.
    pub fn add_all(&mut self, other: &ResponseCodes) {
        for (code, n) in &other.0 {
            self.add(*code, *n);
        }
    }

    /// Joins another count of the same requests: for each code the larger count stays.
    pub fn join(&mut self, other: &ResponseCodes) {
        for (code, n) in &other.0 {
            let count = self.0.entry(*code).or_default();
            *count = (*count).max(*n);
        }
    }

    /// Returns these counts without those of `other`, which are part of them.
    #[must_use]
    pub fn without(&self, other: &ResponseCodes) -> ResponseCodes {
        let rest = self.0.iter().map(|(code, n)| (*code, n.saturating_sub(other.0.get(code).copied().unwrap_or(0))));
        ResponseCodes(rest.filter(|(_, n)| *n > 0).collect())
    }

    /// Returns whether there are no requests.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the number of requests.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.values().fold(0, |total, n| total.saturating_add(*n))
    }

    /// Returns the codes with their requests, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (ResponseCode, u64)> + '_ {
        self.0.iter().map(|(code, n)| (*code, *n))
    }

    /// Returns the codes with their requests, the most frequent first.
    #[must_use]
    pub fn most_first(&self) -> Vec<(ResponseCode, u64)> {
        let mut all: Vec<(ResponseCode, u64)> = self.iter().collect();
        all.sort_by(|left, right| right.1.cmp(&left.1).then_with(|| left.0.cmp(&right.0)));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_unknown_to_kubernetes_are_counted_by_hundreds() {
        let shown = |code| ResponseCode::of(code).to_string();
        let codes = [Some(403), Some(418), Some(599), Some(99), Some(600), Some(-1), Some(i64::MAX), None];
        assert_eq!(codes.map(shown), ["403", "4xx", "5xx", "other", "other", "other", "other", "none"]);
        assert!(APART.is_sorted());
        assert_eq!((ResponseCode::of(Some(200)).number(), ResponseCode::of(Some(299)).number()), (Some(200), None));
    }
}
