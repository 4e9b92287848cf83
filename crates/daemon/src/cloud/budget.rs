//! Request budgets: one for each account, region, project or workspace, shared by its logs.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::{DefaultDirectRateLimiter, RateLimiter};
use tokio::sync::{Semaphore, SemaphorePermit};

/// The quota of a provider: requests in a span of time, and at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quota {
    /// Requests in the span.
    pub(crate) requests: u32,
    /// The span.
    pub(crate) span: Duration,
    /// Requests at once, if the provider limits them.
    pub(crate) at_once: Option<usize>,
}

/// A request budget, shared by all logs under one quota.
#[derive(Debug)]
pub(crate) struct Budget {
    limiter: DefaultDirectRateLimiter,
    at_once: Option<Semaphore>,
}

/// Budgets by their key.
#[derive(Default)]
pub(crate) struct Budgets(HashMap<(String, String), Arc<Budget>>);

impl Quota {
    /// Returns how the requests are spread: a part may go at once, the others one by one. So no span of time, wherever it
    /// begins, holds more than the quota.
    fn spread(self) -> governor::Quota {
        let requests = self.requests.max(1);
        // With a span of one second, the whole quota may go at once.
        let burst = if self.span > Duration::from_secs(1) { requests.div_ceil(6) } else { requests };
        let steady = (requests - burst).max(1);
        let each = if burst == requests { self.span / requests } else { self.span / steady };
        let quota = governor::Quota::with_period(each).unwrap_or(governor::Quota::per_second(NonZeroU32::MIN));
        quota.allow_burst(NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN))
    }
}

impl Budget {
    fn new(quota: Quota) -> Budget {
        Budget { limiter: RateLimiter::direct(quota.spread()), at_once: quota.at_once.map(Semaphore::new) }
    }

    /// Waits until a request may be sent. The caller holds the permit until the answer arrives.
    pub(crate) async fn until_ready(&self) -> Option<SemaphorePermit<'_>> {
        let permit = match &self.at_once {
            // The semaphore is never closed.
            Some(at_once) => at_once.acquire().await.ok(),
            None => None,
        };
        self.limiter.until_ready().await;
        permit
    }
}

impl Budgets {
    /// Returns the budget of `key`, or a new one of `quota`.
    pub(crate) fn of(&mut self, key: (String, String), quota: Quota) -> Arc<Budget> {
        self.0.entry(key).or_insert_with(|| Arc::new(Budget::new(quota))).clone()
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    /// Sends as many requests as allowed for three spans, and returns the most in any span.
    fn most_in_a_span(quota: Quota) -> usize {
        let clock = FakeRelativeClock::default();
        let limiter = RateLimiter::direct_with_clock(quota.spread(), clock.clone());
        let steps_in_a_span = 1000;
        let mut sent: Vec<u32> = Vec::new();
        for step in 0..3 * steps_in_a_span {
            while limiter.check().is_ok() {
                sent.push(step);
            }
            clock.advance(quota.span / steps_in_a_span);
        }
        let within = |from: u32| sent.iter().filter(|at| (from..from + steps_in_a_span).contains(*at)).count();
        sent.iter().map(|from| within(*from)).max().unwrap_or(0)
    }

    #[test]
    fn no_minute_and_no_half_minute_holds_more_than_its_quota() {
        let per_minute = Quota { requests: 60, span: Duration::from_secs(60), at_once: None };
        let per_half_minute = Quota { requests: 200, span: Duration::from_secs(30), at_once: Some(5) };
        for quota in [per_minute, per_half_minute] {
            let most = most_in_a_span(quota);
            let allowed = quota.requests as usize;
            assert!((allowed * 9 / 10..=allowed).contains(&most), "{most} of {allowed}");
        }
    }
}
