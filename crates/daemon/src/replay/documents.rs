//! Records in text that is not lines as the API server writes them: documents over several lines, lists and answers of any
//! length, objects one behind the other, lines with a prefix, tables, and noise between them.
//!
//! What is not longer than the longest line is read whole, and the finder searches it. A longer document is walked by hand,
//! so that memory contains one record at a time; so is a damaged one, whose records before the damage are found. After
//! damage the search goes on at the next line.

use std::io::{self, Read};

use memchr::{memchr, memchr_iter};
use serde::de::IgnoredAny;
use stakeout_core::decode::LINE_BYTES_MAX;
use stakeout_core::finder::{Finder, FoundEvent, Outer, Unusable, row};

use super::csv::CsvHeader;
use crate::line_reader::Lines;
use crate::partial_lines::PartialLines;

/// Deepest nesting of a document that is walked by hand.
const DEPTH_MAX: usize = 8;
/// Longest member that is kept for its time or id, in bytes.
const MEMBER_BYTES_MAX: usize = 256;
/// Longest list of a table's columns, in bytes.
const COLUMNS_BYTES_MAX: usize = 64 * 1024;
/// Bytes that may be read in vain beyond [`VAIN_RATIO`] before a document, or a row of a table, must end in its line. Damaged
/// ones in each other would take time in proportion to the square of their length.
const VAIN_BYTES_MAX: u64 = 16 << 20;
/// How many bytes may be read in vain for each byte of the text.
const VAIN_RATIO: u64 = 8;
/// How much of a text shows what it is, in bytes.
const FOREIGN_BYTES_MAX: usize = 4096;

/// A record, or why there is none.
pub(super) type Found = Result<FoundEvent, Unusable>;

/// Reads the records of one text.
pub(super) struct Documents<'a> {
    finder: &'a Finder<'a>,
    vain: u64,
    csv: Option<CsvHeader>,
    partial: PartialLines,
}

/// Returns whether too much was read in vain of a text of which `read` bytes are read.
fn is_too_much(vain: u64, read: u64) -> bool {
    vain > VAIN_BYTES_MAX + VAIN_RATIO * read
}

/// The beginning of the text, as far as it is one JSON value.
enum Value {
    /// A value of so many bytes.
    Whole(usize),
    /// A value that is longer than what is read whole.
    Long,
    /// No value.
    Broken,
}

impl<'a> Documents<'a> {
    pub(super) fn new(finder: &'a Finder<'a>) -> Documents<'a> {
        Documents { finder, vain: 0, csv: None, partial: PartialLines::default() }
    }

    /// Reads a document or a line. Calls `observe` with each record and its offset.
    pub(super) fn read<R: Read>(
        &mut self,
        lines: &mut Lines<R>,
        observe: &mut dyn FnMut(u64, Found),
    ) -> io::Result<()> {
        let begin = lines.position();
        let mut walk = Walk { documents: self, lines, observe, observed: 0 };
        match walk.peek()? {
            None => {}
            // Only blank lines or zeros were before the next line.
            Some(_) if walk.lines.position() > begin && walk.lines.is_at_line() => {}
            Some(b'{' | b'[') => walk.values_of_line()?,
            Some(_) if walk.documents.csv.is_some() => walk.csv_row()?,
            Some(_) => walk.text_line()?,
        }
        lines.resume();
        Ok(())
    }
}

impl Documents<'_> {
    /// Reads what the text left incomplete. Calls `observe` with each record.
    pub(super) fn finish(&mut self, observe: &mut dyn FnMut(Found)) {
        for line in self.partial.rest() {
            self.finder.find(&line, &Outer::default()).into_iter().for_each(&mut *observe);
        }
    }
}

/// A walk through the text that comes next.
struct Walk<'w, 'a, R> {
    documents: &'w mut Documents<'a>,
    lines: &'w mut Lines<R>,
    observe: &'w mut dyn FnMut(u64, Found),
    /// How many records were observed.
    observed: u64,
}

impl<R: Read> Walk<'_, '_, R> {
    /// Reads the values in a line, one behind the other. The last one may go on in further lines.
    fn values_of_line(&mut self) -> io::Result<()> {
        self.documents.csv = None;
        loop {
            match self.value(0)? {
                Value::Whole(end) => self.record(end),
                Value::Broken if self.find_in_line()? => return Ok(()),
                Value::Broken | Value::Long => return self.damaged_or_long(),
            }
            self.pass_blanks()?;
            match self.lines.rest().first().copied() {
                None | Some(b'\n') => return Ok(()),
                Some(b'{' | b'[') => {}
                Some(_) if self.find_in_line()? => return Ok(()),
                // A mark that the line was truncated, or the end of a list.
                Some(_) => return self.pass_line(),
            }
        }
    }

