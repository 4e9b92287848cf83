//! The input in parts that can be read beside each other: whole files, and of a large plain file of lines several ranges.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use stakeout_core::time::Second;

use super::export::{self, Form, Layout};
use super::kind::Kind;
use crate::input;

/// Shortest range that a file is cut into, in bytes.
const RANGE_BYTES_MIN: u64 = 32 << 20;
/// How far before a range the time of the line before it is looked for at first.
const BEFORE_BYTES: u64 = 1 << 20;

/// A file, or a range of one.
pub(super) struct Part {
    /// The file; `-` is standard input.
    pub(super) path: PathBuf,
    /// The lines that it consists of, where it is not the whole file.
    pub(super) range: Option<LineRange>,
}

/// Whole lines of a plain file.
pub(super) struct LineRange {
    /// Where they lie in it.
    pub(super) bytes: Range<u64>,
    /// What the file is.
    pub(super) form: Form,
    /// Whether the file ends with them.
    pub(super) is_last: bool,
}

/// Returns the parts of `files`, in their order; `asked` is what they hold, where the caller knows.
pub(super) fn parts(files: &[PathBuf], asked: Option<Kind>, threads: usize) -> Vec<Part> {
    let whole = |path: &PathBuf| vec![Part { path: path.clone(), range: None }];
    let cut = |path: &PathBuf| match ranges(path, asked, threads) {
        // What cannot be opened is told when it is its turn.
        Ok(ranges) if ranges.len() > 1 => {
            ranges.into_iter().map(|range| Part { path: path.clone(), range: Some(range) }).collect()
        }
        _ => whole(path),
    };
    files.iter().flat_map(|path| if threads > 1 { cut(path) } else { whole(path) }).collect()
}

/// Returns the ranges that a file is worth being cut into: none where it is small, compressed, no file, or no lines.
fn ranges(path: &Path, asked: Option<Kind>, threads: usize) -> io::Result<Vec<LineRange>> {
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() < 2 * RANGE_BYTES_MIN || input::is_compressed(&mut file)? {
        return Ok(Vec::new());
    }
    file.rewind()?;
    let (form, _) = export::form_of(&mut file, asked)?;
    if form.layout != Layout::Lines {
        return Ok(Vec::new());
    }
    // A few for each thread, so that none waits long for the last.
    let number = (metadata.len() / RANGE_BYTES_MIN).min(4 * threads as u64);
    let mut ranges = Vec::new();
    let mut begin = 0;
    for place in 1..=number {
        let end = end_of_line(&mut file, metadata.len() / number * place)?.max(begin);
        let end = if place == number { metadata.len() } else { end };
        ranges.push(LineRange { bytes: begin..end, form, is_last: place == number });
        begin = end;
    }
    Ok(ranges)
}

/// Returns where the line ends that holds the byte at `at`.
fn end_of_line(file: &mut File, at: u64) -> io::Result<u64> {
    file.seek(SeekFrom::Start(at))?;
    Ok(at + BufReader::new(file).skip_until(b'\n')? as u64)
}

/// Returns the time of the last line before `end` that has one, of a file of records of this kind.
pub(super) fn time_before(path: &Path, kind: Kind, end: u64) -> io::Result<Option<Second>> {
    let mut reach = BEFORE_BYTES;
    loop {
        let mut file = File::open(path)?;
        let begin = match end.saturating_sub(reach) {
            0 => 0,
            at => end_of_line(&mut file, at)?.min(end),
        };
        file.seek(SeekFrom::Start(begin))?;
        let mut lines = kind.lines(file.take(end - begin), begin);
        while lines.next(None)?.is_some() {}
        if lines.time().is_some() || begin == 0 {
            return Ok(lines.time());
        }
        reach *= 4;
    }
}
