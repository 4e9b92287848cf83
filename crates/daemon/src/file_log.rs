//! The audit log file of a self-managed cluster, with its rotated siblings.
//!
//! A window is read from every file that can contain a line of it: the current file, and the rotated files that were last
//! written after the window began. So there is no position to lose when files are rotated, compressed or copied back. A
//! line in two files is one request, because both have the same identity.
//!
//! A rotated file that is damaged, unreadable or cut loses its own lines only. Without the current file, or a list of the
//! others, nothing is known, so the window fails.

mod doctor;
mod files;
mod rights;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use stakeout_core::decode::{BorrowedEvent, DecodeError, EventFilter};
use stakeout_core::event::AuditEvent;
use stakeout_core::finder::{Finder, FoundEvent, Outer};
use stakeout_core::needle::{Needles, Spelling};
use stakeout_core::prefilter::Prefilter;
use stakeout_core::time::{Second, Window};

use crate::input;
use crate::line_reader::{Line, Lines};
use crate::partial_lines::PartialLines;
use files::{Identity, Listing, LogFile, LogFiles};

/// How often the files are listed until a list has no unread file.
const ATTEMPTS_MAX: usize = 5;
/// By how much a line may be older than one before it, in seconds: the API server writes audit events in batches.
const DISORDER_SECONDS: i64 = 60;
/// Errors of this process, not of a file: too many open files, in the process and in the system.
const TOO_MANY_OPEN: [i32; 2] = [24, 23];

/// What is found in a line that is not an event as the API server writes it. A file on this machine holds no records of a
/// cloud.
const FINDER: Finder<'static> = Finder { envelopes: &[], unpack: |_, _| None, needles: &[] };

/// An audit log file.
#[derive(Debug)]
pub(crate) struct FileLog {
    files: LogFiles,
    known: Mutex<Known>,
}

/// What is known from the last read.
#[derive(Debug, Default)]
struct Known {
    /// Size and creation of each file.
    files: HashMap<Identity, (u64, Option<SystemTime>)>,
    /// Files that became shorter.
    cut: HashSet<Identity>,
}

/// Which events of a file are wanted.
pub(crate) struct FileFilter {
    events: EventFilter,
    /// What a line must contain to be decoded at all.
    needles: Option<Needles>,
}

impl FileFilter {
    /// Returns the filter of events that `prefilter` may match. Every line is decoded, so that all are counted.
    pub(crate) fn counting_all(prefilter: &Prefilter) -> FileFilter {
        FileFilter { events: EventFilter::new(prefilter), needles: None }
    }

    /// Returns the same filter, but lines of the API server that it cannot match are skipped, and are not counted.
    pub(crate) fn skipping_others(prefilter: &Prefilter) -> FileFilter {
        FileFilter { needles: Needles::of(prefilter, Spelling::Native), ..FileFilter::counting_all(prefilter) }
    }
}

/// What came of reading a window from its files. Lines that the filter skips are in no number but `bytes`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FileRead {
    /// Files that were read.
    pub(crate) files: u64,
    /// Lines in the window.
    pub(crate) lines: u64,
    /// Bytes that were read.
    pub(crate) bytes: u64,
    /// Lines that are not audit events, without those that end with a time outside of the window.
    pub(crate) undecodable: u64,
    /// Lines in the window that were cut off.
    pub(crate) truncated: u64,
    /// Requests in the window that the filter dropped.
    pub(crate) filtered_out: u64,
    /// Files that may hold lines of the window and were not read, or not to their end.
    pub(crate) lost: Vec<LostFile>,
}

/// A file that was not read, or not to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LostFile {
    path: PathBuf,
    reason: String,
}

/// What came of reading one file.
struct FilePart {
    file: LogFile,
    read: FileRead,
    /// The times of its first and last line, as far as they were read.
    first: Option<Second>,
    last: Option<Second>,
    /// Why its end was not read.
    error: Option<io::Error>,
}

impl FileLog {
    /// Returns the log at `path`. `rotated` is a glob of rotated files that are not beside it.
    pub(crate) fn new(path: PathBuf, rotated: Option<String>) -> FileLog {
        FileLog { files: LogFiles { path, rotated }, known: Mutex::default() }
    }

