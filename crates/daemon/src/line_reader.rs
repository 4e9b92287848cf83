//! Reads the lines of a log file, of any length: all lines, or only those that contain a needle. Of a line over the limit,
//! the first part and the end are kept.
//!
//! The reader searches whole blocks, and finds the ends of a line only if the line is of interest. It does not know where
//! the bytes come from: a file, a pipe or a compressed stream.

use std::borrow::Cow;
use std::io::{self, Read};

use memchr::{memchr, memchr_iter, memrchr};
use stakeout_core::decode::{
    BorrowedEvent, DecodeError, LINE_BYTES_MAX, TAIL_BYTES, borrowed_event, borrowed_event_of_long_line, stage_time_ms,
    stage_time_unread_ms,
};
use stakeout_core::needle::{Needles, NextCandidates};
use stakeout_core::time::Second;

/// Size of a block in bytes. A block is searched while it is still in the processor's cache.
const BLOCK_BYTES: usize = 256 * 1024;

/// Returns the time of a line that was not decoded, if the line has one.
pub(crate) type TimeOf = fn(&[u8]) -> Option<Second>;

/// Reads lines and their byte offsets.
pub(crate) struct Lines<R> {
    reader: R,
    limit: usize,
    time_of: TimeOf,
    block: Vec<u8>,
    /// How many bytes of `block` are read, and how many of these are whole lines.
    filled: usize,
    whole: usize,
    /// The start of the next line in `block`.
    next: usize,
    /// The start of the lines whose time is not known yet, and the time of the line before them.
    untimed: usize,
    known_time: Option<Second>,
    /// The offset of `block` in the file.
    offset: u64,
    /// The number of lines so far, if they are counted.
    lines: Option<u64>,
    tail: Vec<u8>,
    /// The positions of candidates in `block`.
    next_candidates: NextCandidates,
}

/// A line, without the newline.
pub(crate) struct Line<'a> {
    /// Its offset in bytes.
    pub(crate) offset: u64,
    /// Whether it ends with a newline.
    pub(crate) is_ended: bool,
    prefix: &'a [u8],
    tail: Option<&'a [u8]>,
    before: Before<'a>,
}

/// The lines before a line, for the time of the nearest.
struct Before<'a> {
    untimed: &'a [u8],
    known_time: Option<Second>,
    time_of: TimeOf,
}

impl<'a> Line<'a> {
    /// Returns whether the line contains only white space.
    pub(crate) fn is_blank(&self) -> bool {
        self.prefix.iter().all(u8::is_ascii_whitespace)
    }

    /// Returns the line as text, or the first part of a line over the limit.
    pub(crate) fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.prefix)
    }

    /// Returns the audit event in the line, borrowed from it.
    pub(crate) fn borrowed_event(&self) -> Result<BorrowedEvent<'a>, DecodeError> {
        match self.tail {
            None => borrowed_event(self.prefix),
            Some(tail) => borrowed_event_of_long_line(self.prefix, tail),
        }
    }

    /// Returns the API server's own time of `event`, which was read from this line.
    pub(crate) fn stage_time(&self, event: &Result<BorrowedEvent<'_>, DecodeError>) -> Option<Second> {
        stage_time_ms(self.tail.unwrap_or(self.prefix), event).map(Second::of_millis)
    }

    /// Returns the time of the nearest line before this one that has one.
    pub(crate) fn time_before(&self) -> Option<Second> {
        self.before.time()
    }
}

impl Before<'_> {
    fn time(&self) -> Option<Second> {
        let mut rest = self.untimed;
        while !rest.is_empty() {
            let text = rest.strip_suffix(b"\n").unwrap_or(rest);
            let begin = memrchr(b'\n', text).map_or(0, |end| end + 1);
            if let Some(time) = (self.time_of)(&text[begin..]) {
                return Some(time);
            }
            rest = &rest[..begin];
        }
        self.known_time
    }
}

