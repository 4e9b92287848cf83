//! How much of the input was read, and whether that is an answer.

use std::io::{self, Read};

use indicatif::ProgressBar;
use stakeout_core::finder::Unusable;
use stakeout_core::text::counted;
use stakeout_core::time::Second;

use super::input_parts::InputPart;

/// How much of the files was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReadCounts {
    /// Records.
    pub(crate) records: u64,
    pub(super) bytes: u64,
    /// Records that were decoded, because they contain a needle or all records are candidates.
    pub(super) decoded: u64,
    pub(super) truncated: u64,
    /// Records that look like audit events and cannot be read.
    pub(crate) unreadable: u64,
    /// Records of something else, which logs may contain beside audit events.
    pub(crate) foreign: u64,
    /// Records that are not lines of the API server.
    pub(super) others_than_lines: u64,
    /// Lines whose end shows that they are cut off.
    pub(super) cut_lines: u64,
    pub(super) untimed: u64,
    /// Requests with neither a client address nor a response code.
    pub(crate) bare: u64,
    /// The earliest time of a decoded record.
    pub(crate) earliest: Option<Second>,
    /// The latest time of a decoded record.
    pub(crate) latest_decoded: Option<Second>,
    /// The latest time of the last records of the files, and of records that are not lines of the API server.
    pub(crate) latest: Option<Second>,
    first_unusable: Option<FirstUnusable>,
}

/// The first record of the input that is no audit event.
#[derive(Clone, Debug, PartialEq, Eq)]
struct FirstUnusable {
    /// The position of its part in the input.
    part: usize,
    /// Its offset in the text of its file.
    at: u64,
    /// Why it is none.
    unusable: Unusable,
}

impl ReadCounts {
    /// Adds the counts of another thread.
    pub(super) fn add(&mut self, other: ReadCounts) {
        self.records += other.records;
        self.bytes += other.bytes;
        self.decoded += other.decoded;
        self.truncated += other.truncated;
        self.unreadable += other.unreadable;
        self.foreign += other.foreign;
        self.others_than_lines += other.others_than_lines;
        self.cut_lines += other.cut_lines;
        self.untimed += other.untimed;
        self.bare += other.bare;
        self.earliest = [self.earliest, other.earliest].into_iter().flatten().min();
        self.latest_decoded = self.latest_decoded.max(other.latest_decoded);
        self.latest = self.latest.max(other.latest);
        if let Some(first) = other.first_unusable {
            self.note_unusable(first.part, first.at, &first.unusable);
        }
    }

    /// Keeps the first unusable record.
    pub(super) fn note_unusable(&mut self, part: usize, at: u64, unusable: &Unusable) {
        if self.first_unusable.as_ref().is_none_or(|first| (part, at) < (first.part, first.at)) {
            self.first_unusable = Some(FirstUnusable { part, at, unusable: unusable.clone() });
        }
    }

    /// Returns whether too few records are usable: none, or fewer than those that look like audit events and cannot be read.
    /// An empty input has none: who read nothing has not found nothing.
    pub(crate) fn is_unusable(&self) -> bool {
        self.decoded == 0 || self.unreadable > self.decoded
    }

    /// Returns whether records that were skipped may be unreadable, so that they decide whether the input is usable.
    pub(super) fn are_skipped_in_doubt(&self) -> bool {
        self.is_unusable() || 2 * self.cut_lines > self.records
    }

    /// Returns why the input is no answer, for people.
    pub(crate) fn explanation(&self, parts: &[InputPart]) -> String {
        if self.records == 0 {
            return "the input is empty: check where it comes from".to_owned();
        }
        let records = counted(self.records, "record");
        let verb = if self.records == 1 { "is an audit event" } else { "are audit events" };
        let summary = format!("{} of {records} {verb}", self.decoded);
        let Some(first) = &self.first_unusable else {
            return summary;
        };
        let what = first.describe(parts);
        if self.decoded == 0 {
            format!("{summary}; the first is {what}")
        } else {
            format!("{summary}; the first other is {what}")
        }
    }

    /// Returns what the first unusable record is and where.
    pub(crate) fn first_unusable(&self, parts: &[InputPart]) -> Option<String> {
        self.first_unusable.as_ref().map(|first| first.describe(parts))
    }
}

impl FirstUnusable {
    fn describe(&self, parts: &[InputPart]) -> String {
        let place = match parts.get(self.part).map(|part| (part, line_of(part, self.at))) {
            Some((part, Ok(line))) => format!("{}, line {line}", part.file.path().display()),
            Some((part, Err(_))) => format!("{}, byte {}", part.file.path().display(), self.at),
            None => format!("byte {}", self.at),
        };
        match &self.unusable {
            Unusable::Skipped(_) => place,
            Unusable::Damaged(error) => format!("a damaged audit event ({error}), {place}"),
            Unusable::Foreign(foreign) => {
                let advice = foreign.advice.map(|advice| format!("; {advice}")).unwrap_or_default();
                format!("{}, {place}: {:?}{advice}", foreign.what, foreign.shown)
            }
        }
    }
}

/// Returns the number of the line that contains the byte `at` of a text.
fn line_of(part: &InputPart, at: u64) -> io::Result<u64> {
    let mut text = part.file.text(&ProgressBar::hidden())?.take(at);
    let mut block = vec![0; 256 * 1024];
    let mut line = 1;
    loop {
        let read = match text.read(&mut block)? {
            0 => return Ok(line),
            read => read,
        };
        line += memchr::memchr_iter(b'\n', &block[..read]).count() as u64;
    }
}
