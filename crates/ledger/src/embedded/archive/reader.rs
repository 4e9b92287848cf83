//! Reading the archive, block by block.
//!
//! A reader does not lock the writer out. It reads what was valid when it was made, and the files that are still there.

use std::fs::File;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::vec;

use super::block::{BlockHeads, BlockPosition};
use super::segment::{path_of, readable};
use crate::archived_finding::{ArchivedFinding, FindingHead};
use crate::error::{LedgerError, Result};

/// The order of the findings: that in which they were archived, or the reverse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ArchiveOrder {
    /// The last archived first.
    NewestFirst,
    /// The first archived first.
    OldestFirst,
}

/// A segment, as far as it may be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadableSegment {
    /// Its number.
    pub(crate) number: u64,
    /// The bytes of its blocks.
    pub(crate) end: u64,
}

/// The archive as it was when [`Archive::reader`](super::Archive::reader) was called. Opens no file until it is read.
#[derive(Clone, Debug)]
pub(crate) struct ArchiveReader {
    /// Where the segments are.
    pub(crate) dir: PathBuf,
    /// Ascending.
    pub(crate) segments: Vec<ReadableSegment>,
}

impl ArchiveReader {
    /// Returns the findings whose heads `wanted` accepts; blocks without such a head are not decoded.
    ///
    /// A damaged block is an error, and the findings after it in its segment may be missing; all other segments still
    /// come. A segment that was deleted meanwhile has no findings. Memory holds the heads of one segment and the
    /// findings of one block.
    pub(crate) fn findings<F: Fn(&FindingHead) -> bool>(self, order: ArchiveOrder, wanted: F) -> Findings<F> {
        let mut segments = self.segments;
        // The next one is taken from the end.
        if order == ArchiveOrder::OldestFirst {
            segments.reverse();
        }
        Findings { dir: self.dir, segments, order, wanted, open: None, decoded: Vec::new().into_iter() }
    }
}

/// Iterates over the findings of an archive.
#[derive(Debug)]
pub(crate) struct Findings<F> {
    dir: PathBuf,
    /// The segments that are not open yet; the next one is the last.
    segments: Vec<ReadableSegment>,
    order: ArchiveOrder,
    wanted: F,
    open: Option<OpenSegment>,
    decoded: vec::IntoIter<ArchivedFinding>,
}

#[derive(Debug)]
struct OpenSegment {
    path: PathBuf,
    file: File,
    /// The blocks with a wanted head; the next one is the last.
    blocks: Vec<Result<BlockHeads>>,
}

impl<F: Fn(&FindingHead) -> bool> Iterator for Findings<F> {
    type Item = Result<ArchivedFinding>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(finding) = self.decoded.next() {
                return Some(Ok(finding));
            }
            let step = match &mut self.open {
                Some(open) => match open.blocks.pop() {
                    Some(block) => block.and_then(|block| self.decode(&block)),
                    None => {
                        self.open = None;
                        Ok(())
                    }
                },
                None => {
                    let segment = self.segments.pop()?;
                    self.open_segment(segment)
                }
            };
            if let Err(error) = step {
                return Some(Err(error));
            }
        }
    }
}

impl<F: Fn(&FindingHead) -> bool> Findings<F> {
    fn decode(&mut self, block: &BlockHeads) -> Result<()> {
        let Some(open) = &self.open else {
            return Ok(());
        };
        let mut findings = readable(&open.path, block.findings(&open.file, &self.wanted))?;
        if self.order == ArchiveOrder::NewestFirst {
            findings.reverse();
        }
        self.decoded = findings.into_iter();
        Ok(())
    }

    /// Opens a segment and reads its heads, up to the first damaged ones.
    fn open_segment(&mut self, segment: ReadableSegment) -> Result<()> {
        let path = path_of(&self.dir, segment.number);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(LedgerError::of_io(format!("open {}", path.display()), error)),
        };
        let mut blocks = Vec::new();
        let mut at = 0;
        while at < segment.end {
            let position = BlockPosition { segment: segment.number, at };
            match readable(&path, BlockHeads::read(&file, position, segment.end)) {
                Ok(block) => {
                    at = block.end();
                    if block.heads().any(&self.wanted) {
                        blocks.push(Ok(block));
                    }
                }
                Err(error) => {
                    blocks.push(Err(error));
                    break;
                }
            }
        }
        if self.order == ArchiveOrder::OldestFirst {
            blocks.reverse();
        }
        self.open = Some(OpenSegment { path, file, blocks });
        Ok(())
    }
}
