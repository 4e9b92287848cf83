//! The input in parts that several threads can read: whole files, and several ranges of a large plain file of lines.

use std::io::{self, BufRead, BufReader, Read};
use std::ops::Range;

use serde::de::IgnoredAny;
use stakeout_core::time::Second;

use crate::input::{self, InputFile};
use crate::line_reader::Lines;

/// Shortest range of a file, in bytes.
const RANGE_BYTES_MIN: u64 = 32 << 20;
/// How many bytes before a range are searched first for the time of the line before it.
const BEFORE_BYTES: u64 = 1 << 20;
/// How much of a file shows whether each of its lines is a record.
const BEGINNING_BYTES: u64 = 64 * 1024;

/// A file, or a range of one.
pub(crate) struct InputPart {
    /// The file.
    pub(super) file: InputFile,
    /// Its lines, where it is not the whole file.
    pub(super) range: Option<LineRange>,
}

/// Whole lines of a plain file.
pub(super) struct LineRange {
    /// Their position in the file.
    pub(super) bytes: Range<u64>,
    /// Whether they are the end of the file.
    pub(super) is_last: bool,
}

/// Returns the parts of `files`, in their order.
pub(super) fn parts_of(files: &[InputFile], threads: usize) -> Vec<InputPart> {
    let whole = |file: &InputFile| vec![InputPart { file: file.clone(), range: None }];
    let cut = |file: &InputFile| match ranges(file, threads) {
        // A file that cannot be read is reported when it is read.
        Ok(ranges) if ranges.len() > 1 => {
            ranges.into_iter().map(|range| InputPart { file: file.clone(), range: Some(range) }).collect()
        }
        _ => whole(file),
    };
    files.iter().flat_map(|file| if threads > 1 { cut(file) } else { whole(file) }).collect()
}

/// Returns the ranges of a file that several threads should read. There are none where it is small, compressed, or not
/// lines.
fn ranges(file: &InputFile, threads: usize) -> io::Result<Vec<LineRange>> {
    let mut bytes = file.open_at(0)?;
    let length = bytes.length()?;
    if length < 2 * RANGE_BYTES_MIN || !input::is_plain(&mut bytes)? || !are_lines(file)? {
        return Ok(Vec::new());
    }
    // A few for each thread, so that no thread waits long for the last one.
    let number = (length / RANGE_BYTES_MIN).min(4 * threads as u64);
    let mut ranges = Vec::new();
    let mut begin = 0;
    for ordinal in 1..=number {
        let is_last = ordinal == number;
        let end = end_of_line(file, length / number * ordinal)?.max(begin);
        let end = if is_last { length } else { end };
        ranges.push(LineRange { bytes: begin..end, is_last });
        begin = end;
    }
    Ok(ranges)
}

/// Returns whether most lines at the beginning of a file end with a whole JSON object: it has no documents over several
/// lines.
fn are_lines(file: &InputFile) -> io::Result<bool> {
    let mut beginning = Vec::new();
    file.open_at(0)?.take(BEGINNING_BYTES).read_to_end(&mut beginning)?;
    // The last line may be cut, unless it is the only one.
    let mut lines: Vec<&[u8]> = beginning.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    if lines.len() == 1 {
        return Ok(lines[0].starts_with(b"{\"kind\":\"Event\","));
    }
    lines.pop();
    let is_record = |line: &&&[u8]| {
        let begin = line.iter().position(|byte| *byte == b'{');
        begin.is_some_and(|begin| serde_json::from_slice::<IgnoredAny>(&line[begin..]).is_ok())
    };
    Ok(2 * lines.iter().filter(is_record).count() > lines.len())
}

/// Returns the end of the line that contains the byte at `at`.
fn end_of_line(file: &InputFile, at: u64) -> io::Result<u64> {
    Ok(at + BufReader::new(file.open_at(at)?).skip_until(b'\n')? as u64)
}

/// Returns the time of the last line before the byte `end` that has one.
pub(super) fn time_before(file: &InputFile, end: u64) -> io::Result<Option<Second>> {
    let mut reach = BEFORE_BYTES;
    loop {
        let begin = match end.saturating_sub(reach) {
            0 => 0,
            at => end_of_line(file, at)?.min(end),
        };
        let mut lines = Lines::new(file.open_at(begin)?.take(end - begin), begin);
        while lines.next(None)?.is_some() {}
        if lines.time().is_some() || begin == 0 {
            return Ok(lines.time());
        }
        reach *= 4;
    }
}
