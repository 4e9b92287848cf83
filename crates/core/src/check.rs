//! Checks: what `doctor` finds out about a log, each with the fix.
//!
//! Provider crates run the checks; the daemon prints them and chooses the exit code. What reading costs is estimated here, in
//! one way for all clouds.

use crate::text::counted;
use crate::time::Window;

/// Hours of a month, on average.
const MONTH_HOURS: f64 = 730.0;
/// Bytes of a gigabyte as the clouds bill it.
const GB: f64 = 1e9;

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// As it should be.
    Good,
    /// It works, but misses something, or costs more than it needs to.
    Doubtful,
    /// The log cannot be read, or does not record reads.
    Bad,
    /// The check could not be run.
    Unknown,
}

/// One check of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// The subject, in a word or two: `route`, `calls`, `credentials`, `permission`, `log`, `rotated files`, `scans`,
    /// `newest event`, `quota`, `cost`, `proxies`, `estimate`; of destinations `token` and `channel`.
    pub subject: &'static str,
    /// The result.
    pub status: Status,
    /// What was found, in one sentence.
    pub finding: String,
    /// The exact command or console step that fixes it; `None` where nothing needs fixing.
    pub fix: Option<String>,
}

/// What the checks of a log found.
#[derive(Clone, Debug, PartialEq)]
pub struct Examination {
    /// The checks.
    pub checks: Vec<Check>,
    /// What reading the window took, where it was read to its end.
    pub cost: Option<ReadCost>,
}

/// What reading a window once takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReadCost {
    /// Requests, one for each page.
    pub requests: u64,
    /// Records that came.
    pub records: u64,
    /// Bytes of record text that came.
    pub bytes: u64,
    /// Bytes that the provider bills: those that came, or those that a query scans.
    pub billed_bytes: u64,
    /// What the provider charges for them.
    pub price: Price,
}

/// What a provider charges for reads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Price {
    /// US dollars for a gigabyte (10^9 bytes); 0 where reads are free.
    pub dollars_per_gb: f64,
    /// What the price is for, with its condition.
    pub what: &'static str,
}

impl ReadCost {
    /// Returns the estimate for an hour and for a month, in which each window is read `reads` times, rereads included.
    /// `window` is the one that was read. Follow-ups and context queries come on top: they depend on who scans.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "it is an estimate")]
    pub fn estimate(&self, window: Window, reads: usize) -> Check {
        let seconds = window.latest().0.saturating_sub(window.earliest().0).max(1);
        let hour = |number: u64| number as f64 * 3_600.0 / seconds as f64;
        let month = |number: u64| hour(number) * MONTH_HOURS * reads as f64;
        let dollars = month(self.billed_bytes) / GB * self.price.dollars_per_gb;
        let charge = match self.price.dollars_per_gb {
            0.0 => self.price.what.to_owned(),
            price => format!("{dollars:.2} USD ({price} USD per GB {})", self.price.what),
        };
        let finding = format!(
            "an hour takes {:.0} requests for {:.0} records, {:.1} MB; a month with {} of each window takes {:.0} requests and \
             {:.2} GB: {charge}",
            hour(self.requests).ceil(),
            hour(self.records),
            hour(self.bytes) / 1e6,
            counted(reads, "read"),
            month(self.requests).ceil(),
            month(self.billed_bytes) / GB,
        );
        Check::good("estimate", finding)
    }
}

impl Check {
    /// Returns a check that needs no fix.
    #[must_use]
    pub fn good(subject: &'static str, finding: impl Into<String>) -> Check {
        Check { subject, status: Status::Good, finding: finding.into(), fix: None }
    }

    /// Returns a check with its fix.
    #[must_use]
    pub fn of(subject: &'static str, status: Status, finding: impl Into<String>, fix: impl Into<String>) -> Check {
        Check { subject, status, finding: finding.into(), fix: Some(fix.into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Second;

    #[test]
    fn an_estimate_has_its_formula_and_its_units() {
        let price = Price { dollars_per_gb: 0.005, what: "that a query scans" };
        let cost = ReadCost { requests: 2, records: 600, bytes: 1_200_000, billed_bytes: 500_000_000, price };
        let half_an_hour = Window::new(Second(0), Second(1_800)).expect("not empty");
        // 1 GB an hour, 730 hours, three reads, 0.005 dollars.
        assert_eq!(
            cost.estimate(half_an_hour, 3).finding,
            "an hour takes 4 requests for 1200 records, 2.4 MB; a month with 3 reads of each window takes 8760 requests and \
             2190.00 GB: 10.95 USD (0.005 USD per GB that a query scans)"
        );
        let free = ReadCost { price: Price { dollars_per_gb: 0.0, what: "reads are free" }, ..cost };
        assert!(free.estimate(half_an_hour, 1).finding.ends_with("730.00 GB: reads are free"));
    }
}
