//! What is kept between requests to a service that demands credentials: the client that holds them, and whether a
//! renewal may help when the service refuses them.
//!
//! Libraries keep credentials until they expire by this machine's clock. A service refuses them earlier where they were
//! revoked, or expired by its own clock. Then the client is made anew, which looks for credentials again, and the caller
//! asks again.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A client and what is known of its credentials.
pub struct Session<T>(Mutex<State<T>>);

/// A client in use. It remembers which of the session's clients it is.
#[derive(Clone)]
pub struct Lease<T> {
    /// The client.
    pub client: T,
    number: u64,
}

struct State<T> {
    client: Option<T>,
    /// How many clients the session had before.
    number: u64,
    /// Whether the service ever accepted the credentials of this client.
    is_accepted: bool,
    /// Whether this client was made because the service refused the credentials of the one before.
    is_renewal: bool,
}

impl<T: Clone> Session<T> {
    /// Returns a session without a client yet.
    #[must_use]
    pub fn new() -> Session<T> {
        Session(Mutex::new(State { client: None, number: 0, is_accepted: false, is_renewal: false }))
    }

    /// Returns the client in use, if there is one.
    #[must_use]
    pub fn lease(&self) -> Option<Lease<T>> {
        let state = self.state();
        state.client.clone().map(|client| Lease { client, number: state.number })
    }

    /// Puts a client into use, unless another task was faster; returns the one in use.
    pub fn begin(&self, client: T) -> Lease<T> {
        let mut state = self.state();
        let client = state.client.get_or_insert(client).clone();
        Lease { client, number: state.number }
    }

    /// Records that the service accepted the credentials.
    pub fn accepted(&self, lease: &Lease<T>) {
        let mut state = self.state();
        state.is_accepted |= state.number == lease.number;
    }

    /// Records that the service refused the credentials, and drops the client that holds them. Returns whether new ones may
    /// help: not if those refused were just renewed.
    pub fn refused(&self, lease: &Lease<T>) -> bool {
        let mut state = self.state();
        if state.number != lease.number {
            return true; // Another task has renewed them already.
        }
        let may_help = state.is_accepted || !state.is_renewal;
        *state = State { client: None, number: state.number + 1, is_accepted: false, is_renewal: may_help };
        may_help
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Clone> Default for Session<T> {
    fn default() -> Session<T> {
        Session::new()
    }
}

/// Shows nothing of the client, which holds credentials.
impl<T> fmt::Debug for Session<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_credentials_are_renewed_once() {
        let session = Session::new();
        assert!(session.lease().is_none());
        let first = session.begin("first");
        assert_eq!(session.begin("other").client, "first");
        assert!(session.refused(&first) && session.lease().is_none());
        let second = session.begin("second");
        assert!(!session.refused(&second), "they were just renewed");
        let third = session.begin("third");
        session.accepted(&third);
        assert!(session.refused(&third), "they were good before");
    }

    #[test]
    fn two_tasks_renew_the_same_credentials_once() {
        let session = Session::new();
        let (one, two) = (session.begin("first"), session.begin("first"));
        assert!(session.refused(&one));
        let renewed = session.begin("second");
        assert!(session.refused(&two), "the renewed ones may help");
        session.accepted(&two);
        assert_eq!(session.lease().expect("kept").client, "second");
        assert!(!session.refused(&renewed), "those of another client were accepted");
    }
}
