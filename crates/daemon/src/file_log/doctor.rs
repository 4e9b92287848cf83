//! What `doctor` says of a log file: whether it is there and readable, which files are followed and which are not, whether
//! they are whole and hold audit events, and whether it is current.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use stakeout_core::check::{Check, Status};
use stakeout_core::finder::{Outer, Unusable};
use stakeout_core::text::counted;
use stakeout_core::time::{Second, Window};

use super::files::{Listing, LogFile, folder_of, is_sibling, name_of};
use super::rights::User;
use super::{FINDER, FileLog, LostFile, cut_off, found_in, is_cut, open_same};
use crate::input;
use crate::line_reader::Lines;

/// Files that are named. The others are a number.
const NAMED_MAX: usize = 10;
/// Lines of a file that show whether it is an audit log.
const SAMPLE_LINES: u64 = 1000;
/// Bytes of text that are decompressed to find damage. Others are not checked.
const CHECKED_BYTES_MAX: u64 = 4 << 30;
/// Directories beside a log in which rotated files are looked for, and names that are read of each.
const FOLDERS_MAX: usize = 20;
const NAMES_MAX: usize = 1000;

/// A name beside the log that is not followed.
struct Ignored {
    name: String,
    reason: String,
    /// What belongs into the config, if it is a rotated file or holds some.
    rotated: Option<PathBuf>,
}

impl FileLog {
    /// Checks the files for the windows that may still be read: `window` and those after `since`.
    pub(crate) fn checks(&self, window: Window, since: Second, now: Second) -> Vec<Check> {
        let path = &self.files.path;
        let shown = path.display();
        let metadata = match fs::metadata(path) {
            Ok(found) if found.is_file() => found,
            Ok(found) => return vec![not_a_file(path, found.is_dir())],
            Err(error) => return vec![self.unreadable(&error)],
        };
        if let Err(error) = File::open(path) {
            return vec![self.unreadable(&error)];
        }
        let listing = match self.files.list(since) {
            Ok(listing) => listing,
            Err(error) => return vec![self.unreadable(&error)],
        };
        let user = User::of_process().map_or_else(|_| "this user".to_owned(), |user| user.shown());
        let hint = if user == "root" { "; run this as the user of the daemon to check its rights" } else { "" };
        let mut checks = vec![Check::good("permission", format!("{user} can read {shown}{hint}"))];
        checks.push(followed(&listing));
        checks.extend(self.unmatched());
        checks.extend(self.ignored(&listing));
        checks.extend(self.lost(&listing, since));
        checks.push(sample(&listing));
        checks.push(newest(Second(metadata.mtime()), window, now));
        checks
    }

    /// Returns why the current file, or the list of the others, cannot be read.
    fn unreadable(&self, error: &io::Error) -> Check {
        let path = &self.files.path;
        let shown = path.display();
        match error.kind() {
            io::ErrorKind::NotFound => self.missing(),
            io::ErrorKind::PermissionDenied => match User::of_process() {
                Ok(user) => {
                    let finding = format!("{} may not read {shown} or list its directory: {error}", user.shown());
                    Check::of("permission", Status::Bad, finding, user.advice(path, &[]))
                }
                Err(of_user) => Check::of(
                    "permission",
                    Status::Bad,
                    format!("cannot read {shown}: {error}"),
                    format!("mount /proc: {of_user}"),
                ),
            },
            _ => Check::of("log", Status::Bad, format!("cannot read {shown}: {error}"), "check the disk"),
        }
    }