    /// Passes every event of `window` that `filter` lets through to `observe`, with its time and a function that returns its
    /// record id. If a file is rotated or completed meanwhile, an event may come twice. What `observe` leaves of an event is
    /// overwritten with the next one, which uses its memory again.
    ///
    /// Fails where the current file cannot be read, or the files cannot be listed. Other files that cannot be read are in the
    /// result.
    pub(crate) fn read(
        &self,
        window: Window,
        filter: &FileFilter,
        mut observe: impl FnMut(&mut AuditEvent, Second, &dyn Fn() -> String),
    ) -> io::Result<FileRead> {
        let mut parts: BTreeMap<Identity, FilePart> = BTreeMap::new();
        for _ in 0..ATTEMPTS_MAX {
            let listing = self.files.list(window.earliest())?;
            let is_unread = |(identity, file): &(&Identity, &LogFile)| {
                parts.get(*identity).is_none_or(|part| part.is_outdated(file, &parts))
            };
            let unread: Vec<(Identity, LogFile)> =
                listing.of_window(window).filter(is_unread).map(|(identity, file)| (*identity, file.clone())).collect();
            if unread.is_empty() {
                return Ok(self.result(window, filter, &listing, &parts));
            }
            for (identity, file) in unread {
                // If another file has its name by now, the next list shows the new name.
                if let Some(part) = FilePart::read(identity, file, window, filter, &mut observe)? {
                    parts.insert(identity, part);
                }
            }
        }
        Err(io::Error::other("the log was rotated too often while it was read"))
    }

    /// Returns the sum of the parts, with the files that are lost.
    fn result(
        &self,
        window: Window,
        filter: &FileFilter,
        listing: &Listing,
        parts: &BTreeMap<Identity, FilePart>,
    ) -> FileRead {
        let cut = self.note(listing);
        let mut sum = FileRead { lost: listing.lost.clone(), ..FileRead::default() };
        for (identity, part) in parts {
            sum.add(&part.read);
            // Without the time of its first line, nothing is known of what a file has lost.
            let is_cut = filter.needles.is_none() && cut.contains(identity) && part.is_cut_within(window);
            if let Some(error) = part.error.as_ref().filter(|_| part.is_lost_within(window, listing, parts)) {
                sum.lost.push(LostFile::of(&part.file.path, error));
            } else if is_cut {
                sum.lost.push(LostFile {
                    path: part.file.path.clone(),
                    reason: "it has lost lines: it is shorter than before".to_owned(),
                });
            }
        }
        sum.lost.sort_by(|left, right| left.path.cmp(&right.path));
        sum
    }

    /// Remembers the sizes of the files, and returns those that became shorter, now or before.
    ///
    /// A current file that became shorter when a new file appeared was copied and truncated, as logrotate's `copytruncate`
    /// does.
    fn note(&self, listing: &Listing) -> HashSet<Identity> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::take(&mut known.files);
        let is_new = |(identity, file): (&Identity, &LogFile)| {
            before.get(identity).is_none_or(|(_, created)| *created != file.created)
        };
        let is_copied = listing.files.iter().any(is_new);
        for (identity, file) in &listing.files {
            let is_same = |created: &Option<SystemTime>| created.is_some() && *created == file.created;
            let is_shorter = before.get(identity).is_some_and(|(size, created)| is_same(created) && *size > file.size);
            if is_shorter && !(file.is_current && is_copied) {
                known.cut.insert(*identity);
            }
        }
        known.cut.retain(|identity| listing.files.contains_key(identity));
        known.files = listing.files.iter().map(|(identity, file)| (*identity, (file.size, file.created))).collect();
        known.cut.clone()
    }
}

impl FileRead {
    fn add(&mut self, other: &FileRead) {
        self.files += other.files;
        self.lines += other.lines;
        self.bytes += other.bytes;
        self.undecodable += other.undecodable;
        self.truncated += other.truncated;
        self.filtered_out += other.filtered_out;
    }
}

impl LostFile {
    fn of(path: &Path, error: &io::Error) -> LostFile {
        LostFile { path: path.to_owned(), reason: error.to_string() }
    }
}

impl fmt::Display for LostFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.reason)
    }
}