/// Returns the API server's own time of the event in a line.
pub(crate) fn stage_time_of(line: &[u8]) -> Option<Second> {
    stage_time_unread_ms(line).map(Second::of_millis)
}

impl<R: Read> Lines<R> {
    /// Returns a reader of audit events, one per line. The first line begins at `offset`.
    pub(crate) fn new(reader: R, offset: u64) -> Lines<R> {
        Lines::with_limit(reader, LINE_BYTES_MAX, stage_time_of).beginning_at(offset)
    }

    /// Returns a reader that keeps at most `limit` bytes of a line, for records that cannot be read in part.
    pub(crate) fn with_limit(reader: R, limit: usize, time_of: TimeOf) -> Lines<R> {
        Lines {
            reader,
            limit,
            time_of,
            block: vec![0; BLOCK_BYTES.min(limit)],
            filled: 0,
            whole: 0,
            next: 0,
            untimed: 0,
            known_time: None,
            offset: 0,
            lines: Some(0),
            tail: Vec::new(),
            next_candidates: NextCandidates::default(),
        }
    }

    /// Returns the reader with its first line at `offset` of the file.
    pub(crate) fn beginning_at(self, offset: u64) -> Lines<R> {
        Lines { offset, ..self }
    }

    /// Returns the reader without a count of lines, which costs a tenth of the time.
    pub(crate) fn uncounted(self) -> Lines<R> {
        Lines { lines: None, ..self }
    }

