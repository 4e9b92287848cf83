//! When each destination took its last message, and when it last did not, since the process started. It is for people:
//! the ledger knows what is pending.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use stakeout_core::time::Second;

/// When a destination took its last message, and when it last did not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sends {
    pub(crate) sent_at: Option<Second>,
    pub(crate) failed_at: Option<Second>,
}

/// The sends of all destinations, by name. They outlive a config.
#[derive(Clone, Debug, Default)]
pub(crate) struct SendLog(Arc<Mutex<HashMap<String, Sends>>>);

impl SendLog {
    /// Notes that a destination was sent to until `at`: so many messages were taken, and so many are pending after all tries.
    pub(crate) fn note(&self, destination: &str, sent: usize, pending: usize, at: Second) {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sends = log.entry(destination.to_owned()).or_default();
        if sent > 0 {
            sends.sent_at = Some(at);
        }
        if pending > 0 {
            sends.failed_at = Some(at);
        }
    }

    /// Returns those of a destination.
    pub(crate) fn of(&self, destination: &str) -> Sends {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(destination).copied().unwrap_or_default()
    }
}
