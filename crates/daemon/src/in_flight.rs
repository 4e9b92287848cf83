//! The logs and destinations that a task works on, so that a tick neither waits for a slow one nor starts it twice.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The names of the running tasks.
#[derive(Clone, Debug, Default)]
pub(crate) struct InFlight(Arc<Mutex<HashSet<String>>>);

/// Marks a task as running until it is dropped.
#[derive(Debug)]
pub(crate) struct InFlightGuard {
    in_flight: InFlight,
    name: String,
}

impl InFlight {
    /// Marks the task `name` as running, or returns `None` if it is running already.
    pub(crate) fn start(&self, name: String) -> Option<InFlightGuard> {
        let is_new = self.names().insert(name.clone());
        is_new.then(|| InFlightGuard { in_flight: self.clone(), name })
    }

    /// Returns whether no task is running.
    pub(crate) fn is_empty(&self) -> bool {
        self.names().is_empty()
    }

    fn names(&self) -> MutexGuard<'_, HashSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.in_flight.names().remove(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_starts_once_until_its_guard_is_dropped() {
        let in_flight = InFlight::default();
        let guard = in_flight.start("a".to_owned());
        assert!(
            guard.is_some() && in_flight.start("a".to_owned()).is_none() && in_flight.start("b".to_owned()).is_some()
        );
        drop(guard);
        assert!(in_flight.is_empty() && in_flight.start("a".to_owned()).is_some());
    }
}
