//! Lines of a log file, however long: of a line over the limit the first part and the end are kept.
//!
//! Where the bytes come from (a file, a pipe, a compressed stream) is not decided here.

use std::borrow::Cow;
use std::io::{self, BufRead, BufReader, Read};

use stakeout_core::decode::{DecodeError, Decoded, LINE_BYTES_MAX, TAIL_BYTES, decode, decode_long};
use stakeout_core::event::AuditEvent;
use stakeout_core::time::Second;

/// Block that is read at once, in bytes.
const BLOCK_BYTES: usize = 256 * 1024;

/// Reads lines and their byte offsets.
pub(crate) struct Lines<R> {
    reader: BufReader<R>,
    limit: usize,
    offset: u64,
    line: Vec<u8>,
    tail: Vec<u8>,
}

/// A line, without the newline.
pub(crate) struct Line<'a> {
    /// Where it begins, in bytes.
    pub(crate) offset: u64,
    /// Its length with the newline, in bytes.
    pub(crate) bytes: u64,
    /// Whether a newline ended it.
    pub(crate) is_ended: bool,
    prefix: &'a [u8],
    tail: Option<&'a [u8]>,
}

impl Line<'_> {
    /// Tells whether nothing but white space stands here.
    pub(crate) fn is_blank(&self) -> bool {
        self.prefix.iter().all(u8::is_ascii_whitespace)
    }

    /// Returns the line as text; of a line over the limit the first part.
    pub(crate) fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.prefix)
    }

    /// Returns the audit event that the line holds.
    pub(crate) fn decode(&self) -> Result<Decoded, DecodeError> {
        match self.tail {
            None => decode(self.prefix),
            Some(tail) => decode_long(self.prefix, tail),
        }
    }
}

/// Returns the time of a line's event: the API server's own, else that of the line `before`, else when the request came.
pub(crate) fn time_of(event: &AuditEvent, before: Option<Second>) -> Option<Second> {
    let stage = event.stage_time_ms().map(Second::of_millis);
    stage.or(before).or_else(|| event.received_time_ms().map(Second::of_millis))
}

impl<R: Read> Lines<R> {
    /// Returns a reader of lines; the first line begins at `offset`.
    pub(crate) fn new(reader: R, offset: u64) -> Lines<R> {
        Lines { offset, ..Lines::with_limit(reader, LINE_BYTES_MAX) }
    }

    /// Returns a reader of lines of which at most `limit` bytes are kept, for records that cannot be read in part.
    pub(crate) fn with_limit(reader: R, limit: usize) -> Lines<R> {
        let reader = BufReader::with_capacity(BLOCK_BYTES, reader);
        Lines { reader, limit, offset: 0, line: Vec::new(), tail: Vec::new() }
    }

    /// Returns the next line, or `None` at the end.
    pub(crate) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        self.line.clear();
        self.tail.clear();
        let limit = self.limit as u64;
        let mut bytes = (&mut self.reader).take(limit).read_until(b'\n', &mut self.line)? as u64;
        if bytes == 0 {
            return Ok(None);
        }
        let is_long = bytes == limit && self.line.last() != Some(&b'\n');
        if is_long {
            bytes += self.read_rest()?;
        }
        let offset = self.offset;
        self.offset += bytes;
        let last = if is_long { &mut self.tail } else { &mut self.line };
        let is_ended = last.pop_if(|byte| *byte == b'\n').is_some();
        Ok(Some(Line { offset, bytes, is_ended, prefix: &self.line, tail: is_long.then_some(self.tail.as_slice()) }))
    }

    /// Reads to the end of a long line and keeps its last bytes.
    fn read_rest(&mut self) -> io::Result<u64> {
        self.tail.extend_from_slice(&self.line[self.line.len() - TAIL_BYTES..]);
        let mut bytes = 0;
        loop {
            let block = self.reader.fill_buf()?;
            let end = block.iter().position(|byte| *byte == b'\n');
            let taken = end.map_or(block.len(), |end| end + 1);
            self.tail.extend_from_slice(&block[..taken]);
            self.reader.consume(taken);
            bytes += taken as u64;
            let surplus = self.tail.len().saturating_sub(TAIL_BYTES + 1);
            self.tail.drain(..surplus);
            if end.is_some() || taken == 0 {
                return Ok(bytes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_know_where_they_begin_and_whether_they_ended() {
        let mut lines = Lines::new(&b"one\n\ntwo"[..], 100);
        let mut read = Vec::new();
        while let Some(line) = lines.next().expect("memory reads") {
            read.push((line.offset, line.bytes, line.is_ended, line.is_blank()));
        }
        let expected = [(100, 4, true, false), (104, 1, true, true), (105, 3, false, false)];
        assert_eq!(read, expected);
    }

    #[test]
    fn of_a_long_line_the_beginning_and_the_end_are_kept() {
        for body in [LINE_BYTES_MAX - 1, LINE_BYTES_MAX, 3 * LINE_BYTES_MAX] {
            let event = |verb: &str| {
                let pad = "A".repeat(body);
                format!(r#"{{"verb":"{verb}","requestObject":"{pad}","stageTimestamp":"2026-11-21T10:00:00Z"}}"#)
            };
            let text = format!("{}\n{}\n", event("get"), event("list"));
            let mut lines = Lines::new(text.as_bytes(), 0);
            for verb in ["get", "list"] {
                let line = lines.next().expect("memory reads").expect("a line");
                let decoded = line.decode().expect("an event");
                assert_eq!(decoded.event.verb.as_deref(), Some(verb));
                assert_eq!(decoded.event.stage_time_ms(), Some(1_795_255_200_000));
            }
            assert!(lines.next().expect("memory reads").is_none());
        }
    }
}
