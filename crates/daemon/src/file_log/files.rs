//! The files of a log: the current one, its rotated siblings, and what a glob of the config names. What is in them is not
//! read here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use stakeout_core::time::{Second, Window};

use super::LostFile;

/// The endings of compressed files.
const COMPRESSED: [&str; 4] = [".gz", ".xz", ".zst", ".bz2"];
/// How the API server's own rotation writes the time of a rotation, in UTC, between the name and its extension.
/// <https://github.com/natefinch/lumberjack/blob/v2.2.1/lumberjack.go>
const ROTATED_AT: &str = "%Y-%m-%dT%H-%M-%S%.f";
/// Most rotated files that are read.
const ROTATED_MAX: usize = 1000;

/// The device and the inode of a file.
pub(super) type Identity = (u64, u64);

/// Where the files of a log are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LogFiles {
    /// The current file.
    pub(super) path: PathBuf,
    /// A glob of rotated files that are not beside it.
    pub(super) rotated: Option<String>,
}

/// A file of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LogFile {
    /// Where it is.
    pub(super) path: PathBuf,
    /// Its length in bytes.
    pub(super) size: u64,
    /// When it was last written.
    pub(super) written: Second,
    /// When it was created, where the file system says so. An inode may be used again for another file.
    pub(super) created: Option<SystemTime>,
    /// Whether it is the file that the API server writes.
    pub(super) is_current: bool,
}

/// The files of a log at one moment.
#[derive(Debug)]
pub(super) struct Listing {
    /// All files, by device and inode.
    pub(super) files: BTreeMap<Identity, LogFile>,
    /// Files of which nothing is known, because they could not be looked at.
    pub(super) lost: Vec<LostFile>,
}

impl LogFile {
    fn of(path: PathBuf, found: &Metadata, is_current: bool) -> LogFile {
        let (size, written) = (found.len(), Second(found.mtime()));
        LogFile { path, size, written, created: found.created().ok(), is_current }
    }

    /// Returns a time at which its last line was written already. A copy was written later than its lines.
    pub(super) fn ended(&self) -> Second {
        self.rotated_at().map_or(self.written, |at| at.min(self.written))
    }

    /// Returns when the API server rotated it, as its name says.
    pub(super) fn rotated_at(&self) -> Option<Second> {
        let name = self.path.file_name()?.to_str()?;
        let (at, _) = name.match_indices('-').find_map(|(dash, _)| {
            let time = name.get(dash + 1..dash + 24)?;
            let at = DateTime::strptime(ROTATED_AT, time).ok()?;
            Some((at, dash))
        })?;
        at.to_zoned(TimeZone::UTC).ok().map(|at| Second::from(at.timestamp()))
    }

    /// Returns whether `other` has the same lines, compressed: the compression of this file is not finished, or this file is
    /// not removed yet.
    pub(super) fn is_compressed_to(&self, other: &LogFile) -> bool {
        let name = other.path.to_string_lossy();
        COMPRESSED.iter().any(|ending| name.strip_suffix(ending).is_some_and(|name| Path::new(name) == self.path))
    }
}

impl Listing {
    /// Returns the files that can contain a line of `window`: those that were last written after it began.
    pub(super) fn of_window(&self, window: Window) -> impl Iterator<Item = (&Identity, &LogFile)> {
        self.files.iter().filter(move |(_, file)| file.is_current || file.written >= window.earliest())
    }

    /// Returns a time before which a rotated file has no line, where the names of the API server's rotation show one: each
    /// file begins when the one before it was rotated.
    pub(super) fn begun(&self, file: &LogFile) -> Option<Second> {
        let end = file.rotated_at()?;
        self.files.values().filter_map(LogFile::rotated_at).filter(|at| *at < end).max()
    }
}

