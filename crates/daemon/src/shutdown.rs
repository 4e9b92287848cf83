//! The wish to stop, seen by everything that takes long.

use tokio::sync::watch;

/// The side that asks.
#[derive(Debug)]
pub(crate) struct ShutdownSwitch(watch::Sender<bool>);

/// The side that is asked.
#[derive(Clone, Debug)]
pub(crate) struct Shutdown(watch::Receiver<bool>);

/// Returns both sides.
pub(crate) fn shutdown() -> (ShutdownSwitch, Shutdown) {
    let (switch, asked) = watch::channel(false);
    (ShutdownSwitch(switch), Shutdown(asked))
}

impl ShutdownSwitch {
    /// Asks everything to stop.
    pub(crate) fn ask(&self) {
        self.0.send_replace(true);
    }
}

impl Shutdown {
    /// Tells whether it was asked to stop.
    pub(crate) fn is_asked(&self) -> bool {
        *self.0.borrow()
    }
}
