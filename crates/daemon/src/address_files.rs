//! What is known of addresses, read from the config and from files, and read again when a file has changed. A file that is bad
//! stops nothing: what it said when it was good stays in use, and the log says so.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use stakeout_core::diagnostic::Diagnostic;
use stakeout_notify::address_book::{AddressBook, AddressDatabase};
use tracing::{info, warn};

use crate::cloud_ranges;
use crate::config::AddressConfig;
use crate::section::io_problem;

/// Largest database that is read into memory; that of cities has an eighth of it.
const DATABASE_BYTES_MAX: u64 = 512 << 20;

/// What is known of addresses. It outlives the config, like the state.
#[derive(Clone, Debug, Default)]
pub(crate) struct AddressFiles(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    book: Arc<AddressBook>,
    /// What was read, so that nothing is read twice.
    read: Vec<(PathBuf, Option<Fingerprint>)>,
    /// The config that it was read for.
    config: AddressConfig,
}

/// What changes when a file does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fingerprint {
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

impl AddressFiles {
    /// Reads what the config names, for a command that ends soon.
    pub(crate) fn of(config: &AddressConfig) -> Arc<AddressBook> {
        let files = AddressFiles::default();
        files.refresh(config);
        files.current()
    }

    /// Reads what the config names and has changed.
    pub(crate) fn refresh(&self, config: &AddressConfig) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let read = fingerprints(config);
        if known.config == *config && known.read == read {
            return;
        }
        let mut book =
            AddressBook { networks: Arc::new(config.networks.iter().cloned().collect()), ..AddressBook::default() };
        let (old, changed) = (known.book.clone(), |path: &Path| {
            let of = |read: &[(PathBuf, Option<Fingerprint>)]| read.iter().find(|(known, _)| known == path).cloned();
            of(&known.read) != of(&read)
        });
        book.cities = database(config.city_file.as_deref(), old.cities.as_ref(), &changed);
        book.systems = database(config.asn_file.as_deref(), old.systems.as_ref(), &changed);
        if let Some(directory) = &config.ranges {
            let (ranges, errors) = cloud_ranges::read(directory);
            errors.iter().for_each(|error| warn!("cannot use the ranges of a cloud: {error}"));
            let is_kept = !errors.is_empty() && known.config.ranges == config.ranges;
            book.ranges = if is_kept && !old.ranges.is_empty() { old.ranges.clone() } else { Arc::new(ranges) };
        }
        *known = Known { book: Arc::new(book), read, config: config.clone() };
    }

    /// Returns what is known.
    pub(crate) fn current(&self) -> Arc<AddressBook> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).book.clone()
    }
}

/// Returns what is wrong with the files that the config names; `config_file` is its path.
pub(crate) fn errors(config_file: &str, config: &AddressConfig) -> Vec<Diagnostic> {
    let error = |key: &str, problem: String, fix: &str| Diagnostic {
        file: config_file.to_owned(),
        line: 0,
        key: key.to_owned(),
        problem,
        fix: fix.to_owned(),
    };
    let mut errors = Vec::new();
    for (key, path) in [("context.city_file", &config.city_file), ("context.asn_file", &config.asn_file)] {
        let read = path.as_ref().map(|path| open(path).and_then(|database| verified(path, &database)));
        if let Some(Err(problem)) = read {
            errors.push(error(
                key,
                problem,
                "download a database in MaxMind's format (.mmdb) again, or remove the key",
            ));
        }
    }
    if let Some(directory) = &config.ranges {
        let (_, problems) = cloud_ranges::read(directory);
        let fix = "run `stakeout ranges refresh`, or remove the key";
        errors.extend(problems.into_iter().map(|problem| error("context.ranges", problem, fix)));
    }
    errors
}

fn verified(path: &Path, database: &AddressDatabase) -> Result<(), String> {
    database.verify().map_err(|reason| format!("`{}` is damaged: {reason}", path.display()))
}

fn database(
    path: Option<&Path>,
    old: Option<&Arc<AddressDatabase>>,
    is_changed: &impl Fn(&Path) -> bool,
) -> Option<Arc<AddressDatabase>> {
    let path = path?;
    if let Some(old) = old.filter(|_| !is_changed(path)) {
        return Some(old.clone());
    }
    match open(path) {
        Ok(database) => {
            info!(file = %path.display(), built_at = database.built_at(), "a database of addresses is in use");
            Some(Arc::new(database))
        }
        Err(problem) => {
            warn!("cannot use a database of addresses, messages go on without it: {problem}");
            old.cloned()
        }
    }
}

fn open(path: &Path) -> Result<AddressDatabase, String> {
    let shown = path.display();
    let bytes = fs::metadata(path).map_err(|error| io_problem(&error, &shown))?.len();
    if bytes > DATABASE_BYTES_MAX {
        return Err(format!("`{shown}` has {bytes} bytes, more than {DATABASE_BYTES_MAX}"));
    }
    let bytes = fs::read(path).map_err(|error| io_problem(&error, &shown))?;
    AddressDatabase::new(bytes).map_err(|reason| format!("`{shown}` is no database of MaxMind's format: {reason}"))
}

fn fingerprints(config: &AddressConfig) -> Vec<(PathBuf, Option<Fingerprint>)> {
    let ranges = config.ranges.iter().flat_map(|directory| cloud_ranges::files(directory));
    let paths = [&config.city_file, &config.asn_file].into_iter().flatten().cloned().chain(ranges);
    paths.map(|path| (path.clone(), fingerprint(&path))).collect()
}

fn fingerprint(path: &Path) -> Option<Fingerprint> {
    let metadata = fs::metadata(path).ok()?;
    let modified = (metadata.mtime(), metadata.mtime_nsec());
    Some(Fingerprint { inode: metadata.ino(), bytes: metadata.len(), modified })
}

#[cfg(test)]
mod tests;
