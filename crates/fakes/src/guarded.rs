//! State behind a lock that a panicking test cannot poison. No guard lives across an await: the services are
//! synchronous, and only the server awaits.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A mutex whose lock always succeeds.
#[derive(Debug, Default)]
pub(crate) struct Guarded<T>(Mutex<T>);

impl<T> Guarded<T> {
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
