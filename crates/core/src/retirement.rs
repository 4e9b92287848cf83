//! The end of a log that discovery found: nothing writes to it any more, so nothing is read but what is delivered late.

use serde::{Deserialize, Serialize};

use crate::time::Second;

/// Since when and why a log is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retirement {
    /// The tick that noticed it.
    pub since: Second,
    /// Why.
    pub reason: RetirementReason,
}

/// Why nothing writes to a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RetirementReason {
    /// The log itself is gone.
    Gone,
    /// Nothing at all writes to it: its cluster was probably deleted, which leaves the log.
    Idle,
    /// The cluster writes its other logs there, and no audit log: that is switched off.
    AuditOff,
}

impl RetirementReason {
    /// Returns it in a word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            RetirementReason::Gone => "gone",
            RetirementReason::Idle => "idle",
            RetirementReason::AuditOff => "audit off",
        }
    }
}
