//! The request to stop, which every long task checks.

use tokio::sync::watch;

/// The side that requests the shutdown.
#[derive(Debug)]
pub(crate) struct ShutdownSwitch(watch::Sender<bool>);

/// The side that checks for a shutdown.
#[derive(Clone, Debug)]
pub(crate) struct Shutdown(watch::Receiver<bool>);

/// Returns both sides.
pub(crate) fn shutdown() -> (ShutdownSwitch, Shutdown) {
    let (switch, requested) = watch::channel(false);
    (ShutdownSwitch(switch), Shutdown(requested))
}

impl ShutdownSwitch {
    /// Requests every task to stop.
    pub(crate) fn request(&self) {
        self.0.send_replace(true);
    }
}

impl Shutdown {
    /// Returns whether a shutdown was requested.
    pub(crate) fn is_requested(&self) -> bool {
        *self.0.borrow()
    }
}