    /// Reads a document of so many bytes, which may be a part of a record.
    fn record(&mut self, end: usize) {
        let Some(records) = self.documents.partial.join_record(&self.lines.rest()[..end]) else {
            return self.find(0, end, &Outer::default());
        };
        let at = self.lines.position();
        self.lines.pass(end);
        for record in records {
            self.records(at, self.documents.finder.find(&record, &Outer::default()));
        }
    }

    /// Reads the records of a document that is damaged or too long to be read whole.
    fn damaged_or_long(&mut self) -> io::Result<()> {
        let at = self.lines.position();
        let end = self.line_end()?.min(FOREIGN_BYTES_MAX);
        let line = String::from_utf8_lossy(&self.lines.rest()[..end]).into_owned();
        let observed = self.observed;
        let is_ended = self.walk_down(&Outer::default(), 0)?;
        if self.observed == observed {
            self.records(at, vec![Err(Unusable::of_line(&line, &line))]);
        }
        if is_ended || self.lines.is_after_line_end() { Ok(()) } else { self.pass_line() }
    }

    /// Reads a line with a prefix, or a line of something else.
    fn text_line(&mut self) -> io::Result<()> {
        let end = self.line_end()?;
        let line = String::from_utf8_lossy(&self.lines.rest()[..end]).into_owned();
        let at = self.lines.position();
        if line.chars().all(|c| c.is_whitespace() || "]},".contains(c)) {
            return self.pass_line();
        }
        if let Some(header) = CsvHeader::of(&line) {
            self.documents.csv = Some(header);
            return self.pass_line();
        }
        if let Some(line) = self.documents.partial.join(&line) {
            if let Some(line) = line {
                self.records(at, self.documents.finder.find(&line, &Outer::default()));
            }
            return self.pass_line();
        }
        if self.find_in_line()? {
            return Ok(());
        }
        // The document behind the prefix may go on in further lines.
        let begun = line.find('{').filter(|_| line.trim_end().ends_with(['{', '[', ',']));
        if let Some(begin) = begun
            && let Value::Whole(end) = self.value(begin)?
            && end > line.len() - begin
        {
            let text = String::from_utf8_lossy(&self.lines.rest()[..begin + end]).into_owned();
            self.lines.pass(begin + end);
            self.records(at, self.documents.finder.find(&text, &Outer::default()));
            return Ok(());
        }
        while self.lines.rest().len() < FOREIGN_BYTES_MAX && self.lines.read_on()? {}
        let rest = self.lines.rest();
        let around = String::from_utf8_lossy(&rest[..rest.len().min(FOREIGN_BYTES_MAX)]);
        let found = self.documents.finder.find_before(&line, &around, &Outer::default());
        self.records(at, found);
        self.pass_line()
    }

    /// Reads a row of a table.
    fn csv_row(&mut self) -> io::Result<()> {
        let at = self.lines.position();
        let mut end = self.line_end()?;
        let Some(header) = &self.documents.csv else { return Ok(()) };
        let mut row = header.row(&self.lines.rest()[..end]);
        let mut lines = 1;
        let vain = self.documents.vain;
        // A cell may hold line ends.
        while row.is_none() && self.lines.rest().len() > end && !is_too_much(self.documents.vain, self.lines.position())
        {
            let from = end + 1;
            let next = memchr(b'\n', &self.lines.rest()[from..]);
            let Some(next) = next else {
                if self.lines.rest().len() < LINE_BYTES_MAX && self.lines.read_on()? {
                    continue;
                }
                break;
            };
            end = from + next;
            lines += 1;
            if end > CsvHeader::ROW_BYTES_MAX || lines > CsvHeader::ROW_LINES_MAX {
                break;
            }
            self.documents.vain += end as u64;
            row = header.row(&self.lines.rest()[..end]);
        }
        match row {
            Some(row) => {
                self.documents.vain = vain;
                self.lines.pass(end);
                self.records(at, self.documents.finder.find(&row, &Outer::default()));
                Ok(())
            }
            None => {
                if !self.find_in_line()? {
                    let end = self.line_end()?;
                    let line = String::from_utf8_lossy(&self.lines.rest()[..end]).into_owned();
                    self.records(at, vec![Err(Unusable::of_line(&line, &line))]);
                    self.pass_line()?;
                }
                Ok(())
            }
        }
    }

