//! Request budgets: one for each account, region, project or identity, shared by its logs.
//!
//! A quota belongs to everybody in the account, so only a share of it is used.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use governor::{DefaultDirectRateLimiter, RateLimiter};
use tokio::sync::{Semaphore, SemaphorePermit};

/// The share of a quota that is used unless the config says otherwise.
pub(crate) const SHARE: f64 = 0.5;

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
    /// When the provider wants to be asked again, if it said so.
    resume: Mutex<Option<Instant>>,
}

/// Budgets by their key.
pub(crate) struct Budgets {
    share: f64,
    budgets: HashMap<(String, String), Arc<Budget>>,
}

impl Quota {
    /// Returns the `share` of the quota, rounded down, and at least one request.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share is between 0 and 1")]
    fn share(self, share: f64) -> Quota {
        let of = |number: f64| (number * share).floor().max(1.0);
        Quota {
            requests: of(f64::from(self.requests)) as u32,
            at_once: self.at_once.map(|at_once| of(at_once as f64) as usize),
            ..self
        }
    }

    /// Returns how the requests are spread, so that no span of time, wherever it begins, holds more than the quota: those of a
    /// second one by one, and of a longer span a part at once and the others one by one.
    fn spread(self) -> governor::Quota {
        let requests = self.requests.max(1);
        let burst = if self.span > Duration::from_secs(1) { requests.div_ceil(3) } else { 1 };
        let each = match requests - burst {
            0 => self.span,
            // A request at either end of the span belongs to it.
            steady => self.span / steady,
        };
        let quota = governor::Quota::with_period(each).unwrap_or(governor::Quota::per_second(NonZeroU32::MIN));
        quota.allow_burst(NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN))
    }
}

impl Budget {
    fn new(quota: Quota) -> Budget {
        Budget {
            limiter: RateLimiter::direct(quota.spread()),
            at_once: quota.at_once.map(Semaphore::new),
            resume: Mutex::new(None),
        }
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

    /// Records that the provider wants to be asked again `after` this time from `now` on, and not earlier.
    pub(crate) fn pause(&self, now: Instant, after: Duration) {
        let mut resume = self.resume.lock().unwrap_or_else(PoisonError::into_inner);
        // A time beyond the clock's range is one that the daemon does not live to see.
        let until = now.checked_add(after).or(*resume);
        *resume = until.max(*resume);
    }

    /// Returns how long the provider still wants to be left alone.
    pub(crate) fn pause_left(&self, now: Instant) -> Duration {
        let resume = *self.resume.lock().unwrap_or_else(PoisonError::into_inner);
        resume.map_or(Duration::ZERO, |resume| resume.saturating_duration_since(now))
    }
}

impl Budgets {
    /// Returns no budgets yet; each will be `share` of its quota.
    pub(crate) fn new(share: f64) -> Budgets {
        Budgets { share, budgets: HashMap::new() }
    }

    /// Returns the budget of `key`, or a new one of `quota`.
    pub(crate) fn of(&mut self, key: (String, String), quota: Quota) -> Arc<Budget> {
        self.budgets.entry(key).or_insert_with(|| Arc::new(Budget::new(quota.share(self.share)))).clone()
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
    fn no_span_holds_more_than_its_quota_wherever_it_begins() {
        let second = |requests| Quota { requests, span: Duration::from_secs(1), at_once: None };
        let minute = |requests| Quota { requests, span: Duration::from_secs(60), at_once: None };
        let half_minute = Quota { requests: 200, span: Duration::from_secs(30), at_once: Some(5) };
        let quotas = [second(1), second(2), second(5), second(12), second(25), minute(30), minute(60), half_minute];
        for quota in quotas {
            let most = most_in_a_span(quota);
            let allowed = quota.requests as usize;
            assert!((allowed * 9 / 10..=allowed).contains(&most), "{most} of {allowed} in {:?}", quota.span);
        }
    }

    #[test]
    fn a_share_is_rounded_down_and_never_nothing() {
        let quota = |requests, at_once| Quota { requests, span: Duration::from_secs(1), at_once };
        assert_eq!(quota(25, Some(5)).share(0.5), quota(12, Some(2)));
        assert_eq!(quota(5, None).share(0.5), quota(2, None));
        assert_eq!(quota(5, Some(2)).share(0.01), quota(1, Some(1)));
        assert_eq!(quota(10, Some(2)).share(1.0), quota(10, Some(2)));
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any instant will do, and nothing is measured")]
    fn a_pause_ends_at_the_latest_time_that_was_asked_for() {
        let (s, now) = (Duration::from_secs, Instant::now());
        let budget = Budget::new(Quota { requests: 5, span: s(1), at_once: None });
        assert_eq!(budget.pause_left(now), Duration::ZERO);
        budget.pause(now, s(3_600));
        budget.pause(now, s(60));
        budget.pause(now, Duration::MAX);
        assert_eq!(
            [0, 600, 3_600, 9_999].map(|after| budget.pause_left(now + s(after)).as_secs()),
            [3_600, 3_000, 0, 0]
        );
    }
}
