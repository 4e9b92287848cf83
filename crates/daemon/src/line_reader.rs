//! Reads the lines of a log file, of any length: all lines, or only those that contain a needle. Of a line over the limit,
//! the first part and the end are kept.
//!
//! The reader searches whole blocks, and finds the ends of a line only if the line is of interest. It does not know where
//! the bytes come from: a file, a pipe or a compressed stream.
//!
//! On request it also checks that each line begins as the API server begins its lines. Other text is left to the caller,
//! which takes it byte by byte: a document over several lines, a line with a prefix, or anything else.

use std::borrow::Cow;
use std::io::{self, Read};

use memchr::{memchr, memchr_iter, memrchr};
use serde::de::IgnoredAny;
use stakeout_core::decode::{
    BorrowedEvent, DecodeError, LINE_BYTES_MAX, TAIL_BYTES, borrowed_event, borrowed_event_of_long_line,
    stage_time_at_end_ms, stage_time_ms, stage_time_unread_ms,
};
use stakeout_core::needle::{Needles, NextCandidates};
use stakeout_core::time::Second;

/// Size of a block in bytes. A block is searched while it is still in the processor's cache.
const BLOCK_BYTES: usize = 256 * 1024;

/// How the API server begins a line.
pub(crate) const BEGINNING: &[u8; 16] = b"{\"kind\":\"Event\",";

/// What is between two events of the API server, one behind the other.
const BETWEEN: &[u8; 18] = b"}\n{\"kind\":\"Event\",";

/// Reads lines and their byte offsets.
pub(crate) struct Lines<R> {
    reader: R,
    limit: usize,
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
    /// The lines that were checked, if they are.
    checked: Option<CheckedLines>,
    tail: Vec<u8>,
    /// The positions of candidates in `block`.
    next_candidates: NextCandidates,
}

/// Lines of the block that begin as the API server begins them.
#[derive(Clone, Copy, Debug, Default)]
struct CheckedLines {
    /// Their end.
    end: usize,
    /// How many there are, with those of earlier blocks.
    count: u64,
    /// How many of them do not end as an object does.
    cut: u64,
}

/// What comes next in a file.
pub(crate) enum Next<'a> {
    /// A line, as the API server writes it.
    Line(Line<'a>),
    /// Other text. See [`Lines::rest`].
    Other,
    /// The end of the file.
    End,
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
}

impl<'a> Line<'a> {
    /// Returns whether the line contains only white space.
    pub(crate) fn is_blank(&self) -> bool {
        self.prefix.iter().all(u8::is_ascii_whitespace)
    }