    /// Walks through a list or an object whose end is far away or missing. Returns whether its end was found.
    fn walk_down(&mut self, outer: &Outer, depth: usize) -> io::Result<bool> {
        if depth > DEPTH_MAX {
            return Ok(false);
        }
        if self.peek()? == Some(b'[') { self.list(outer, depth, None) } else { self.object(outer, depth) }
    }

    fn list(&mut self, outer: &Outer, depth: usize, columns: Option<&str>) -> io::Result<bool> {
        self.lines.pass(1);
        if self.peek()? == Some(b']') {
            self.lines.pass(1);
            return Ok(true);
        }
        loop {
            if !self.element(outer, depth, columns)? {
                return Ok(false);
            }
            match self.peek()? {
                Some(b',') => self.lines.pass(1),
                Some(b']') => {
                    self.lines.pass(1);
                    return Ok(true);
                }
                _ => return Ok(false),
            }
            self.peek()?;
        }
    }

    fn element(&mut self, outer: &Outer, depth: usize, columns: Option<&str>) -> io::Result<bool> {
        match (self.value(0)?, columns) {
            (Value::Whole(end), Some(columns)) if self.lines.rest()[0] == b'[' => {
                let at = self.lines.position();
                let cells = String::from_utf8_lossy(&self.lines.rest()[..end]);
                let record = row(columns, &cells).unwrap_or_else(|| cells.into_owned());
                self.lines.pass(end);
                self.records(at, self.documents.finder.find(&record, outer));
                Ok(true)
            }
            (Value::Whole(end), _) => {
                self.find(0, end, outer);
                Ok(true)
            }
            (Value::Broken, _) if self.find_in_line()? => Ok(false),
            (Value::Broken | Value::Long, _) => {
                let is_nested = matches!(self.lines.rest().first(), Some(b'{' | b'['));
                if is_nested { self.walk_down(outer, depth + 1) } else { Ok(false) }
            }
        }
    }

    fn object(&mut self, outer: &Outer, depth: usize) -> io::Result<bool> {
        self.lines.pass(1);
        let (mut head, mut columns) = (Vec::new(), None);
        if self.peek()? == Some(b'}') {
            self.lines.pass(1);
            return Ok(true);
        }
        loop {
            let Some(key) = self.member_key()? else {
                return Ok(false);
            };
            match (self.peek()?, self.value(0)?) {
                (Some(b'['), Value::Whole(end)) if key == "\"columns\"" && end <= COLUMNS_BYTES_MAX => {
                    columns = Some(String::from_utf8_lossy(&self.lines.rest()[..end]).into_owned());
                    self.lines.pass(end);
                }
                (Some(first @ (b'{' | b'[')), _) => {
                    let outer = outer.within(&format!("{{{}}}", head.join(",")));
                    let is_ended = match (&columns, first) {
                        (Some(columns), b'[') if key == "\"rows\"" => self.list(&outer, depth + 1, Some(columns))?,
                        (_, b'[') => self.list(&outer, depth + 1, None)?,
                        _ => self.element(&outer, depth + 1, None)?,
                    };
                    if !is_ended {
                        return Ok(false);
                    }
                }
                (_, Value::Whole(end)) if end <= MEMBER_BYTES_MAX => {
                    head.push(format!("{key}:{}", String::from_utf8_lossy(&self.lines.rest()[..end])));
                    self.lines.pass(end);
                }
                (_, Value::Whole(end)) => {
                    let outer = outer.within(&format!("{{{}}}", head.join(",")));
                    self.find(0, end, &outer);
                }
                _ => return Ok(false),
            }
            match self.peek()? {
                Some(b',') => self.lines.pass(1),
                Some(b'}') => {
                    self.lines.pass(1);
                    return Ok(true);
                }
                _ => return Ok(false),
            }
        }
    }

    /// Takes the key of a member with the colon behind it. Returns the key as it is spelled.
    fn member_key(&mut self) -> io::Result<Option<String>> {
        if self.peek()? != Some(b'"') {
            return Ok(None);
        }
        let Value::Whole(end) = self.value(0)? else {
            return Ok(None);
        };
        let key = String::from_utf8_lossy(&self.lines.rest()[..end.min(MEMBER_BYTES_MAX)]).into_owned();
        self.lines.pass(end);
        if self.peek()? != Some(b':') {
            return Ok(None);
        }
        self.lines.pass(1);
        Ok(Some(key))
    }

