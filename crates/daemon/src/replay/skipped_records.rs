//! Records that no rule can match, kept for as long as their time may be needed.

use stakeout_core::time::Second;

use crate::line_reader::TimeOf;

/// Text of records that is kept until their time is read, in bytes.
const TEXT_BYTES_MAX: usize = 256 * 1024;

/// Records that were skipped since the last record with a known time.
pub(super) struct SkippedRecords {
    texts: Vec<String>,
    bytes: usize,
    /// The time of the last record before them.
    time_before: Option<Second>,
    time_of: TimeOf,
}

impl SkippedRecords {
    /// Returns no records. `time_of` will read their times.
    pub(super) fn new(time_of: TimeOf) -> SkippedRecords {
        SkippedRecords { texts: Vec::new(), bytes: 0, time_before: None, time_of }
    }

    /// Adds a record.
    pub(super) fn add(&mut self, record: &str) {
        self.bytes += record.len();
        self.texts.push(record.to_owned());
        if self.bytes > TEXT_BYTES_MAX {
            self.set_time(self.time());
        }
    }

    /// Sets the time of a record after all of them, which makes them obsolete.
    pub(super) fn set_time(&mut self, time: Option<Second>) {
        self.time_before = time;
        self.texts.clear();
        self.bytes = 0;
    }

    /// Returns the time of the last record that has one.
    pub(super) fn time(&self) -> Option<Second> {
        self.texts.iter().rev().find_map(|text| (self.time_of)(text.as_bytes())).or(self.time_before)
    }
}
