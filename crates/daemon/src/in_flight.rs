//! Which logs and destinations a task is at work on, so that a slow one is neither waited for nor begun twice.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The names of what is being worked on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Busy(Arc<Mutex<HashSet<String>>>);

/// Holds a name; gives it back when dropped.
#[derive(Debug)]
pub(crate) struct BusyGuard {
    busy: Busy,
    name: String,
}

impl Busy {
    /// Takes `name`, or returns `None` where somebody has it.
    pub(crate) fn take(&self, name: String) -> Option<BusyGuard> {
        let is_free = self.names().insert(name.clone());
        is_free.then(|| BusyGuard { busy: self.clone(), name })
    }

    /// Tells whether nobody is at work.
    pub(crate) fn is_empty(&self) -> bool {
        self.names().is_empty()
    }

    fn names(&self) -> MutexGuard<'_, HashSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for BusyGuard {
    fn drop(&mut self) {
        self.busy.names().remove(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_taken_once_and_given_back() {
        let busy = Busy::default();
        let guard = busy.take("a".to_owned());
        assert!(guard.is_some() && busy.take("a".to_owned()).is_none() && busy.take("b".to_owned()).is_some());
        drop(guard);
        assert!(busy.is_empty() && busy.take("a".to_owned()).is_some());
    }
}