    /// Returns whether the line is over the limit, so that only its first part and its end are there.
    pub(crate) fn is_long(&self) -> bool {
        self.tail.is_some()
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

    /// Returns the API server's own time of a line that begins and ends as it writes them, without reading what is between.
    /// `None` where the line must be read.
    pub(crate) fn time_at_end(&self) -> Option<Second> {
        let is_native = self.tail.is_none() && self.prefix.starts_with(BEGINNING);
        if is_native { stage_time_at_end_ms(self.prefix).map(Second::of_millis) } else { None }
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
            if let Some(time) = stage_time_of(&text[begin..]) {
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
        Lines { offset, ..Lines::with_limit(reader, LINE_BYTES_MAX) }
    }

    /// Returns a reader that keeps at most `limit` bytes of a line.
    fn with_limit(reader: R, limit: usize) -> Lines<R> {
        Lines {
            reader,
            limit,
            block: vec![0; BLOCK_BYTES.min(limit)],
            filled: 0,
            whole: 0,
            next: 0,
            untimed: 0,
            known_time: None,
            offset: 0,
            checked: None,
            tail: Vec::new(),
            next_candidates: NextCandidates::default(),
        }
    }

    /// Returns the reader with a check of how each line begins, which also counts the lines.
    pub(crate) fn checked(self) -> Lines<R> {
        Lines { checked: Some(CheckedLines::default()), ..self }
    }

    /// Returns the next line, or the next line that contains one of `needles`, or `None` at the end. With the check, it also
    /// returns each line that does not begin as the API server begins them: there, needles may be spelled otherwise, or be in
    /// another part of a line.
    pub(crate) fn next(&mut self, needles: Option<&Needles>) -> io::Result<Option<Line<'_>>> {
        if self.checked.is_some_and(|checked| checked.end < self.next) {
            self.check();
        }
        loop {
            let end = self.checked.map_or(self.whole, |checked| checked.end);
            if let Some(at) = self.candidate(end, needles) {
                return Ok(Some(self.line_around(at)));
            }
            self.next = end;
            if self.next < self.whole {
                return Ok(Some(self.line_around(self.next)));
            }
            match self.fill()? {
                Filled::Lines => self.check(),
                Filled::End => return Ok(None),
                Filled::LongLine => {
                    let needles = needles.filter(|_| self.checked.is_none() || self.is_one_long_event());
                    let taken = self.take_long_line(needles)?;
                    self.check();
                    if let Some((line, before)) = taken {
                        return Ok(Some(self.long_line(&line, before)));
                    }
                }
            }
        }
    }

    /// Returns the next line, or the next line that contains one of `needles`, unless other text is before it. Without the
    /// check, nothing is other text.
    pub(crate) fn next_or_other(&mut self, needles: Option<&Needles>) -> io::Result<Next<'_>> {
        loop {
            let end = self.checked.map_or(self.whole, |checked| checked.end);
            if let Some(at) = self.candidate(end, needles) {
                return Ok(Next::Line(self.line_around(at)));
            }
            self.next = end;
            if self.next < self.whole {
                return Ok(Next::Other);
            }
            match self.fill()? {
                Filled::Lines => self.check(),
                Filled::End => return Ok(Next::End),
                Filled::LongLine if self.checked.is_some() && !self.is_one_long_event() => return Ok(Next::Other),
                Filled::LongLine => {
                    let taken = self.take_long_line(needles)?;
                    if let Some(checked) = &mut self.checked {
                        checked.count += 1;
                    }
                    self.check();
                    if let Some((line, before)) = taken {
                        return Ok(Next::Line(self.long_line(&line, before)));
                    }
                }
            }
        }
    }