impl FilePart {
    /// Reads a file, or returns `None` if its path is another file or none by now. Fails for the current file only, or where
    /// the fault is not that of the file.
    fn read(
        identity: Identity,
        file: LogFile,
        window: Window,
        filter: &FileFilter,
        observe: &mut impl FnMut(&mut AuditEvent, Second, &dyn Fn() -> String),
    ) -> io::Result<Option<FilePart>> {
        let mut part = FilePart { file, read: FileRead::default(), first: None, last: None, error: None };
        let outcome = match open_same(&part.file.path, identity) {
            Ok(None) => return Ok(None),
            Ok(Some(bytes)) => part.read_lines(bytes, window, filter, observe),
            Err(error) => Err(error),
        };
        match outcome {
            Ok(()) => Ok(Some(part)),
            Err(error) if part.file.is_current || is_of_process(&error) => Err(error),
            Err(error) => Ok(Some(FilePart { error: Some(error), ..part })),
        }
    }

    fn read_lines(
        &mut self,
        bytes: File,
        window: Window,
        filter: &FileFilter,
        observe: &mut impl FnMut(&mut AuditEvent, Second, &dyn Fn() -> String),
    ) -> io::Result<()> {
        let mut lines = Lines::new(input::text_of(bytes)?, 0).checked();
        let mut partial = PartialLines::default();
        let mut event = AuditEvent::default();
        self.read.files += 1;
        let outcome = loop {
            let line = match lines.next(filter.needles.as_ref()) {
                Ok(Some(line)) => line,
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            };
            if line.is_blank() {
                continue;
            }
            // The API server has not finished this line; the reread finds it. In a rotated file, nobody finishes it.
            if !line.is_ended && self.file.is_current {
                continue;
            }
            if !line.is_ended && is_cut(&line) {
                break Err(cut_off());
            }
            // A log holds days, and a window is an hour of them.
            let outside = line.time_at_end().filter(|at| !window.contains(*at));
            let time = outside.or_else(|| self.read_line(&line, &mut partial, &mut event, window, filter, observe));
            self.first = self.first.or(time);
            lines.set_time(time);
        };
        self.last = lines.time();
        self.read.bytes += lines.bytes();
        // The other parts of the last line are in the next file.
        for text in partial.rest().filter(|_| !self.file.is_current).collect::<Vec<_>>() {
            self.observe_found(events_in(&text), self.last, self.read.bytes, window, observe);
        }
        outcome
    }

    /// Observes the events in a line. Returns the time of the last of them, or that of a line before. `last_event` is what is
    /// left of the event before.
    fn read_line(
        &mut self,
        line: &Line<'_>,
        partial: &mut PartialLines,
        last_event: &mut AuditEvent,
        window: Window,
        filter: &FileFilter,
        observe: &mut impl FnMut(&mut AuditEvent, Second, &dyn Fn() -> String),
    ) -> Option<Second> {
        let (event, offset) = (line.borrowed_event(), line.offset);
        let joined = if event.is_err() { joined(line, partial) } else { None };
        if let Some(found) = joined.or_else(|| found_in(line, &event)) {
            return self.observe_found(found, line.time_before(), offset, window, observe);
        }
        let (path, read) = (&self.file.path, &mut self.read);
        let time = line.stage_time(&event).or_else(|| line.time_before());
        let event = event.ok();
        let at = time.or_else(|| event.as_ref()?.received_time_ms().map(Second::of_millis));
        match event.zip(at) {
            None => read.undecodable += 1,
            Some((event, at)) if window.contains(at) => {
                read.lines += 1;
                read.truncated += u64::from(event.is_truncated());
                if filter.events.may_match(&event) {
                    event.write_to(last_event);
                    observe(last_event, at, &|| format!("{}:{offset}", path.display()));
                } else {
                    read.filtered_out += u64::from(event.is_request());
                }
            }
            Some(_) => {}
        }
        time
    }

