//! The audit log file of a self-managed cluster, with its rotated siblings.
//!
//! A window is read from every file that can contain a line of it: the current file, and the siblings that were last
//! written after the window began. So there is no position to lose when files are rotated, compressed or copied back. A
//! line in two files is one request, because both have the same identity.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use stakeout_core::check::{Check, Status};
use stakeout_core::decode::{BorrowedEvent, DecodeError, EventFilter};
use stakeout_core::event::AuditEvent;
use stakeout_core::finder::{Finder, FoundEvent, Outer};
use stakeout_core::needle::{Needles, Spelling};
use stakeout_core::prefilter::Prefilter;
use stakeout_core::text::counted;
use stakeout_core::time::{Second, Window};

use crate::input;
use crate::line_reader::{Line, Lines};

/// The endings of compressed files.
const COMPRESSED: [&str; 4] = [".gz", ".xz", ".zst", ".bz2"];
/// Most rotated siblings that are read.
const SIBLINGS_MAX: usize = 1000;
/// How often the files are listed until a list has no unread file.
const ATTEMPTS_MAX: usize = 5;

/// An audit log file.
#[derive(Debug)]
pub(crate) struct FileLog {
    path: PathBuf,
    /// Size of each file at the last read, by device and inode.
    sizes: Mutex<HashMap<(u64, u64), u64>>,
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

    /// Returns the same filter, but lines that it cannot match are skipped where that is possible, and are not counted.
    pub(crate) fn skipping_others(prefilter: &Prefilter) -> FileFilter {
        FileFilter { needles: Needles::of(prefilter, Spelling::Native), ..FileFilter::counting_all(prefilter) }
    }
}

/// The counts of reading a window from its files. Lines that the filter skips are in none but `bytes`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FileRead {
    /// Files that were read.
    pub(crate) files: u64,
    /// Lines in the window.
    pub(crate) lines: u64,
    /// Bytes that were read.
    pub(crate) bytes: u64,
    /// Lines that are not audit events.
    pub(crate) undecodable: u64,
    /// Lines in the window that were cut off.
    pub(crate) truncated: u64,
    /// Requests in the window that the filter dropped.
    pub(crate) filtered_out: u64,
    /// Files that are shorter than before: they have lost lines.
    pub(crate) shrunk: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct LogFile {
    path: PathBuf,
    size: u64,
}

impl FileLog {
    /// Returns the log at `path`.
    pub(crate) fn new(path: PathBuf) -> FileLog {
        FileLog { path, sizes: Mutex::new(HashMap::new()) }
    }

    /// Passes every event of `window` that `filter` lets through to `observe`, with its time and a function that returns its
    /// record id. If a file is rotated meanwhile, an event may come twice.
    pub(crate) fn read(
        &self,
        window: Window,
        filter: &FileFilter,
        mut observe: impl FnMut(AuditEvent, Second, &dyn Fn() -> String),
    ) -> io::Result<FileRead> {
        let mut read = FileRead::default();
        let mut done = HashSet::new();
        for _ in 0..ATTEMPTS_MAX {
            let files = self.files(window)?;
            let mut unread = files.iter().filter(|(identity, _)| !done.contains(*identity)).peekable();
            if unread.peek().is_none() {
                return Ok(FileRead { shrunk: self.note_sizes(&files), ..read });
            }
            let mut read_now = Vec::new();
            for (identity, file) in unread {
                // If another file has its name by now, the next list shows the new name.
                if let Some(bytes) = open_same(&file.path, *identity)? {
                    read_file(bytes, file, window, filter, &mut read, &mut observe)?;
                    read_now.push(*identity);
                }
            }
            done.extend(read_now);
        }
        Err(io::Error::other("the log was rotated too often while it was read"))
    }