    /// Returns what was read of the text that comes next.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.block[self.next..self.filled]
    }

    /// Reads more of the text that comes next, as much as was read already and at least a block, and returns whether there
    /// was more. There is no more than the longest line that is read whole. The time of the lines before it must be set.
    pub(crate) fn read_on(&mut self) -> io::Result<bool> {
        self.block.copy_within(self.next..self.filled, 0);
        self.offset += self.next as u64;
        self.filled -= self.next;
        (self.next, self.untimed, self.whole) = (0, 0, 0);
        let begin = self.filled;
        self.block.resize(BLOCK_BYTES.max(2 * begin).min(self.limit), 0);
        while self.filled < self.block.len() {
            match read_some(&mut self.reader, &mut self.block[self.filled..])? {
                0 => break,
                read => self.filled += read,
            }
        }
        Ok(self.filled > begin)
    }

    /// Passes over bytes of the text that comes next.
    pub(crate) fn pass(&mut self, bytes: usize) {
        self.next += bytes;
        self.untimed = self.next;
    }

    /// Returns to lines, after other text was passed over.
    pub(crate) fn resume(&mut self) {
        let rest = &self.block[self.next..self.filled];
        self.whole = memrchr(b'\n', rest).map_or(self.next, |end| self.next + end + 1);
        self.check();
    }

    /// Returns whether the text that comes next begins as a line of the API server.
    pub(crate) fn is_at_line(&self) -> bool {
        self.rest().starts_with(BEGINNING)
    }

    /// Returns whether only blanks are between the text that comes next and the line end before it, as far as that is known.
    pub(crate) fn is_after_line_end(&self) -> bool {
        let before = self.block[..self.next].trim_ascii_end();
        self.block[before.len()..self.next].contains(&b'\n')
    }

    /// Returns the offset of the text that comes next.
    pub(crate) fn position(&self) -> u64 {
        self.offset + self.next as u64
    }

    /// Sets the time of the last returned line, so that the reader need not search for it.
    pub(crate) fn set_time(&mut self, time: Option<Second>) {
        self.known_time = time;
        self.untimed = self.next;
    }

    /// Returns the time of the last line so far that has one.
    pub(crate) fn time(&self) -> Option<Second> {
        let untimed = &self.block[self.untimed..self.next];
        Before { untimed, known_time: self.known_time }.time()
    }

    /// Returns the number of checked lines so far, including lines that were not returned.
    pub(crate) fn lines(&self) -> u64 {
        self.checked.map_or(0, |checked| checked.count)
    }

    /// Returns how many of the checked lines do not end as an object does: they are cut off.
    pub(crate) fn cut_lines(&self) -> u64 {
        self.checked.map_or(0, |checked| checked.cut)
    }

    /// Takes the last line out of the number of lines: the caller counts what is in it.
    pub(crate) fn uncount_line(&mut self) {
        if let Some(checked) = &mut self.checked {
            checked.count = checked.count.saturating_sub(1);
        }
    }

    /// Returns the offset up to which the file is read.
    pub(crate) fn bytes(&self) -> u64 {
        self.offset + self.filled as u64
    }

    /// Returns the position of the next line before `end`, or of the next needle.
    fn candidate(&mut self, end: usize, needles: Option<&Needles>) -> Option<usize> {
        match needles {
            Some(needles) => needles.find(&self.block[..end], self.next, &mut self.next_candidates),
            None => (self.next < end).then_some(self.next),
        }
    }

    /// Checks the whole lines that come next, up to the first that begins in another way.
    fn check(&mut self) {
        let Some(checked) = &mut self.checked else { return };
        let new = checked_lines(&self.block[self.next..self.whole]);
        let (count, cut) = (checked.count + new.count, checked.cut + new.cut);
        *checked = CheckedLines { end: self.next + new.end, count, cut };
        self.next_candidates.clear();
    }

    /// Returns whether the block, which has no line end, is the beginning of one event. Else it is other text, or many
    /// events without line ends.
    fn is_one_long_event(&self) -> bool {
        let block = &self.block[..self.filled];
        let mut values = serde_json::Deserializer::from_slice(block).into_iter::<IgnoredAny>();
        block.starts_with(BEGINNING) && !matches!(values.next(), Some(Ok(_)))
    }

    /// Takes a long line and sets its time. Returns it with the time before it, if it contains one of `needles`.
    fn take_long_line(&mut self, needles: Option<&Needles>) -> io::Result<Option<(LongLine, Option<Second>)>> {
        let (line, before) = (self.read_rest()?, self.known_time);
        let event = borrowed_event_of_long_line(&self.block[..self.limit], &self.tail);
        let time = stage_time_ms(&self.tail, &event).map(Second::of_millis).or(before);
        self.set_time(time);
        let is_candidate = needles.is_none_or(|needles| needles.occur_in(&self.block[..self.limit]));
        Ok(is_candidate.then_some((line, before)))
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
            before: Before { untimed: &self.block[self.untimed..begin], known_time: self.known_time },
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
                return Ok(if self.whole > 0 { Filled::Lines } else { Filled::End });
            }
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
            before: Before { untimed: &[], known_time },
        }
    }
}

/// Checks the lines at the beginning of `lines`, up to the first that begins in another way.
fn checked_lines(lines: &[u8]) -> CheckedLines {
    // `memchr_iter` chooses its instructions again for each line, a twentieth of all that a short line costs.
    #[cfg(target_arch = "x86_64")]
    if let Some(newline) = memchr::arch::x86_64::avx2::memchr::One::new(b'\n') {
        return checked_lines_with(newline.iter(lines), lines);
    }
    checked_lines_with(memchr_iter(b'\n', lines), lines)
}

/// `newlines` are the positions of the newlines in `lines`.
fn checked_lines_with(newlines: impl Iterator<Item = usize>, lines: &[u8]) -> CheckedLines {
    let is_cut = |line: &[u8]| u64::from(!matches!(line.last(), Some(b'}' | b'\r')));
    let mut checked = CheckedLines::default();
    if !lines.starts_with(BEGINNING) {
        return checked;
    }
    for newline in newlines {
        checked.count += 1;
        if lines.get(newline - 1..).and_then(<[u8]>::first_chunk) == Some(BETWEEN) {
            continue;
        }
        checked.cut += is_cut(&lines[..newline]);
        checked.end = newline + 1;
        if !lines[checked.end..].starts_with(BEGINNING) {
            return checked;
        }
    }
    checked.count += 1;
    checked.cut += is_cut(lines);
    checked.end = lines.len();
    checked
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