    /// Returns the next line, or the next line that contains one of `needles`, or `None` at the end.
    pub(crate) fn next(&mut self, needles: Option<&Needles>) -> io::Result<Option<Line<'_>>> {
        loop {
            let lines = &self.block[..self.whole];
            let hit = match needles {
                Some(needles) => needles.find(lines, self.next, &mut self.next_candidates),
                None => (self.next < self.whole).then_some(self.next),
            };
            if let Some(at) = hit {
                return Ok(Some(self.line_around(at)));
            }
            self.next = self.whole;
            match self.fill()? {
                Filled::Lines => {}
                Filled::End => return Ok(None),
                Filled::LongLine => {
                    let (line, before) = (self.read_rest()?, self.known_time);
                    let event = borrowed_event_of_long_line(&self.block[..self.limit], &self.tail);
                    let time = stage_time_ms(&self.tail, &event).map(Second::of_millis).or(before);
                    self.set_time(time);
                    if needles.is_none_or(|needles| needles.occur_in(&self.block[..self.limit])) {
                        return Ok(Some(self.long_line(&line, before)));
                    }
                }
            }
        }
    }

    /// Sets the time of the last returned line, so that the reader need not search for it.
    pub(crate) fn set_time(&mut self, time: Option<Second>) {
        self.known_time = time;
        self.untimed = self.next;
    }

    /// Returns the time of the last line so far that has one.
    pub(crate) fn time(&self) -> Option<Second> {
        let untimed = &self.block[self.untimed..self.next];
        Before { untimed, known_time: self.known_time, time_of: self.time_of }.time()
    }

    /// Returns the number of lines so far, including blank lines and lines that were not returned; 0 if lines are not
    /// counted.
    pub(crate) fn lines(&self) -> u64 {
        self.lines.unwrap_or(0)
    }

    /// Returns the offset up to which the file is read.
    pub(crate) fn bytes(&self) -> u64 {
        self.offset + self.filled as u64
    }

    fn line_around(&mut self, at: usize) -> Line<'_> {
        let begin = memrchr(b'\n', &self.block[self.next..at]).map_or(self.next, |end| self.next + end + 1);
        let end = memchr(b'\n', &self.block[at..self.whole]).map_or(self.whole, |end| at + end + 1);
        self.next = end;
        let text = &self.block[begin..end];
        let ended = text.strip_suffix(b"\n");
        Line {
            offset: self.offset + begin as u64,
            is_ended: ended.is_some(),
            prefix: ended.unwrap_or(text),
            tail: None,
            before: Before {
                untimed: &self.block[self.untimed..begin],
                known_time: self.known_time,
                time_of: self.time_of,
            },
        }
    }

    /// Replaces the lines of the block, which are finished, by the next ones.
    fn fill(&mut self) -> io::Result<Filled> {
        self.set_time(self.time());
        self.next_candidates.clear();
        self.block.copy_within(self.next..self.filled, 0);
        self.offset += self.next as u64;
        self.filled -= self.next;
        (self.next, self.untimed, self.whole) = (0, 0, 0);
        loop {
            if self.filled >= self.limit {
                return Ok(Filled::LongLine);
            }
            // A line that is longer than a block makes the block longer until the line is finished.
            let end = BLOCK_BYTES.max(2 * self.filled).min(self.limit);
            self.block.resize(end, 0);
            let read = read_some(&mut self.reader, &mut self.block[self.filled..end])?;
            let new = self.filled..self.filled + read;
            self.filled = new.end;
            if read == 0 {
                // The rest without a newline is the last line.
                self.whole = self.filled;
                count(&mut self.lines, || u64::from(self.whole > 0));
                return Ok(if self.whole > 0 { Filled::Lines } else { Filled::End });
            }
            count(&mut self.lines, || memchr_iter(b'\n', &self.block[new.clone()]).count() as u64);
            if let Some(last) = memrchr(b'\n', &self.block[new.clone()]) {
                self.whole = new.start + last + 1;
                return Ok(Filled::Lines);
            }
        }
    }

    /// Reads to the end of a long line, whose first part is in the block, and keeps its last bytes. The bytes after the
    /// line are then in the block, after the first part.
    fn read_rest(&mut self) -> io::Result<LongLine> {
        let limit = self.limit;
        // The bytes after the line must not be longer than the first part of a line.
        self.block.resize(limit + BLOCK_BYTES.min(limit), 0);
        self.tail.clear();
        self.tail.extend_from_slice(&self.block[limit - TAIL_BYTES..limit]);
        let offset = self.offset;
        let mut bytes = limit as u64;
        loop {
            let read = read_some(&mut self.reader, &mut self.block[limit..])?;
            let end = memchr(b'\n', &self.block[limit..limit + read]);
            let taken = end.unwrap_or(read);
            self.tail.extend_from_slice(&self.block[limit..limit + taken]);
            let surplus = self.tail.len().saturating_sub(TAIL_BYTES);
            self.tail.drain(..surplus);
            bytes += (taken + usize::from(end.is_some())) as u64;
            if end.is_some() || read == 0 {
                let after = &self.block[limit + taken..limit + read];
                count(&mut self.lines, || 1 + memchr_iter(b'\n', after).skip(1).count() as u64);
                self.next = limit + taken + usize::from(end.is_some());
                self.filled = limit + read;
                self.whole = memrchr(b'\n', &self.block[limit..self.filled]).map_or(self.next, |last| limit + last + 1);
                self.next_candidates.clear();
                // The block holds only a part of the line.
                self.offset = offset + bytes - self.next as u64;
                return Ok(LongLine { offset, is_ended: end.is_some() });
            }
        }
    }

    fn long_line(&self, line: &LongLine, known_time: Option<Second>) -> Line<'_> {
        Line {
            offset: line.offset,
            is_ended: line.is_ended,
            prefix: &self.block[..self.limit],
            tail: Some(&self.tail),
            before: Before { untimed: &[], known_time, time_of: self.time_of },
        }
    }
}

/// The result of filling the block.
enum Filled {
    /// Whole lines.
    Lines,
    /// The first part of a line over the limit.
    LongLine,
    /// The end of the file.
    End,
}

/// A line over the limit.
struct LongLine {
    offset: u64,
    is_ended: bool,
}

fn count(lines: &mut Option<u64>, more: impl FnOnce() -> u64) {
    if let Some(lines) = lines {
        *lines += more();
    }
}

/// Reads once, and again if a signal interrupts it.
fn read_some(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match reader.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

#[cfg(test)]
mod tests;