    /// Observes events that were found in other text at `offset`. Returns the time of the last of them, or `before`.
    fn observe_found(
        &mut self,
        found: Vec<FoundEvent>,
        before: Option<Second>,
        offset: u64,
        window: Window,
        observe: &mut impl FnMut(&mut AuditEvent, Second, &dyn Fn() -> String),
    ) -> Option<Second> {
        let mut last = before;
        for (ordinal, FoundEvent { mut decoded, time_ms, .. }) in (0..).zip(found) {
            last = time_ms.map(Second::of_millis).or(last);
            let at = last.or_else(|| decoded.event.received_time_ms().map(Second::of_millis));
            let Some(at) = at.filter(|at| window.contains(*at)) else { continue };
            self.read.lines += 1;
            self.read.truncated += u64::from(decoded.is_truncated);
            observe(&mut decoded.event, at, &|| format!("{}:{}", self.file.path.display(), offset + ordinal));
        }
        last
    }

    /// Returns whether the file must be read again, because it is `file` by now: it was not complete.
    fn is_outdated(&self, file: &LogFile, parts: &BTreeMap<Identity, FilePart>) -> bool {
        let is_changed = (self.file.size, self.file.written) != (file.size, file.written);
        self.error.is_some() && is_changed && !self.is_elsewhere(parts)
    }

    /// Returns whether another file has all lines of this one, because it is not compressed yet.
    fn is_elsewhere(&self, parts: &BTreeMap<Identity, FilePart>) -> bool {
        parts.values().any(|part| part.error.is_none() && part.file.is_compressed_to(&self.file))
    }

    /// Returns whether lines of `window` may be in the part of the file that was not read.
    fn is_lost_within(&self, window: Window, listing: &Listing, parts: &BTreeMap<Identity, FilePart>) -> bool {
        let from = self.last.max(listing.begun(&self.file));
        from.is_none_or(|from| from < window.latest().plus(DISORDER_SECONDS))
            && self.file.ended() >= window.earliest()
            && !self.is_elsewhere(parts)
    }

    /// Returns whether lines of `window` may have been in the part that a file has lost. The current file is truncated to
    /// nothing and written on, another one loses its end.
    fn is_cut_within(&self, window: Window) -> bool {
        if self.file.is_current {
            return self.first.is_none_or(|first| first > window.earliest());
        }
        self.last.is_none_or(|last| last < window.latest().plus(DISORDER_SECONDS))
    }
}

/// Returns whether an error says something of this process and nothing of the file.
fn is_of_process(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::OutOfMemory || error.raw_os_error().is_some_and(|code| TOO_MANY_OPEN.contains(&code))
}

/// Opens the file with `identity`, or returns `None` if `path` is another file or none by now.
fn open_same(path: &Path, identity: Identity) -> io::Result<Option<File>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let found = file.metadata()?;
    Ok((identity == (found.dev(), found.ino())).then_some(file))
}

/// Returns the events in a text.
fn events_in(text: &str) -> Vec<FoundEvent> {
    FINDER.find(text, &Outer::default()).into_iter().filter_map(Result::ok).collect()
}

/// Returns the events that are complete with a line, or `None` where it is not a part of one: container runtimes cut lines.
fn joined(line: &Line<'_>, partial: &mut PartialLines) -> Option<Vec<FoundEvent>> {
    let text = line.text();
    if let Some(records) = partial.join_record(text.as_bytes()) {
        return Some(records.iter().flat_map(|record| events_in(record)).collect());
    }
    partial.join(&text).map(|whole| whole.map_or_else(Vec::new, |whole| events_in(&whole)))
}

/// Returns whether a line ends before the event in it does, or contains none.
fn is_cut(line: &Line<'_>) -> bool {
    let event = line.borrowed_event();
    !event.as_ref().is_ok_and(|event| !event.is_truncated()) && found_in(line, &event).is_none()
}

fn cut_off() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "it is cut off in its last line")
}

/// Returns the events in a damaged line, where there are more than the one that `event` is: after a crash or a
/// `copytruncate`, zeros or a part of another event may be before one.
fn found_in(line: &Line<'_>, event: &Result<BorrowedEvent<'_>, DecodeError>) -> Option<Vec<FoundEvent>> {
    if line.is_long() || event.as_ref().is_ok_and(|event| !event.is_truncated()) {
        return None;
    }
    let found = events_in(&line.text());
    let least = if event.is_ok() { 2 } else { 1 };
    (found.len() >= least).then_some(found)
}

#[cfg(test)]
mod tests;
