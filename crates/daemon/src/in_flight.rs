//! The logs and destinations that a task works on, so that a tick neither waits for a slow one nor starts it twice.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use stakeout_core::lease::Duty;
use stakeout_core::source::LogId;

use crate::pace::Wanted;

/// The names of the running tasks, with what is to be sent when a task is done with what it sends now.
#[derive(Clone, Debug, Default)]
pub(crate) struct InFlight(Arc<Mutex<HashMap<String, Option<Wanted>>>>);

/// Marks a task as running until it is dropped.
#[derive(Debug)]
pub(crate) struct InFlightGuard {
    in_flight: InFlight,
    name: String,
    is_over: bool,
}

impl InFlight {
    /// Marks the task `name` as running, or returns `None` if it is running already.
    fn start(&self, name: String) -> Option<InFlightGuard> {
        self.start_or_ask(name, None)
    }

    /// Marks a log as being read, or returns `None` if it is being read already.
    pub(crate) fn start_log(&self, log: &LogId) -> Option<InFlightGuard> {
        self.start(Duty::Log(log.clone()).to_string())
    }

    /// Marks the sending to a destination as running. If it is running already, asks it to send this too, and returns `None`.
    pub(crate) fn start_to_send(&self, destination: &str, wanted: &Wanted) -> Option<InFlightGuard> {
        self.start_or_ask(Duty::Destination(destination.to_owned()).to_string(), Some(wanted))
    }

    /// Returns the names of the running tasks, which are those of their duties.
    pub(crate) fn running(&self) -> BTreeSet<String> {
        self.names().keys().cloned().collect()
    }

    /// Returns whether no task is running.
    pub(crate) fn is_empty(&self) -> bool {
        self.names().is_empty()
    }

    fn start_or_ask(&self, name: String, wanted: Option<&Wanted>) -> Option<InFlightGuard> {
        let mut names = self.names();
        if let Some(asked) = names.get_mut(&name) {
            *asked = match (asked.take(), wanted.cloned()) {
                (Some(before), Some(wanted)) => Some(before.and(wanted)),
                (before, wanted) => before.or(wanted),
            };
            return None;
        }
        names.insert(name.clone(), None);
        Some(InFlightGuard { in_flight: self.clone(), name, is_over: false })
    }

    fn names(&self) -> MutexGuard<'_, HashMap<String, Option<Wanted>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl InFlightGuard {
    /// Returns what the task was asked to send meanwhile. If that is nothing, the task is over: the next one may start.
    pub(crate) fn next(&mut self) -> Option<Wanted> {
        let mut names = self.in_flight.names();
        let asked = names.get_mut(&self.name).and_then(Option::take);
        if asked.is_none() {
            names.remove(&self.name);
            self.is_over = true;
        }
        asked
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        if !self.is_over {
            self.in_flight.names().remove(&self.name);
        }
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

    #[test]
    fn a_running_task_hears_what_else_is_to_be_sent() {
        let in_flight = InFlight::default();
        let start = |wanted| in_flight.start_to_send("a", &wanted);
        let mut first = start(Wanted::All).expect("nothing is running");
        assert!(start(Wanted::Opened([].into())).is_none() && start(Wanted::All).is_none());
        assert_eq!(first.next(), Some(Wanted::All), "both, once");
        assert_eq!(first.next(), None);
        let second = start(Wanted::All).expect("the first is over, though its guard is not dropped yet");
        drop(first);
        assert!(!in_flight.is_empty(), "the guard of the first does not end the second");
        drop(second);
        assert!(in_flight.is_empty());
    }
}