    /// Checks that the file is readable, contains audit events and was written recently.
    pub(crate) fn checks(&self, window: Window, now: Second) -> Vec<Check> {
        let shown = self.path.display();
        let opened = File::open(&self.path).and_then(|file| Ok((file.metadata()?, input::text_of(file)?)));
        let (metadata, bytes) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                let fix = match error.kind() {
                    io::ErrorKind::PermissionDenied => format!(
                        "allow this user to read it: run `setfacl -m u:$(id -un):r {shown}` as root, and check that this \
                         user may enter its directory"
                    ),
                    io::ErrorKind::IsADirectory => "set `path` to the log file, not to its directory".to_owned(),
                    _ => format!(
                        "correct `path`, or check that the API server runs on this machine with --audit-log-path={shown}"
                    ),
                };
                return vec![Check::of("permission", Status::Bad, format!("cannot read {shown}: {error}"), fix)];
            }
        };
        let mut checks = vec![Check::good("permission", format!("{shown} is readable"))];
        checks.push(match Lines::new(bytes, 0).next(None) {
            Ok(Some(line)) => match line.borrowed_event() {
                Ok(_) => Check::good("scans", "its first line is an audit event"),
                Err(error) => Check::of(
                    "scans",
                    Status::Bad,
                    format!("its first line is not an audit event: {error}"),
                    "set `path` to the file of --audit-log-path, which needs --audit-log-format=json",
                ),
            },
            Ok(None) => {
                Check::of("scans", Status::Doubtful, "it is empty", "check that --audit-policy-file logs requests")
            }
            Err(error) => Check::of("scans", Status::Bad, error.to_string(), "check the disk"),
        });
        let minutes = (now.0 - metadata.mtime()).max(0) / 60;
        let finding = format!("it was last written {} ago", counted(minutes, "minute"));
        checks.push(if Second(metadata.mtime()) >= window.earliest() {
            Check::good("newest event", finding)
        } else {
            Check::of("newest event", Status::Doubtful, finding, "check that the API server still writes to it")
        });
        checks
    }

    /// Returns the files that can contain a line of `window`, by device and inode.
    fn files(&self, window: Window) -> io::Result<BTreeMap<(u64, u64), LogFile>> {
        let current = fs::metadata(&self.path)?;
        let mut files = BTreeMap::new();
        files.insert((current.dev(), current.ino()), LogFile { path: self.path.clone(), size: current.len() });
        // Where the path is a symbolic link, rotated files lie beside the link or beside its target.
        let target = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let mut entries = siblings(&self.path)?;
        if target != self.path {
            entries.extend(siblings(&target)?);
        }
        for entry in entries {
            let Ok(file) = entry.metadata() else { continue };
            let is_written_since = Second(file.mtime()) >= window.earliest();
            if file.is_file() && is_written_since && files.len() < SIBLINGS_MAX {
                files.entry((file.dev(), file.ino())).or_insert(LogFile { path: entry.path(), size: file.len() });
            }
        }
        Ok(files)
    }

    fn note_sizes(&self, files: &BTreeMap<(u64, u64), LogFile>) -> u64 {
        let mut sizes = self.sizes.lock().unwrap_or_else(PoisonError::into_inner);
        let is_shrunk =
            |(identity, file): &(&(u64, u64), &LogFile)| sizes.get(*identity).is_some_and(|size| *size > file.size);
        let shrunk = files.iter().filter(is_shrunk).count() as u64;
        *sizes = files.iter().map(|(identity, file)| (*identity, file.size)).collect();
        shrunk
    }
}

/// Opens the file with `identity`, or returns `None` if `path` is another file or none by now.
fn open_same(path: &Path, identity: (u64, u64)) -> io::Result<Option<File>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let found = file.metadata()?;
    Ok((identity == (found.dev(), found.ino())).then_some(file))
}

fn read_file(
    bytes: File,
    file: &LogFile,
    window: Window,
    filter: &FileFilter,
    read: &mut FileRead,
    observe: &mut impl FnMut(AuditEvent, Second, &dyn Fn() -> String),
) -> io::Result<()> {
    let mut lines = Lines::new(input::text_of(bytes)?, 0);
    read.files += 1;
    while let Some(line) = lines.next(filter.needles.as_ref())? {
        // The API server has not finished this line; the reread finds it.
        if !line.is_ended || line.is_blank() {
            continue;
        }
        let (event, offset) = (line.borrowed_event(), line.offset);
        let time = line.stage_time(&event).or_else(|| line.time_before());
        if let Some(found) = found_in(&line, &event) {
            let mut last = line.time_before();
            for (ordinal, FoundEvent { decoded, time_ms, .. }) in (0..).zip(found) {
                last = time_ms.map(Second::of_millis).or(last);
                let at = last.or_else(|| decoded.event.received_time_ms().map(Second::of_millis));
                let Some(at) = at.filter(|at| window.contains(*at)) else { continue };
                read.lines += 1;
                read.truncated += u64::from(decoded.is_truncated);
                observe(decoded.event, at, &|| format!("{}:{}", file.path.display(), offset + ordinal));
            }
            lines.set_time(last);
            continue;
        }
        let event = event.ok();
        let at = time.or_else(|| event.as_ref()?.received_time_ms().map(Second::of_millis));
        match event.zip(at) {
            None => read.undecodable += 1,
            Some((event, at)) if window.contains(at) => {
                read.lines += 1;
                read.truncated += u64::from(event.is_truncated());
                if filter.events.may_match(&event) {
                    let record_id = || format!("{}:{offset}", file.path.display());
                    observe(event.into_decoded().event, at, &record_id);
                } else {
                    read.filtered_out += u64::from(event.is_request());
                }
            }
            Some(_) => {}
        }
        lines.set_time(time);
    }
    read.bytes += lines.bytes();
    Ok(())
}