impl LogFiles {
    /// Lists the files. Of too many, those that were written last are listed; the others are lost if they were written after
    /// `since`. Fails where the current file or a directory cannot be looked at.
    pub(super) fn list(&self, since: Second) -> io::Result<Listing> {
        let current = fs::metadata(&self.path)?;
        if !current.is_file() {
            return Err(io::Error::other("it is not a file"));
        }
        let mut listing = Listing { files: BTreeMap::new(), lost: Vec::new() };
        let current_identity = (current.dev(), current.ino());
        let mut rotated = Vec::new();
        for path in self.rotated_paths()? {
            match fs::metadata(&path) {
                Ok(found) if found.is_file() => {
                    rotated.push(((found.dev(), found.ino()), LogFile::of(path, &found, false)));
                }
                Ok(_) => {}
                // It was rotated again, or is a link to nothing.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => listing.lost.push(LostFile::of(&path, &error)),
            }
        }
        rotated.sort_by_key(|(_, file)| std::cmp::Reverse(file.written));
        let beyond = rotated.iter().skip(ROTATED_MAX).filter(|(_, file)| file.written >= since).count();
        if beyond > 0 {
            let reason = format!("{beyond} rotated files are beyond the limit of {ROTATED_MAX}");
            listing.lost.push(LostFile { path: self.path.clone(), reason });
        }
        rotated.truncate(ROTATED_MAX);
        listing.files.insert(current_identity, LogFile::of(self.path.clone(), &current, true));
        for (identity, file) in rotated {
            listing.files.entry(identity).or_insert(file);
        }
        Ok(listing)
    }

    /// Returns the directories in which rotated files are looked for: that of the path and, where that is a symbolic link, that
    /// of its target.
    pub(super) fn folders(&self) -> BTreeSet<PathBuf> {
        let target = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        [folder_of(&self.path), folder_of(&target)]
            .map(|folder| fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned()))
            .into()
    }

    /// Returns the names of the current file, by the path and, where that is a symbolic link, by its target.
    pub(super) fn names(&self) -> BTreeSet<String> {
        let target = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        [&self.path, &target].map(|path| name_of(path)).into()
    }

    /// Returns the paths that the glob matches.
    pub(super) fn matches(&self) -> io::Result<Vec<PathBuf>> {
        let Some(pattern) = &self.rotated else {
            return Ok(Vec::new());
        };
        // A directory that may not be entered would match nothing.
        let literal = Path::new(pattern).components().take_while(|part| {
            let part = part.as_os_str().to_string_lossy();
            !part.contains(['*', '?', '['])
        });
        let base: PathBuf = literal.collect();
        match fs::metadata(&base) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(of_path(&base, &error)),
            _ => {}
        }
        let paths = glob::glob(pattern).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        paths.map(|path| path.map_err(|error| of_path(error.path(), error.error()))).collect()
    }

    fn rotated_paths(&self) -> io::Result<BTreeSet<PathBuf>> {
        let target = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let mut paths: BTreeSet<PathBuf> = siblings(&self.path)?.collect();
        if target != self.path {
            paths.extend(siblings(&target)?);
        }
        paths.extend(self.matches()?);
        Ok(paths)
    }
}

/// Returns an error that names its path.
fn of_path(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Returns the directory of a file.
pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Returns the name of a file.
pub(super) fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Returns the rotated files of `log` in its directory.
fn siblings(log: &Path) -> io::Result<impl Iterator<Item = PathBuf>> {
    let folder = folder_of(log);
    let name = name_of(log);
    let entries: io::Result<Vec<fs::DirEntry>> = fs::read_dir(folder).and_then(Iterator::collect);
    let entries = entries.map_err(|error| of_path(folder, &error))?;
    let is_rotated = move |entry: &fs::DirEntry| is_sibling(&name, &entry.file_name().to_string_lossy());
    Ok(entries.into_iter().filter(is_rotated).map(|entry| entry.path()))
}

/// Returns whether `name` is a rotated file of `log`: `audit.log.1`, `audit.log-20261122`, `audit.log.2.gz`, `audit.1.log`, or
/// `audit-2026-11-22T01-00-00.000.log`, as the API server's own rotation names it, which logrotate may have rotated again.
pub(super) fn is_sibling(log: &str, name: &str) -> bool {
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

    #[test]
    fn a_name_of_the_api_servers_rotation_has_its_time() {
        let file = |name: &str| LogFile {
            path: Path::new("/var/log/kube-audit").join(name),
            size: 0,
            written: Second(2_000_000_000),
            created: None,
            is_current: false,
        };
        for name in ["audit-2026-11-22T01-00-00.123.log", "kube-audit-2026-11-22T01-00-00.123.log.1.gz"] {
            assert_eq!(
                file(name).rotated_at().map(|at| at.to_string()).as_deref(),
                Some("2026-11-22T01:00:00Z"),
                "{name}"
            );
            assert_eq!(file(name).rotated_at(), Some(file(name).ended()), "{name}");
        }
        for name in ["audit.log.1", "audit-20261122.log", "audit.log-20261122", "audit-2026-13-22T01-00-00.123.log"] {
            assert_eq!((file(name).rotated_at(), file(name).ended()), (None, Second(2_000_000_000)), "{name}");
        }
    }
}
