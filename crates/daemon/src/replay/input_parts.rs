//! The input in parts that several threads can read: whole files, and several ranges of a large plain file of lines.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use stakeout_core::time::Second;

use super::export::{self, ExportForm, RecordLayout};
use crate::cloud::Cloud;
use crate::input;

/// Shortest range of a file, in bytes.
const RANGE_BYTES_MIN: u64 = 32 << 20;
/// How many bytes before a range are searched first for the time of the line before it.
const BEFORE_BYTES: u64 = 1 << 20;

/// A file, or a range of one.
pub(super) struct InputPart {
    /// The file; `-` is standard input.
    pub(super) path: PathBuf,
    /// Its lines, where it is not the whole file.
    pub(super) range: Option<LineRange>,
}

/// Whole lines of a plain file.
pub(super) struct LineRange {
    /// Their position in the file.
    pub(super) bytes: Range<u64>,
    /// The form of the file.
    pub(super) form: ExportForm,
    /// Whether they are the end of the file.
    pub(super) is_last: bool,
}

/// Returns the parts of `files`, in their order. `cloud` is whose records they contain, where the caller knows.
pub(super) fn parts_of(files: &[PathBuf], cloud: Option<Cloud>, threads: usize) -> Vec<InputPart> {
    let whole = |path: &PathBuf| vec![InputPart { path: path.clone(), range: None }];
    let cut = |path: &PathBuf| match ranges(path, cloud, threads) {
        // A file that cannot be opened is reported when it is read.
        Ok(ranges) if ranges.len() > 1 => {
            ranges.into_iter().map(|range| InputPart { path: path.clone(), range: Some(range) }).collect()
        }
        _ => whole(path),
    };
    files.iter().flat_map(|path| if threads > 1 { cut(path) } else { whole(path) }).collect()
}

/// Returns the ranges of a file that several threads should read. There are none where it is small, compressed, not a
/// regular file, or not lines.
fn ranges(path: &Path, cloud: Option<Cloud>, threads: usize) -> io::Result<Vec<LineRange>> {
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() < 2 * RANGE_BYTES_MIN || input::is_compressed(&mut file)? {
        return Ok(Vec::new());
    }
    file.rewind()?;
    let (form, _) = export::form_of(&mut file, cloud)?;
    if form.layout != RecordLayout::Lines {
        return Ok(Vec::new());
    }
    // A few for each thread, so that no thread waits long for the last one.
    let number = (metadata.len() / RANGE_BYTES_MIN).min(4 * threads as u64);
    let mut ranges = Vec::new();
    let mut begin = 0;
    for ordinal in 1..=number {
        let is_last = ordinal == number;
        let end = end_of_line(&mut file, metadata.len() / number * ordinal)?.max(begin);
        let end = if is_last { metadata.len() } else { end };
        ranges.push(LineRange { bytes: begin..end, form, is_last });
        begin = end;
    }
    Ok(ranges)
}

/// Returns the end of the line that contains the byte at `at`.
fn end_of_line(file: &mut File, at: u64) -> io::Result<u64> {
    file.seek(SeekFrom::Start(at))?;
    Ok(at + BufReader::new(file).skip_until(b'\n')? as u64)
}

/// Returns the time of the last line before `end` that has one, in a file with records of `cloud`.
pub(super) fn time_before(path: &Path, cloud: Cloud, end: u64) -> io::Result<Option<Second>> {
    let mut reach = BEFORE_BYTES;
    loop {
        let mut file = File::open(path)?;
        let begin = match end.saturating_sub(reach) {
            0 => 0,
            at => end_of_line(&mut file, at)?.min(end),
        };
        file.seek(SeekFrom::Start(begin))?;
        let mut lines = export::lines_of(cloud, file.take(end - begin), begin);
        while lines.next(None)?.is_some() {}
        if lines.time().is_some() || begin == 0 {
            return Ok(lines.time());
        }
        reach *= 4;
    }
}
