//! The archive: findings that are over, in append-only files beside the database.
//!
//! Nothing can change these findings any more, and with them in files the database stays small. `block` has the bytes,
//! `segment` one file, and `reader` the reading. This module appends and deletes. It does not know how a finding is
//! encoded, and it does not decide when an append is valid: the ledger stores the position after it in the batch that
//! removes the findings from the database, and what is behind that position when the archive is opened never happened.

mod block;
mod segment;
mod reader;

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use stakeout_core::time::Second;

use self::block::{BLOCK_FINDINGS_MAX, BlockPosition, NewBlock};
use self::reader::ReadableSegment;
pub(crate) use self::reader::{ArchiveOrder, ArchiveReader, Findings};
use self::segment::{Segment, damaged, number_of, path_of, readable};
use super::directory::{ARCHIVE, sync_path};
use crate::archived_finding::ArchivedFinding;
use crate::error::{LedgerError, Result};

/// Most bytes of a segment, unless its only block is larger. Retention deletes whole segments, so a smaller number
/// would be more exact; each segment costs a file.
const SEGMENT_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// A finding that ended later than this after the first block of a segment begins a new one. Without this, a segment of
/// few findings would be kept for years after the first of them was due for deletion.
const SEGMENT_SECONDS_MAX: i64 = 7 * 24 * 60 * 60;

/// The end of what is valid in an archive. The default is that of a new one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ArchivePosition {
    /// The number of the last segment.
    pub(crate) segment: u64,
    /// The bytes of its blocks.
    pub(crate) bytes: u64,
}

/// What retention has deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ExpiredFindings {
    /// How many findings; those after a damaged block are not counted.
    pub(crate) findings: u64,
    /// The bytes of their files.
    pub(crate) bytes: u64,
}

/// The archive of one state directory. The caller holds the directory's lock.
#[derive(Debug)]
pub(crate) struct Archive {
    dir: PathBuf,
    /// All segments but the last, ascending.
    full: Vec<Segment>,
    last: Segment,
    /// The file of the last segment; `None` until something is appended.
    file: Option<File>,
}

impl Archive {
    /// Opens the archive in the state directory `state` up to `position`, and removes the segments behind it: the batch
    /// that named them never became durable. Creates nothing.
    ///
    /// An archive without any segment up to `position` was moved away, and a new one begins. An archive that is shorter
    /// than `position` is damaged.
    pub(crate) fn open(state: &Path, position: ArchivePosition) -> Result<Archive> {
        let dir = state.join(ARCHIVE);
        let mut numbers = Vec::new();
        for number in list(&dir)? {
            if number > position.segment || (number == position.segment && position.bytes == 0) {
                let path = path_of(&dir, number);
                tracing::warn!(file = %path.display(), "removing archived findings whose write was not completed");
                remove(&path)?;
            } else {
                numbers.push(number);
            }
        }
        let last = if position.bytes == 0 {
            Segment::empty(position.segment)
        } else if let Some(last) = numbers.pop() {
            open_last(&dir, last, position)?
        } else {
            tracing::warn!(dir = %dir.display(), "the archive of findings is gone; beginning a new one");
            Segment::empty(position.segment.saturating_add(1))
        };
        let full = numbers.into_iter().map(|number| open_full(&dir, number)).collect::<Result<_>>()?;
        Ok(Archive { dir, full, last, file: None })
    }

    /// Appends `findings`, and returns the new end of the archive when they are on the disk.
    ///
    /// They are compressed together, in blocks: of 1,000 findings of 970 bytes with four samples each, one takes 275 bytes
    /// if they are appended together, and 592 if each is appended alone. If this fails, the archive is as it was. If
    /// the batch that stores the position fails, open the archive again.
    pub(crate) fn append(&mut self, findings: &[ArchivedFinding]) -> Result<ArchivePosition> {
        let before = (self.full.len(), self.last.clone());
        let appended = self.append_blocks(findings);
        if appended.is_err() {
            self.full.truncate(before.0);
            self.last = before.1;
            self.file = None;
        }
        appended
    }

    /// Returns a reader of all that was appended up to now.
    pub(crate) fn reader(&self) -> ArchiveReader {
        let readable = |segment: &Segment| ReadableSegment { number: segment.number, end: segment.end };
        ArchiveReader { dir: self.dir.clone(), segments: self.full.iter().chain([&self.last]).map(readable).collect() }
    }

    /// Deletes the segments whose findings all ended before `before`, and the oldest ones while the archive takes more
    /// than `bytes_max`. The last segment stays, because the stored position names it.
    ///
    /// Needs no batch: it can be repeated. If this fails, some of the segments are gone.
    pub(crate) fn expire(&mut self, before: Second, bytes_max: u64) -> Result<ExpiredFindings> {
        let is_old = |segment: &Segment| segment.newest < before;
        let old_bytes: u64 = self.full.iter().filter(|one| is_old(one)).map(|one| one.bytes).sum();
        let mut excess = (self.bytes() - old_bytes).saturating_sub(bytes_max);
        let mut expired = ExpiredFindings::default();
        let mut index = 0;
        while let Some(segment) = self.full.get(index) {
            if !is_old(segment) && excess == 0 {
                index += 1;
                continue;
            }
            if !is_old(segment) {
                excess = excess.saturating_sub(segment.bytes);
            }
            remove(&path_of(&self.dir, segment.number))?;
            expired.findings = expired.findings.saturating_add(segment.findings);
            expired.bytes = expired.bytes.saturating_add(segment.bytes);
            self.full.remove(index);
        }
        Ok(expired)
    }