/// Returns the events in a damaged line, where there are more than the one that `event` is: after a crash or a
/// `copytruncate`, zeros or a part of another event may be before one.
fn found_in(line: &Line<'_>, event: &Result<BorrowedEvent<'_>, DecodeError>) -> Option<Vec<FoundEvent>> {
    const FINDER: Finder<'static> = Finder { envelopes: &[], unpack: |_, _| None, needles: &[] };
    if line.is_long() || event.as_ref().is_ok_and(|event| !event.is_truncated()) {
        return None;
    }
    let found: Vec<FoundEvent> =
        FINDER.find(&line.text(), &Outer::default()).into_iter().filter_map(Result::ok).collect();
    let least = if event.is_ok() { 2 } else { 1 };
    (found.len() >= least).then_some(found)
}

/// Returns the rotated files of `log` in its directory.
fn siblings(log: &Path) -> io::Result<Vec<fs::DirEntry>> {
    let folder = log.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = log.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let entries = fs::read_dir(folder)?.filter_map(Result::ok);
    Ok(entries.filter(|entry| is_sibling(&name, &entry.file_name().to_string_lossy())).collect())
}

/// Returns whether `name` is a rotated file of `log`: `audit.log.1`, `audit.log-20261122`, `audit.log.2.gz`, `audit.1.log`, or
/// `audit-2026-11-22T01-00-00.000.log`, as the API server's own rotation names it, which logrotate may have rotated again.
fn is_sibling(log: &str, name: &str) -> bool {
    if let Some(rest) = name.strip_prefix(log) {
        return rest.starts_with(['.', '-']) && rest[1..].starts_with(|c: char| c.is_ascii_digit());
    }
    let (stem, ending) = log.rsplit_once('.').unwrap_or((log, ""));
    let name = COMPRESSED.iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name);
    let name = match name.rsplit_once('.') {
        Some((name, number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => name,
    };
    let Some(middle) = name.strip_prefix(stem).and_then(|rest| rest.strip_prefix(['-', '.'])) else {
        return false;
    };
    middle.starts_with(|c: char| c.is_ascii_digit())
        && middle.strip_suffix(ending).is_some_and(|rest| rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use stakeout_core::field::Field;
    use stakeout_core::prefilter::Literal;

    use super::*;

    #[test]
    fn rotated_siblings_are_known_by_their_names() {
        for name in [
            "audit.log.1",
            "audit.log.2.gz",
            "audit.log-20261122",
            "audit-2026-11-22T01-00-00.000.log",
            "audit-2026-11-22T01-00-00.000.log.gz",
            "audit-2026-11-22T01-00-00.000.log.bz2",
            "audit-2026-11-22T01-00-00.000.log.1",
            "audit-2026-11-22T01-00-00.000.log.12.xz",
            "audit-20261122.log.zst",
            "audit.1.log",
        ] {
            assert!(is_sibling("audit.log", name), "{name}");
        }
        for name in
            ["audit.log", "audit.log.bak", "audit-other.log", "audits.log", "audit-2026.txt", "audit-1", "audit.x.log"]
        {
            assert!(!is_sibling("audit.log", name), "{name}");
        }
    }

    fn line(verb: &str, at: &str) -> String {
        format!("{{\"verb\":\"{verb}\",\"stageTimestamp\":\"2020-11-22T{at}Z\"}}\n")
    }

    /// Returns the hour from ten to eleven.
    fn window() -> Window {
        let at = |text: &str| Second::from(format!("2020-11-22T{text}Z").parse::<jiff::Timestamp>().expect("a time"));
        Window::new(at("10:00:00"), at("11:00:00")).expect("not empty")
    }

    #[test]
    fn a_name_that_went_to_another_file_is_not_read_for_the_first() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, rotated) = (folder.path().join("audit.log"), folder.path().join("audit.log.1"));
        fs::write(&path, "first\n").expect("written");
        let first = fs::metadata(&path).expect("there");
        let identity = (first.dev(), first.ino());
        fs::rename(&path, &rotated).expect("rotated");
        assert!(open_same(&path, identity).expect("no error").is_none());
        fs::write(&path, "second\n").expect("written");
        assert!(open_same(&path, identity).expect("no error").is_none());
        assert!(open_same(&rotated, identity).expect("no error").is_some());
    }

    #[test]
    fn a_window_is_read_from_the_file_and_its_siblings() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit.log");
        fs::write(folder.path().join("audit.log.1"), line("first", "10:00:00") + &line("second", "10:30:00"))
            .expect("written");
        let mut file = fs::File::create(&path).expect("a file");
        write!(file, "{}nonsense\n{}", line("third", "10:59:59"), line("outside", "11:00:00")).expect("written");
        write!(file, "{{\"verb\":\"unfinished\",\"stageTimestamp\":\"2020-11-22T10:59:59Z\"}}").expect("written");
        let window = window();
        let log = FileLog::new(path.clone());
        let mut verbs = Vec::new();
        let read = log
            .read(window, &FileFilter::counting_all(&Prefilter::Any), |event, _, _| verbs.extend(event.verb))
            .expect("read");
        verbs.sort();
        assert_eq!(verbs, ["first", "second", "third"]);
        assert_eq!((read.files, read.lines, read.undecodable, read.shrunk), (2, 3, 1, 0));
        let other = tempfile::tempdir().expect("a folder");
        let link = other.path().join("linked.log");
        std::os::unix::fs::symlink(&path, &link).expect("linked");
        fs::write(other.path().join("linked.log.1"), line("beside the link", "10:00:00")).expect("written");
        let linked = FileLog::new(link).read(window, &FileFilter::counting_all(&Prefilter::Any), |_, _, _| {});
        assert_eq!(linked.expect("read").files, 3, "what is beside the link and beside its target");
        fs::write(&path, "").expect("written");
        assert_eq!(log.read(window, &FileFilter::counting_all(&Prefilter::Any), |_, _, _| {}).expect("read").shrunk, 1);
    }

    #[test]
    fn an_event_behind_zeros_or_a_part_of_another_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit.log");
        let event = |verb: &str| {
            format!(r#"{{"kind":"Event","auditID":"{verb}","verb":"{verb}","stageTimestamp":"2020-11-22T10:00:00Z"}}"#)
        };
        let cut = &event("cut")[..60];
        fs::write(&path, format!("{}{}\n{cut}{}\n", "\0".repeat(4_096), event("get"), event("list"))).expect("written");
        let mut verbs = Vec::new();
        let log = FileLog::new(path);
        let read = log
            .read(window(), &FileFilter::counting_all(&Prefilter::Any), |event, _, _| verbs.extend(event.verb))
            .expect("read");
        assert_eq!(verbs, ["get", "cut", "list"]);
        assert_eq!((read.undecodable, read.truncated), (0, 1));
    }

    #[test]
    fn events_that_the_filter_drops_are_counted() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit.log");
        let lines =
            [line("list", "10:00:00"), line("get", "10:00:01"), "nonsense\n".to_owned(), line("get", "11:00:00")];
        let begun = line("get", "10:00:02").replace('{', r#"{"stage":"RequestReceived","#);
        let cut = line("get", "10:00:03").replace("}\n", ",\"user\":\n");
        fs::write(&path, lines.concat() + &begun + &cut).expect("written");
        let literal = Literal::Text { text: "list".to_owned(), cased: true };
        let is_list = Prefilter::Is { field: Field::Named("verb"), literal };
        let mut handed = Vec::new();
        let log = FileLog::new(path.clone());
        let read = log
            .read(window(), &FileFilter::counting_all(&is_list), |event, at, record_id| {
                handed.push((event.verb, at, record_id()));
            })
            .expect("read");
        assert_eq!(handed, [(Some("list".to_owned()), window().earliest(), format!("{}:0", path.display()))]);
        let bytes = fs::metadata(&path).expect("there").len();
        let expected = FileRead {
            files: 1,
            lines: 4,
            bytes,
            undecodable: 1,
            truncated: 1,
            filtered_out: 2,
            ..FileRead::default()
        };
        assert_eq!(read, expected);
        let whole = log.read(window(), &FileFilter::counting_all(&Prefilter::Any), |_, _, _| {}).expect("read");
        assert_eq!(whole, FileRead { filtered_out: 0, ..expected });
        let mut verbs = Vec::new();
        let skipping = FileFilter::skipping_others(&is_list);
        let found = log.read(window(), &skipping, |event, _, _| verbs.extend(event.verb)).expect("read");
        assert_eq!(verbs, ["list"]);
        assert_eq!(found, FileRead { files: 1, lines: 1, bytes, ..FileRead::default() });
    }
}
