//! Waits for an answer of the database from any thread, also from one that runs tasks of its own.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

/// Wakes a thread that waits. One wake that was not noticed yet is as good as many.
struct Wakes(SyncSender<()>);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        let _is_full_or_nobody_waits = self.0.try_send(());
    }
}

/// Runs `future` on this thread. Returns `None` where nothing was heard for as long as `silence_max`.
///
/// The tasks of the database's client run on a thread of its own, so this needs no runtime, and is no error inside of one.
pub(super) fn wait<F: Future>(future: F, silence_max: Duration) -> Option<F::Output> {
    let (sender, wakes) = mpsc::sync_channel(1);
    let waker = Waker::from(Arc::new(Wakes(sender)));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(output);
        }
        if let Err(RecvTimeoutError::Timeout) = wakes.recv_timeout(silence_max) {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_returns_what_another_thread_answers_and_ends_where_nobody_does() {
        let (answer, answered) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || answer.send(7));
        assert_eq!(wait(answered, Duration::from_secs(60)), Some(Ok(7)));
        assert_eq!(wait(std::future::pending::<()>(), Duration::from_millis(1)), None);
    }
}
