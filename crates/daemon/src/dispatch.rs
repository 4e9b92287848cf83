//! Telling one destination all that it is owed. Waiting and trying again is done here, and only here.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use stakeout_core::delivery::Delivery;
use stakeout_notify::SendError;
use stakeout_notify::batching::batch;
use stakeout_notify::destination::Destination;
use stakeout_notify::notification::Message;
use tracing::{debug, info, warn};

use crate::clock;
use crate::metric;
use crate::shutdown::Shutdown;
use crate::writer::{StateError, Writer};

/// First wait after a failure; it doubles up to [`WAIT_MAX`], and each is spread at random.
const WAIT_MIN: Duration = Duration::from_millis(500);
const WAIT_MAX: Duration = Duration::from_secs(30);
/// Longest wait that a destination may ask for; beyond it what is owed waits for the next tick.
const ASKED_MAX: Duration = Duration::from_secs(120);
/// Failures of one message in a row until what is owed is left for later.
const FAILURES_MAX: usize = 5;

/// Messages refused in a row until what is owed is left for later.
const REFUSED_MAX: usize = 3;

/// How telling a destination went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// Messages that it took.
    pub(crate) sent: usize,
    /// Messages that are still owed.
    pub(crate) owed: usize,
}

/// Tells `destination` all that it is owed, message by message; each is settled before the next is sent.
pub(crate) async fn tell(destination: &Destination, writer: &Writer, shutdown: &Shutdown) -> Result<Told, StateError> {
    let owed = writer.owed(destination.name()).await?;
    let mut told = Told { sent: 0, owed: owed.iter().map(things_in).sum() };
    let mut refused_in_a_row = 0;
    'parts: for part in destination.delivery_mode().parts(&owed) {
        let entries = part.iter().flat_map(|delivery| &delivery.entries);
        let findings = writer.findings(entries.map(|entry| entry.finding).collect()).await?;
        let notifications = batch(destination.delivery_mode(), part, &findings);
        told.owed = told.owed - part.iter().map(things_in).sum::<usize>() + notifications.len();
        for notification in notifications {
            if shutdown.is_asked() {
                break 'parts;
            }
            if let Err(fault) = send(destination, &notification.message).await {
                metric::delivery(destination, false);
                warn!(destination = destination.name(), owed = told.owed, %fault, "destination did not take a message");
                refused_in_a_row += 1;
                // One message that it refuses stands in the way of no other; one that takes none is left alone.
                if matches!(fault, SendError::Refused { .. }) && refused_in_a_row < REFUSED_MAX {
                    continue;
                }
                break 'parts;
            }
            refused_in_a_row = 0;
            writer.settle(notification.settles).await?;
            metric::delivery(destination, true);
            told.sent += 1;
            told.owed -= 1;
        }
    }
    if told.sent > 0 {
        info!(destination = destination.name(), messages = told.sent, owed = told.owed, "told");
    }
    metric::owed(destination, told.owed);
    Ok(told)
}

/// Returns how many things there are to tell.
fn things_in(delivery: &Delivery) -> usize {
    delivery.entries.len() + delivery.notices.len()
}

async fn send(destination: &Destination, message: &Message<'_>) -> Result<(), SendError> {
    let mut waits = ExponentialBuilder::default()
        .with_min_delay(WAIT_MIN)
        .with_max_delay(WAIT_MAX)
        .with_max_times(FAILURES_MAX)
        .with_jitter()
        .build();
    loop {
        let Err(fault) = destination.send(message, clock::now()).await else { return Ok(()) };
        let asked = match &fault {
            SendError::Refused { .. } => return Err(fault),
            SendError::Later { after, .. } => after.unwrap_or_default(),
        };
        match waits.next() {
            Some(wait) if asked <= ASKED_MAX => {
                debug!(destination = destination.name(), %fault, "trying again");
                clock::sleep(wait.max(asked)).await;
            }
            _ => return Err(fault),
        }
    }
}