    /// Finds the end of the value at `begin` of the text that comes next.
    fn value(&mut self, begin: usize) -> io::Result<Value> {
        let must_end_in_line = is_too_much(self.documents.vain, self.lines.position());
        let line_end = if must_end_in_line { Some(self.line_end()?.max(begin)) } else { None };
        loop {
            let rest = self.lines.rest();
            let text = &rest[begin.min(rest.len())..line_end.unwrap_or(rest.len())];
            let mut values = serde_json::Deserializer::from_slice(text).into_iter::<IgnoredAny>();
            match values.next() {
                // A number may go on behind what was read.
                Some(Ok(_)) if values.byte_offset() < text.len() || matches!(text.last(), Some(b'}' | b']' | b'"')) => {
                    return Ok(Value::Whole(values.byte_offset()));
                }
                Some(Err(error)) if !error.is_eof() => {
                    self.documents.vain += error_offset(text, &error) as u64;
                    return Ok(Value::Broken);
                }
                Some(Ok(_) | Err(_)) | None => {}
            }
            let bytes = text.len();
            if line_end.is_none() && rest.len() >= LINE_BYTES_MAX {
                self.documents.vain += bytes as u64;
                return Ok(Value::Long);
            }
            if line_end.is_some() || !self.lines.read_on()? {
                self.documents.vain += bytes as u64;
                return Ok(Value::Broken);
            }
        }
    }

    /// Observes the records of the value at `begin..end` of the text that comes next, and passes over it.
    fn find(&mut self, begin: usize, end: usize, outer: &Outer) {
        let at = self.lines.position();
        let text = String::from_utf8_lossy(&self.lines.rest()[begin..end]);
        let found = self.documents.finder.find(&text, outer);
        self.lines.pass(end);
        self.records(at, found);
    }

    /// Observes the events in the line that comes next and passes over it. Returns `false` where it contains none.
    fn find_in_line(&mut self) -> io::Result<bool> {
        let end = self.line_end()?;
        let at = self.lines.position();
        let line = String::from_utf8_lossy(&self.lines.rest()[..end]);
        let found = self.documents.finder.find(&line, &Outer::default());
        let is_event = |found: &Found| matches!(found, Ok(_) | Err(Unusable::Skipped(_)));
        if !found.iter().any(is_event) {
            return Ok(false);
        }
        self.records(at, found);
        self.pass_line()?;
        Ok(true)
    }

    fn records(&mut self, at: u64, found: Vec<Found>) {
        for (ordinal, record) in (0..).zip(found) {
            self.observed += 1;
            (self.observe)(at + ordinal, record);
        }
    }

    /// Returns the end of the line that comes next, or of as much of it as a line may have.
    fn line_end(&mut self) -> io::Result<usize> {
        let mut from = 0;
        loop {
            let rest = self.lines.rest();
            if let Some(end) = memchr(b'\n', &rest[from..]) {
                return Ok(from + end);
            }
            from = rest.len();
            if from >= LINE_BYTES_MAX || !self.lines.read_on()? {
                return Ok(from);
            }
        }
    }

    fn pass_line(&mut self) -> io::Result<()> {
        loop {
            let end = self.line_end()?;
            let is_ended = self.lines.rest().get(end) == Some(&b'\n');
            self.lines.pass(end + usize::from(is_ended));
            if is_ended || end == 0 {
                return Ok(());
            }
        }
    }

    /// Passes over what separates values in a line.
    fn pass_blanks(&mut self) -> io::Result<()> {
        loop {
            let rest = self.lines.rest();
            let blanks = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b',' | 0 | 0x1e)).count();
            let is_over = blanks < rest.len();
            self.lines.pass(blanks);
            if is_over || !self.lines.read_on()? {
                return Ok(());
            }
        }
    }

    /// Returns the next byte that is no white space, zero, record separator or part of a byte order mark.
    fn peek(&mut self) -> io::Result<Option<u8>> {
        loop {
            let rest = self.lines.rest();
            let is_blank = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, 0 | 0x1e | 0xef | 0xbb | 0xbf);
            let blanks = rest.iter().take_while(|byte| is_blank(byte)).count();
            let next = rest.get(blanks).copied();
            self.lines.pass(blanks);
            if next.is_some() || !self.lines.read_on()? {
                return Ok(next);
            }
        }
    }
}

fn error_offset(text: &[u8], error: &serde_json::Error) -> usize {
    let begin = match error.line() {
        0 | 1 => 0,
        line => memchr_iter(b'\n', text).nth(line - 2).map_or(0, |end| end + 1),
    };
    begin + error.column()
}
