//! The faults that all fakes share: which fault, and which of the next requests it hits. Each service words its own
//! refusals.

use std::collections::VecDeque;
use std::num::NonZeroU32;

use tokio::sync::watch;

use crate::guarded::Guarded;

/// One way for a request to go wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Refused because of too many requests, with a `Retry-After` header if seconds are given.
    Throttled {
        /// Seconds of the `Retry-After` header.
        retry_after_s: Option<u32>,
    },
    /// The service's 500.
    InternalError,
    /// The service's 503.
    Unavailable,
    /// The same, with a wait that the service asks for.
    Busy {
        /// The header `Retry-After`, in seconds.
        retry_after_s: u32,
    },
    /// Refused because of a missing permission.
    Denied,
    /// Exactly this answer; the request is not executed.
    Answer {
        /// HTTP status.
        status: u16,
        /// Body, sent as plain text.
        body: String,
    },
    /// Held until [`FaultSwitch::release`], then executed; dropped if the caller has gone by then.
    Hang,
    /// Executed, then the connection is reset in the middle of the answer's body.
    ResetMidBody,
    /// Executed, then half of the answer's body is sent as if it were complete.
    TruncatedBody,
    /// Executed, then the connection is reset before the first byte of the answer.
    AnswerLost,
}

/// Which requests a fault hits. The script comes first, with one entry per request; then every n-th; then always.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// The faults of the next requests, one entry each; `None` lets a request pass.
    pub script: VecDeque<Option<Fault>>,
    /// The fault of every n-th request since the faults were set.
    pub every: Option<(NonZeroU32, Fault)>,
    /// The fault of every other request.
    pub always: Option<Fault>,
}

impl Faults {
    /// Injects the fault into the next `n` requests; all later ones pass.
    pub fn next(n: usize, fault: &Fault) -> Self {
        Self { script: vec![Some(fault.clone()); n].into(), ..Self::default() }
    }

    /// Injects the fault into every n-th request.
    pub fn every(nth: NonZeroU32, fault: Fault) -> Self {
        Self { every: Some((nth, fault)), ..Self::default() }
    }

    /// Injects the fault into every request.
    pub fn always(fault: Fault) -> Self {
        Self { always: Some(fault), ..Self::default() }
    }
}

/// Holds the faults of one fake and applies them, one request at a time.
#[derive(Debug, Default)]
pub struct FaultSwitch {
    set: Guarded<FaultState>,
    released: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct FaultState {
    faults: Faults,
    requests: u32,
}

impl FaultSwitch {
    /// Replaces all faults, and restarts the count of requests.
    pub fn set(&self, faults: Faults) {
        *self.set.lock() = FaultState { faults, requests: 0 };
    }

    /// Appends `n` faults to the script.
    pub fn script_next(&self, n: usize, fault: &Fault) {
        self.set.lock().faults.script.extend(vec![Some(fault.clone()); n]);
    }

    /// Removes all faults and releases held requests.
    pub fn clear(&self) {
        self.set(Faults::default());
        self.release();
    }

    /// Releases every request that is held now.
    pub fn release(&self) {
        self.released.send_modify(|times| *times += 1);
    }

    /// Takes the fault of one request, and the signal to wait for in case of [`Fault::Hang`].
    pub(crate) fn take(&self) -> (Option<Fault>, watch::Receiver<u64>) {
        // Subscribes before the fault is visible, so that a later release is never missed.
        let release = self.released.subscribe();
        (self.set.lock().take(), release)
    }
}

impl FaultState {
    fn take(&mut self) -> Option<Fault> {
        self.requests = self.requests.wrapping_add(1);
        if let Some(scripted) = self.faults.script.pop_front() {
            return scripted;
        }
        match &self.faults.every {
            Some((nth, fault)) if self.requests.is_multiple_of(nth.get()) => Some(fault.clone()),
            _ => self.faults.always.clone(),
        }
    }
}

/// A refusal that each service expresses in its own format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Throttled,
    InternalError,
    Unavailable,
    Denied,
}

/// How the answer to an executed request ends on the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AnswerEnding {
    Whole,
    ResetMidBody,
    TruncatedBody,
    Lost,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_comes_before_every_nth_and_always() {
        let switch = FaultSwitch::default();
        switch.set(Faults {
            script: vec![None, Some(Fault::Denied)].into(),
            every: NonZeroU32::new(2).map(|nth| (nth, Fault::Unavailable)),
            always: Some(Fault::InternalError),
        });
        let met: Vec<_> = (0..5).map(|_| switch.take().0).collect();
        assert_eq!(
            met,
            [
                None,
                Some(Fault::Denied),
                Some(Fault::InternalError),
                Some(Fault::Unavailable),
                Some(Fault::InternalError)
            ]
        );
    }

    #[test]
    fn next_and_script_next_add_up() {
        let switch = FaultSwitch::default();
        switch.set(Faults::next(1, &Fault::Denied));
        switch.script_next(1, &Fault::AnswerLost);
        let met: Vec<_> = (0..3).map(|_| switch.take().0).collect();
        assert_eq!(met, [Some(Fault::Denied), Some(Fault::AnswerLost), None]);
    }
}
