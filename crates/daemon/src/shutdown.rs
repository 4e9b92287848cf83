//! The request to stop, which every long task checks.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// How long tasks may take to stop after a signal. The systemd unit allows more.
pub(crate) const STOP_MAX: Duration = Duration::from_secs(8);

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

/// Waits for a signal to stop: TERM or INT. The first process of a container ignores those that it does not wait for.
pub(crate) async fn stop_signal() -> std::io::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
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
