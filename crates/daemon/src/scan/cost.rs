//! The cost of a scan: requests, records and bytes, how many of them went wrong, and the time that the provider made it wait.

use std::time::Duration;

/// The cost of a scan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ScanCost {
    /// Pages, or files.
    pub(crate) pages: u64,
    /// Records.
    pub(crate) records: u64,
    /// Bytes of record text.
    pub(crate) bytes: u64,
    /// Answers that asked for fewer requests.
    pub(crate) throttled: u64,
    /// Other failed requests that were retried.
    pub(crate) retried: u64,
    /// Times that a window or a part of it was split because the provider truncated its answer.
    pub(crate) splits: u64,
    /// Records that are not audit events.
    pub(crate) undecodable: u64,
    /// Records that were cut off or damaged.
    pub(crate) truncated: u64,
    /// How long the scan waited because the provider asked for it.
    pub(crate) waited: Duration,
}

impl ScanCost {
    /// Adds a wait that the provider asks for. Fails if all of them together would be longer than `most`.
    pub(super) fn wait(&mut self, wait: Duration, most: Duration) -> Result<(), String> {
        let waited = self.waited.saturating_add(wait);
        if waited > most {
            let (asked, most) = (wait.as_secs_f64().ceil(), most.as_secs());
            return Err(format!("the provider asks to wait {asked} s, and a window waits {most} s at most"));
        }
        self.waited = waited;
        Ok(())
    }

    /// Returns the cost with that of reading the same records a second time.
    #[must_use]
    pub(crate) fn and_reading_again(self, second: ScanCost) -> ScanCost {
        ScanCost {
            pages: self.pages + second.pages,
            bytes: self.bytes + second.bytes,
            throttled: self.throttled + second.throttled,
            retried: self.retried + second.retried,
            splits: self.splits + second.splits,
            waited: self.waited + second.waited,
            ..second
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_waits_for_as_long_as_the_provider_asks_within_its_limit() {
        let (s, mut cost) = (Duration::from_secs, ScanCost::default());
        assert_eq!([400, 200].map(|wait| cost.wait(s(wait), s(600)).is_ok()), [true, true]);
        let refused = cost.wait(s(1), s(600)).expect_err("the limit is reached");
        assert_eq!(refused, "the provider asks to wait 1 s, and a window waits 600 s at most");
        assert!(ScanCost::default().wait(Duration::MAX, s(600)).is_err());
    }
}