    fn missing(&self) -> Check {
        let path = &self.files.path;
        let shown = path.display();
        let advice =
            format!("check that the API server of this machine has --audit-log-path={shown}, or correct `path`");
        if let Ok(target) = fs::read_link(path) {
            let finding = format!("{shown} is a link to {}, which is not there", target.display());
            return Check::of("log", Status::Bad, finding, advice);
        }
        let folder = path.ancestors().skip(1).find(|folder| folder.exists()).unwrap_or(Path::new("/"));
        if folder != folder_of(path) {
            let finding = format!("there is no {shown}: {} has no such directory", folder.display());
            return Check::of("log", Status::Bad, finding, advice);
        }
        let name = name_of(path);
        let stem = stem_of(&name);
        let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok).take(NAMES_MAX);
        let mut similar: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        similar.retain(|name| name.contains(stem) || name.contains("audit"));
        similar.sort();
        let similar = if similar.is_empty() {
            "no file there has a similar name".to_owned()
        } else {
            format!("similar names there: {}", named(&similar))
        };
        Check::of("log", Status::Bad, format!("there is no {shown}; {similar}"), advice)
    }

    /// Returns a check of the glob, where it matches no file.
    fn unmatched(&self) -> Option<Check> {
        let pattern = self.files.rotated.as_ref()?;
        let matches = self.files.matches().unwrap_or_default();
        if matches.iter().any(|path| path.is_file()) {
            return None;
        }
        let fix = match matches.first() {
            Some(folder) => format!("write `rotated: {}/*`", folder.display()),
            None => "correct `rotated`, or remove it if there are no rotated files yet".to_owned(),
        };
        Some(Check::of("rotated files", Status::Doubtful, format!("`rotated` matches no file: {pattern}"), fix))
    }

    /// Returns what is beside the log and is not followed.
    fn ignored(&self, listing: &Listing) -> Vec<Check> {
        let names = self.files.names();
        let is_similar = |name: &str| names.iter().any(|log| name.starts_with(stem_of(log)));
        let mut ignored = Vec::new();
        for folder in self.files.folders() {
            let followed = |name: &str| {
                let is_it = |file: &LogFile| {
                    name_of(&file.path) == name && fs::canonicalize(folder_of(&file.path)).is_ok_and(|it| it == folder)
                };
                listing.files.values().any(is_it)
            };
            let entries = fs::read_dir(&folder).into_iter().flatten().filter_map(Result::ok).take(NAMES_MAX);
            let mut folders = 0;
            for entry in entries {
                let name = entry.file_name().to_string_lossy().into_owned();
                if names.contains(&name) || followed(&name) {
                    continue;
                }
                let path = entry.path();
                let (reason, rotated) = match fs::metadata(&path) {
                    Ok(found) if found.is_dir() => {
                        folders += 1;
                        let holds = folders <= FOLDERS_MAX && holds_rotated(&path, &names);
                        (
                            if holds { "a directory with rotated files" } else { "a directory" }.to_owned(),
                            holds.then(|| path.join("*")),
                        )
                    }
                    Ok(found) if found.is_file() => ("its name".to_owned(), is_similar(&name).then_some(path)),
                    Ok(_) => ("not a file".to_owned(), None),
                    Err(error) => (error.to_string(), None),
                };
                ignored.push(Ignored { name, reason, rotated });
            }
        }
        let (doubtful, others): (Vec<Ignored>, Vec<Ignored>) = ignored.into_iter().partition(|it| it.rotated.is_some());
        let check = |ignored: &[Ignored], rotated: Option<&PathBuf>| {
            let mut shown: Vec<String> = ignored.iter().map(|it| format!("{} ({})", it.name, it.reason)).collect();
            shown.sort();
            let finding = format!("ignored: {}", named(&shown));
            match rotated {
                None => Check::good("rotated files", finding),
                Some(path) => {
                    let fix = format!(
                        "if these are rotated files of this log, add a glob to its `file` section: `rotated: {}`",
                        path.display()
                    );
                    Check::of("rotated files", Status::Doubtful, finding, fix)
                }
            }
        };
        let mut checks = Vec::new();
        if let Some(first) = doubtful.first() {
            checks.push(check(&doubtful, first.rotated.as_ref()));
        }
        if !others.is_empty() {
            checks.push(check(&others, None));
        }
        checks
    }

    /// Returns the files that cannot be read, or not to their end.
    fn lost(&self, listing: &Listing, since: Second) -> Vec<Check> {
        let (mut denied, mut damaged, mut left) = (Vec::new(), listing.lost.clone(), CHECKED_BYTES_MAX);
        let mut unchecked = 0;
        for (identity, file) in listing.files.iter().filter(|(_, file)| !file.is_current && file.written >= since) {
            match open_same(&file.path, *identity) {
                Ok(None) => {}
                Ok(Some(_)) if left == 0 => unchecked += 1,
                Ok(Some(bytes)) => {
                    let is_whole_elsewhere = listing.files.values().any(|other| other.is_compressed_to(file));
                    match read_through(bytes, &mut left) {
                        Err(error) if !is_whole_elsewhere => damaged.push(LostFile::of(&file.path, &error)),
                        _ => {}
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => denied.push(file.path.clone()),
                Err(error) => damaged.push(LostFile::of(&file.path, &error)),
            }
        }
        let mut checks = Vec::new();
        if !denied.is_empty() {
            let names: Vec<String> = denied.iter().map(|path| path.display().to_string()).collect();
            let (shown, fix) = match User::of_process() {
                Ok(user) => (user.shown(), user.advice(&self.files.path, &denied)),
                Err(error) => ("this user".to_owned(), format!("mount /proc: {error}")),
            };
            let finding = format!("{shown} may not read {}", named(&names));
            checks.push(Check::of("permission", Status::Bad, finding, fix));
        }
        if !damaged.is_empty() {
            let names: Vec<String> = damaged.iter().map(LostFile::to_string).collect();
            let fix = "copy each file again from where it is whole, or move it away; windows are read without what is \
                       missing, and `stakeout state show` lists them as gaps";
            checks.push(Check::of("rotated files", Status::Bad, format!("damaged: {}", named(&names)), fix));
        }
        if unchecked > 0 {
            let finding = format!("{} too large to be checked for damage", counted(unchecked, "file"));
            checks.push(Check::good("rotated files", finding));
        }
        checks
    }
}

fn not_a_file(path: &Path, is_folder: bool) -> Check {
    let what = if is_folder { "a directory" } else { "not a file" };
    let finding = format!("{} is {what}", path.display());
    Check::of("log", Status::Bad, finding, "set `path` to the log file that the API server writes")
}

/// Returns the files that are followed, those that were written last first.
fn followed(listing: &Listing) -> Check {
    let mut files: Vec<&LogFile> = listing.files.values().collect();
    files.sort_by_key(|file| (!file.is_current, Reverse(file.written)));
    let names: Vec<String> = files.iter().map(|file| file.path.display().to_string()).collect();
    Check::good("rotated files", format!("followed: {}", named(&names)))
}

/// Returns the first names, and the number of the others.
fn named(names: &[String]) -> String {
    let shown = names.iter().take(NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Returns the name of a log without its extension.
fn stem_of(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

fn holds_rotated(folder: &Path, logs: &BTreeSet<String>) -> bool {
    let mut entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok).take(NAMES_MAX);
    entries.any(|entry| logs.iter().any(|log| is_sibling(log, &entry.file_name().to_string_lossy())))
}

/// Reads a file to its end, or as far as `left` bytes of text go, of which what was read is taken.
fn read_through(bytes: File, left: &mut u64) -> io::Result<()> {
    let limit = *left;
    let mut lines = Lines::new(input::text_of(bytes)?.take(limit), 0);
    let mut is_last_cut = false;
    while let Some(line) = lines.next(None)? {
        is_last_cut = !line.is_ended && !line.is_blank() && is_cut(&line);
    }
    *left -= lines.bytes();
    if is_last_cut && lines.bytes() < limit { Err(cut_off()) } else { Ok(()) }
}

/// Returns a check of the first lines of the file that is written, or of the one before it where that is empty.
fn sample(listing: &Listing) -> Check {
    let mut files: Vec<&LogFile> = listing.files.values().filter(|file| file.size > 0).collect();
    files.sort_by_key(|file| (!file.is_current, Reverse(file.written)));
    let Some(file) = files.first() else {
        return Check::of("scans", Status::Doubtful, "it is empty", "check that --audit-policy-file logs requests");
    };
    let shown = file.path.display();
    match Sample::of(&file.path) {
        Err(error) => Check::of("scans", Status::Bad, format!("cannot read {shown}: {error}"), "check the disk"),
        Ok(sample) => sample.check(&shown.to_string()),
    }
}

/// What the first lines of a file are.
#[derive(Default)]
struct Sample {
    lines: u64,
    events: u64,
    /// The first line that is no audit event: its number, and why.
    other: Option<(u64, Unusable)>,
}

impl Sample {
    fn of(path: &Path) -> io::Result<Sample> {
        let mut lines = Lines::new(input::text_of(File::open(path)?)?, 0);
        let mut sample = Sample::default();
        while sample.lines < SAMPLE_LINES
            && let Some(line) = lines.next(None)?
        {
            // The API server has not finished this line.
            if !line.is_ended || line.is_blank() {
                continue;
            }
            sample.lines += 1;
            let event = line.borrowed_event();
            if event.is_ok() || found_in(&line, &event).is_some() {
                sample.events += 1;
            } else if sample.other.is_none() {
                let unusable = FINDER.find(&line.text(), &Outer::default()).into_iter().find_map(Result::err);
                sample.other = unusable.map(|unusable| (sample.lines, unusable));
            }
        }
        Ok(sample)
    }

    fn check(&self, shown: &str) -> Check {
        let Sample { lines, events, .. } = self;
        let other = self.other.as_ref().map(|(number, unusable)| match unusable {
            Unusable::Foreign(foreign) => format!("; line {number} is {foreign}: {:?}", foreign.shown),
            unusable => format!("; line {number}: {unusable}"),
        });
        let finding = format!(
            "{events} of the first {} of {shown} are audit events{}",
            counted(*lines, "line"),
            other.unwrap_or_default()
        );
        if 2 * events > *lines {
            return Check::good("scans", finding);
        }
        let advice = match &self.other {
            Some((_, Unusable::Foreign(foreign))) => foreign.advice,
            _ => None,
        };
        let status = if *events == 0 { Status::Bad } else { Status::Doubtful };
        Check::of(
            "scans",
            status,
            finding,
            advice.unwrap_or("set `path` to the file of --audit-log-path, which needs --audit-log-format=json"),
        )
    }
}

fn newest(written: Second, window: Window, now: Second) -> Check {
    let minutes = u64::try_from(now.0 - written.0).unwrap_or_default() / 60;
    let finding = format!("it was last written {} ago", counted(minutes, "minute"));
    if written >= window.earliest() {
        Check::good("newest event", finding)
    } else {
        Check::of("newest event", Status::Doubtful, finding, "check that the API server still writes to it")
    }
}
