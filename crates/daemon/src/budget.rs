//! How many requests a provider is sent: one budget for each account and region, shared by the logs that draw on it.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

/// How many requests may be sent in a second, shared by all that draw on one quota.
pub(crate) type Budget = DefaultDirectRateLimiter;

/// Budgets by what they are for.
#[derive(Default)]
pub(crate) struct Budgets(HashMap<(String, String), Arc<Budget>>);

impl Budgets {
    /// Returns the budget of `key`, made for `per_second` requests where it is new.
    pub(crate) fn of(&mut self, key: (String, String), per_second: u32) -> Arc<Budget> {
        let quota = Quota::per_second(per_second.try_into().unwrap_or(NonZeroU32::MIN));
        self.0.entry(key).or_insert_with(|| Arc::new(RateLimiter::direct(quota))).clone()
    }
}
