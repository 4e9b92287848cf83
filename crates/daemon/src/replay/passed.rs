//! Records that were passed over, for as long as somebody may ask for their time.

use stakeout_core::time::Second;

use crate::line_reader::TimeOf;

/// Text of records that is kept before their time is looked for, in bytes.
const TEXT_BYTES_MAX: usize = 256 * 1024;

/// Records that were passed over since the last one whose time is known.
pub(super) struct Passed {
    texts: Vec<String>,
    bytes: usize,
    told: Option<Second>,
    time_of: TimeOf,
}

impl Passed {
    /// Returns no records, whose times `time_of` will read.
    pub(super) fn new(time_of: TimeOf) -> Passed {
        Passed { texts: Vec::new(), bytes: 0, told: None, time_of }
    }

    /// Adds a record.
    pub(super) fn add(&mut self, record: &str) {
        self.bytes += record.len();
        self.texts.push(record.to_owned());
        if self.bytes > TEXT_BYTES_MAX {
            self.tell(self.time());
        }
    }

    /// Is told the time of a record behind all of them.
    pub(super) fn tell(&mut self, time: Option<Second>) {
        self.told = time;
        self.texts.clear();
        self.bytes = 0;
    }

    /// Returns the time of the last record that has one.
    pub(super) fn time(&self) -> Option<Second> {
        self.texts.iter().rev().find_map(|text| (self.time_of)(text.as_bytes())).or(self.told)
    }
}