    /// Returns the bytes that the archive takes.
    pub(crate) fn bytes(&self) -> u64 {
        self.full.iter().chain([&self.last]).map(|segment| segment.bytes).sum()
    }

    /// Returns how many files the archive has.
    #[cfg(test)]
    pub(crate) fn segments(&self) -> usize {
        self.full.len() + usize::from(self.last.bytes > 0)
    }

    fn append_blocks(&mut self, findings: &[ArchivedFinding]) -> Result<ArchivePosition> {
        for findings in findings.chunks(BLOCK_FINDINGS_MAX) {
            let block = NewBlock::new(findings)?;
            let newest = findings.iter().map(|finding| finding.head.last).max().unwrap_or(Second(i64::MIN));
            if !self.has_room(block.bytes(), newest) {
                self.begin_segment()?;
            }
            let end = self.last.end + block.bytes();
            let position = BlockPosition { segment: self.last.number, at: self.last.end };
            self.write(&block.encode(position))?;
            self.last.add_block(end, findings.len(), newest);
        }
        self.sync()?;
        Ok(ArchivePosition { segment: self.last.number, bytes: self.last.end })
    }

    /// Returns whether a block of `bytes` bytes, with the newest last second `newest`, belongs into the last segment.
    /// A reader does not find what is behind damage.
    fn has_room(&self, bytes: u64, newest: Second) -> bool {
        let last = &self.last;
        let is_near = newest <= last.start.plus(SEGMENT_SECONDS_MAX);
        last.end == 0 || (last.is_whole && is_near && last.end.saturating_add(bytes) <= SEGMENT_BYTES_MAX)
    }

    /// Ends the last segment with its footer, and begins the next one.
    fn begin_segment(&mut self) -> Result<()> {
        let footer = self.last.footer();
        self.write(&footer)?;
        self.sync()?;
        self.file = None;
        let next = Segment::empty(self.last.number.saturating_add(1));
        let mut full = std::mem::replace(&mut self.last, next);
        full.bytes = full.end + footer.len() as u64;
        self.full.push(full);
        Ok(())
    }

    /// Writes `bytes` at the end of the last segment, without fsync.
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let path = path_of(&self.dir, self.last.number);
        let written = match &self.file {
            Some(file) => file.write_all_at(bytes, self.last.end),
            None => self.open_file(&path).and_then(|file| {
                let written = file.write_all_at(bytes, self.last.end);
                self.file = Some(file);
                written
            }),
        };
        written.map_err(|error| LedgerError::of_io(format!("write {}", path.display()), error))
    }

    /// Opens the file of the last segment, and cuts off what an append left that failed or whose batch did.
    fn open_file(&self, path: &Path) -> io::Result<File> {
        if self.last.end == 0 {
            // Only the owner: findings name users and addresses.
            DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
        }
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
        file.set_len(self.last.end)?;
        if self.last.end == 0 {
            sync_path(&self.dir)?;
            self.dir.parent().map_or(Ok(()), sync_path)?;
        }
        Ok(file)
    }

    fn sync(&self) -> Result<()> {
        let synced = self.file.as_ref().map_or(Ok(()), File::sync_all);
        synced.map_err(|error| LedgerError::of_io(format!("fsync segment {} of the archive", self.last.number), error))
    }
}

/// Returns the numbers of the segments in `dir`, ascending, and none if it does not exist. Ignores all other files.
fn list(dir: &Path) -> Result<Vec<u64>> {
    let cannot_list = |error| LedgerError::of_io(format!("list the directory {}", dir.display()), error);
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(cannot_list)?,
    };
    let mut numbers = Vec::new();
    for entry in entries {
        let name = entry.map_err(cannot_list)?.file_name();
        numbers.extend(name.to_str().and_then(number_of));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Opens segment `number`, the last one of those up to `position`. The next append cuts it there.
fn open_last(dir: &Path, number: u64, position: ArchivePosition) -> Result<Segment> {
    let path = path_of(dir, position.segment);
    if number != position.segment {
        return Err(damaged(&path, "the file is missing"));
    }
    let cannot_open = |error| LedgerError::of_io(format!("open {}", path.display()), error);
    let file = File::open(&path).map_err(cannot_open)?;
    let bytes = file.metadata().map_err(cannot_open)?.len();
    if bytes < position.bytes {
        let what = format!("the file has {bytes} bytes, but {} were durable", position.bytes);
        return Err(damaged(&path, what));
    }
    Ok(Segment::of_heads(&file, number, position.bytes))
}

fn open_full(dir: &Path, number: u64) -> Result<Segment> {
    let path = path_of(dir, number);
    readable(&path, File::open(&path).and_then(|file| Segment::of_footer(&file, number)))
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(LedgerError::of_io(format!("remove {}", path.display()), error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
