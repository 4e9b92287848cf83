//! The key of an incident. Findings name the incident that they are a part of, so it is known before an incident is.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::time::Second;

/// The 128-bit hash of (actor, first second as first reported): the key of an incident and, in hexadecimal, its uid.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IncidentKey(pub u128);

/// The incident that a finding is a part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncidentPart {
    /// When the incident began, as first reported: with the actor, that is its key.
    pub opening: Second,
    /// Since when the incident is quiet, as far as it was known when the finding was last written.
    pub quiet_since: Second,
}

/// Writes the uid: 32 hexadecimal digits.
impl fmt::Display for IncidentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for IncidentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
