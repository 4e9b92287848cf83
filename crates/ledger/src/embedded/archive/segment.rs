//! A segment of the archive: a file of blocks, and what is known of it without reading its findings.
//!
//! A segment that is full ends with a footer: newest last second (i64), number of findings (u64), checksum of both
//! (u64). So opening an archive reads 24 bytes of each segment. The last segment has no footer yet: its heads are read.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use stakeout_core::time::Second;

use super::block::{BlockHeads, BlockPosition, checksum};
use crate::error::{LedgerError, Result};

/// What an operator does about a damaged archive.
const MOVE_AWAY: &str = "move the directory `archive` in the state directory away: only findings of the past are lost";
/// Bytes of the footer.
const FOOTER_BYTES: usize = 24;
/// Bytes of the footer before its checksum.
const FOOTER_NUMBERS_BYTES: usize = 16;
/// What follows the number in the name of a file.
const SUFFIX: &str = ".findings";

/// A segment. No text of an event is in its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// The number in its name.
    pub(crate) number: u64,
    /// The bytes of its blocks.
    pub(crate) end: u64,
    /// The bytes of its file.
    pub(crate) bytes: u64,
    /// How many findings it holds.
    pub(crate) findings: u64,
    /// The newest last second of the first block.
    pub(crate) start: Second,
    /// The newest last second of all blocks; the end of time if no head can be read.
    pub(crate) newest: Second,
    /// Whether its heads can be read up to `end`.
    pub(crate) is_whole: bool,
}

impl Segment {
    /// Returns a segment without findings.
    pub(crate) fn empty(number: u64) -> Segment {
        let never = Second(i64::MIN);
        Segment { number, end: 0, bytes: 0, findings: 0, start: never, newest: never, is_whole: true }
    }

    /// Adds a block of `findings` findings, with the newest last second `newest`, that ends at byte `end`.
    pub(crate) fn add_block(&mut self, end: u64, findings: usize, newest: Second) {
        if self.findings == 0 {
            self.start = newest;
        }
        self.newest = self.newest.max(newest);
        self.findings = self.findings.saturating_add(findings as u64);
        self.end = end;
        self.bytes = end;
    }

    /// Reads the heads of segment `number`, whose blocks end at byte `end`. Stops at the first damaged ones.
    pub(crate) fn of_heads(file: &File, number: u64, end: u64) -> Segment {
        let mut segment = Segment::empty(number);
        while segment.end < end {
            let position = BlockPosition { segment: number, at: segment.end };
            let Ok(heads) = BlockHeads::read(file, position, end) else {
                segment.is_whole = false;
                break;
            };
            let newest = heads.heads().map(|head| head.last).max().unwrap_or(Second(i64::MIN));
            segment.add_block(heads.end(), heads.heads().count(), newest);
        }
        if segment.findings == 0 {
            // Only the limit on bytes deletes it.
            segment.newest = Second(i64::MAX);
        }
        Segment { end, bytes: end, ..segment }
    }

    /// Reads the footer of segment `number`, or its heads if the footer is missing or damaged. All its findings can
    /// still be read then, and an error follows.
    pub(crate) fn of_footer(file: &File, number: u64) -> io::Result<Segment> {
        let bytes = file.metadata()?.len();
        let end = bytes.saturating_sub(FOOTER_BYTES as u64);
        Ok(match read_footer(file, end) {
            Some((newest, findings)) => Segment { end, bytes, findings, newest, ..Segment::empty(number) },
            // The file may have been cut after a block. One byte more makes sure that a reader meets an error.
            None => Segment { bytes, ..Segment::of_heads(file, number, bytes.saturating_add(1)) },
        })
    }

    /// Returns the footer of the segment.
    pub(crate) fn footer(&self) -> [u8; FOOTER_BYTES] {
        let mut footer = [0; FOOTER_BYTES];
        footer[..8].copy_from_slice(&self.newest.0.to_le_bytes());
        footer[8..FOOTER_NUMBERS_BYTES].copy_from_slice(&self.findings.to_le_bytes());
        let checksum = checksum(&[&footer[..FOOTER_NUMBERS_BYTES]]);
        footer[FOOTER_NUMBERS_BYTES..].copy_from_slice(&checksum.to_le_bytes());
        footer
    }
}

/// Returns the newest last second and the number of findings in an intact footer at byte `end`.
fn read_footer(file: &File, end: u64) -> Option<(Second, u64)> {
    let mut footer = [0; FOOTER_BYTES];
    file.read_exact_at(&mut footer, end).ok()?;
    let (numbers, stored) = footer.split_last_chunk()?;
    let (newest, rest) = numbers.split_first_chunk()?;
    let is_intact = u64::from_le_bytes(*stored) == checksum(&[numbers]);
    is_intact.then_some((Second(i64::from_le_bytes(*newest)), u64::from_le_bytes(*rest.first_chunk()?)))
}

/// Returns the path of segment `number`.
pub(crate) fn path_of(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:010}{SUFFIX}"))
}

/// Returns the number in the name of a segment, or `None` for any other file.
pub(crate) fn number_of(name: &str) -> Option<u64> {
    let number = name.strip_suffix(SUFFIX)?.parse().ok()?;
    (name == format!("{number:010}{SUFFIX}")).then_some(number)
}

/// Returns the error for damage of the segment at `path`.
pub(crate) fn damaged(path: &Path, what: impl std::fmt::Display) -> LedgerError {
    LedgerError::Damaged { reason: format!("{}: {what}", path.display()), fix: MOVE_AWAY }
}

/// Turns a failure to read the segment at `path` into an error of the ledger.
pub(crate) fn readable<T>(path: &Path, outcome: io::Result<T>) -> Result<T> {
    outcome.map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidInput => damaged(path, error),
        _ => LedgerError::of_io(format!("read {}", path.display()), error),
    })
}
