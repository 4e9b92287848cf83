//! Reading a window page by page. Waiting and trying again is done here and in `sending`, and nowhere else.

use std::collections::HashSet;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use stakeout_core::fold::Fold;
use stakeout_core::record::FetchError;
use stakeout_core::time::Window;
use tracing::debug;

use crate::budget::Budget;
use crate::clock;
use crate::cloud::Client;
use crate::scan::{Cost, Log, Reader, Reading, Unread};

/// First wait after a failure; it doubles up to [`WAIT_MAX`], and each is spread at random.
const WAIT_MIN: Duration = Duration::from_millis(500);
const WAIT_MAX: Duration = Duration::from_secs(30);
/// Failures of one page in a row until the window is left for later.
const FAILURES_MAX: usize = 5;
/// Throttled answers for one page in a row until the window is left for later.
const THROTTLES_MAX: usize = 12;
/// How often a window is begun again because its page token was lost.
const RESTARTS_MAX: usize = 3;

impl Log {
    /// Reads `window`, begun again where its page token was lost.
    pub(crate) async fn read_window(
        &self,
        client: &Client,
        budget: &Budget,
        window: Window,
        is_reread: bool,
        reader: &Reader,
    ) -> Result<Reading, Unread> {
        let mut restarts = 0;
        loop {
            match self.read_pages(client, budget, window, is_reread, reader).await {
                Err(unread) if unread.is_token_gone && restarts < RESTARTS_MAX => restarts += 1,
                other => return other,
            }
        }
    }

    /// Reads the pages of `window`, in slices where the provider answers with a part only. What was read of a slice that
    /// is then halved is read again, which changes nothing: identities tell.
    async fn read_pages(
        &self,
        client: &Client,
        budget: &Budget,
        window: Window,
        is_reread: bool,
        reader: &Reader,
    ) -> Result<Reading, Unread> {
        let mut fold = reader.open(window, is_reread);
        let mut cost = Cost::default();
        let mut slices = vec![window];
        while let Some(slice) = slices.pop() {
            match self.read_slice(client, budget, slice, reader, &mut fold, &mut cost).await {
                Ok(()) => {}
                Err(Unread { is_partial: true, reason, .. }) => {
                    let (early, late) = slice.halves().ok_or_else(|| Unread::of(format!("{slice}: {reason}")))?;
                    debug!(source = self.source.name, %slice, reason, "slice is halved");
                    cost.halved += 1;
                    // The early half goes first, so that one that never becomes whole ends the window soon.
                    slices.extend([late, early]);
                }
                Err(unread) => return Err(unread),
            }
        }
        // Whether a quiet window's log is silent is worth one question, but no window: it was read.
        let has_records = match cost.records {
            0 => asking(budget, &mut cost, || client.has_records(window)).await.ok(),
            _ => Some(true),
        };
        Ok(Reading { counted: fold.count(), changes: window, cost, has_records })
    }

    /// Reads the pages of one slice of a window.
    async fn read_slice(
        &self,
        client: &Client,
        budget: &Budget,
        slice: Window,
        reader: &Reader,
        fold: &mut Fold,
        cost: &mut Cost,
    ) -> Result<(), Unread> {
        let mut token = None;
        let mut tokens_seen = HashSet::new();
        loop {
            let page = asking(budget, cost, || client.page(slice, &reader.prefilter, token.as_ref())).await?;
            cost.pages += 1;
            cost.bytes += page.bytes;
            cost.undecodable += u64::from(page.unusable);
            for record in &page.records {
                self.observe(client, record, reader, fold, cost);
            }
            let Some(next) = page.next else { return Ok(()) };
            if !tokens_seen.insert(next.0.clone()) {
                return Err(Unread {
                    is_token_gone: true,
                    ..Unread::of("the provider's page tokens go round in a circle".to_owned())
                });
            }
            token = Some(next);
        }
    }
}

/// Asks until there is an answer, a failure that waiting does not fix, or enough of the others.
pub(crate) async fn asking<T, F>(budget: &Budget, cost: &mut Cost, mut ask: impl FnMut() -> F) -> Result<T, Unread>
where
    F: Future<Output = Result<T, FetchError>>,
{
    let waits = |times| {
        ExponentialBuilder::default()
            .with_min_delay(WAIT_MIN)
            .with_max_delay(WAIT_MAX)
            .with_max_times(times)
            .with_jitter()
            .build()
    };
    let (mut failures, mut throttles) = (waits(FAILURES_MAX), waits(THROTTLES_MAX));
    loop {
        let permit = budget.until_ready().await;
        let fault = match ask().await {
            Ok(answer) => return Ok(answer),
            Err(fault) => fault,
        };
        // Others may ask while this one waits.
        drop(permit);
        let wait = match &fault {
            FetchError::Throttled { retry_after, .. } => {
                cost.throttled += 1;
                throttles.next().map(|wait| asked_wait(wait, *retry_after))
            }
            FetchError::Unavailable { .. } => {
                cost.retried += 1;
                failures.next()
            }
            FetchError::Denied { .. } | FetchError::TokenGone { .. } | FetchError::Truncated { .. } => None,
        };
        let Some(wait) = wait else {
            return Err(Unread {
                reason: fault.to_string(),
                is_token_gone: matches!(fault, FetchError::TokenGone { .. }),
                is_partial: matches!(fault, FetchError::Truncated { .. }),
            });
        };
        debug!(%fault, ?wait, "trying again");
        clock::sleep(wait).await;
    }
}

/// Returns how long to wait where `wait` is our own and the provider may ask for more. Our own may lie above
/// [`WAIT_MAX`], because it is spread after it was bounded.
fn asked_wait(wait: Duration, asked: Option<Duration>) -> Duration {
    asked.map_or(wait, |asked| asked.max(wait)).min(WAIT_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_may_ask_for_more_but_not_for_ever() {
        let s = Duration::from_secs;
        assert_eq!(asked_wait(s(2), None), s(2));
        assert_eq!(asked_wait(s(2), Some(s(1))), s(2));
        assert_eq!(asked_wait(s(2), Some(s(5))), s(5));
        assert_eq!(asked_wait(s(2), Some(s(3600))), WAIT_MAX);
        assert_eq!(asked_wait(s(59), Some(s(1))), WAIT_MAX);
    }
}
