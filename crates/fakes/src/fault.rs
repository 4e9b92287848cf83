//! The fault knobs that all fakes share: which fault, and which of the next requests meets it.
//! How a refusal is worded belongs to each service.

use std::collections::VecDeque;
use std::num::NonZeroU32;

use tokio::sync::watch;

use crate::guarded::Guarded;

/// One way for a request to go wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Refused for asking too often, with a `Retry-After` header where seconds are given.
    Throttled {
        /// Seconds of the `Retry-After` header.
        retry_after_s: Option<u32>,
    },
    /// The service's own 500.
    InternalError,
    /// The service's own 503.
    Unavailable,
    /// Refused for want of permission.
    Denied,
    /// Exactly this answer; the request is not carried out.
    Answer {
        /// HTTP status.
        status: u16,
        /// Body, sent as plain text.
        body: String,
    },
    /// Held until [`FaultSwitch::release`], then carried out; dropped if the caller has gone by then.
    Hang,
    /// Carried out, then the connection is reset in the middle of the answer's body.
    ResetMidBody,
    /// Carried out, then half of the answer's body is sent as though it were whole.
    TruncatedBody,
    /// Carried out, then the connection is reset before the first byte of the answer.
    AnswerLost,
}

/// Which requests meet a fault. The script goes first, one entry a request; then every n-th; then always.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// What the next requests meet, one entry each; `None` lets a request pass.
    pub script: VecDeque<Option<Fault>>,
    /// Every n-th request since the faults were set meets this.
    pub every: Option<(NonZeroU32, Fault)>,
    /// Every other request meets this.
    pub always: Option<Fault>,
}

impl Faults {
    /// Lets the next `n` requests meet the fault, and all after them pass.
    pub fn next(n: usize, fault: &Fault) -> Self {
        Self { script: vec![Some(fault.clone()); n].into(), ..Self::default() }
    }

    /// Lets every n-th request meet the fault.
    pub fn every(nth: NonZeroU32, fault: Fault) -> Self {
        Self { every: Some((nth, fault)), ..Self::default() }
    }

    /// Lets every request meet the fault.
    pub fn always(fault: Fault) -> Self {
        Self { always: Some(fault), ..Self::default() }
    }
}

/// Holds the faults of one fake and hands them out, one request at a time.
#[derive(Debug, Default)]
pub struct FaultSwitch {
    set: Guarded<Set>,
    released: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Set {
    faults: Faults,
    asked: u32,
}

impl FaultSwitch {
    /// Replaces all faults, and counts requests anew.
    pub fn set(&self, faults: Faults) {
        *self.set.lock() = Set { faults, asked: 0 };
    }

    /// Adds to the script: after what it holds already, `n` requests meet the fault.
    pub fn script_next(&self, n: usize, fault: &Fault) {
        self.set.lock().faults.script.extend(vec![Some(fault.clone()); n]);
    }

    /// Takes all faults away and releases what hangs.
    pub fn clear(&self) {
        self.set(Faults::default());
        self.release();
    }

    /// Lets every request that hangs now go on.
    pub fn release(&self) {
        self.released.send_modify(|times| *times += 1);
    }

    /// Takes the fault of one request, and what to wait on if that is [`Fault::Hang`].
    pub(crate) fn take(&self) -> (Option<Fault>, watch::Receiver<u64>) {
        // Subscribed before the fault is known to anyone, so a release that follows is never missed.
        let release = self.released.subscribe();
        (self.set.lock().take(), release)
    }
}

impl Set {
    fn take(&mut self) -> Option<Fault> {
        self.asked = self.asked.wrapping_add(1);
        if let Some(scripted) = self.faults.script.pop_front() {
            return scripted;
        }
        match &self.faults.every {
            Some((nth, fault)) if self.asked.is_multiple_of(nth.get()) => Some(fault.clone()),
            _ => self.faults.always.clone(),
        }
    }
}

/// A refusal that each service words in its own dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Throttled,
    InternalError,
    Unavailable,
    Denied,
}

/// How a request that is carried out ends on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Whole,
    ResetMidBody,
    TruncatedBody,
    Lost,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_goes_before_every_nth_and_always() {
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
