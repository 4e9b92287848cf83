//! Reads the rules that are in use: the built-in ones, and files from the disk.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use stakeout_core::diagnostic::{Diagnostic, suggestion};
use stakeout_core::rule::{self, Origin, Rule, RuleFile, Rules};
use stakeout_core::shipped;

use crate::config::{DisabledRule, RuleSource};
use crate::exit::Failure;

/// Longest rule file that is read, in bytes: the largest built-in one has 4 KiB.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Returns the rules in `sources`, or the built-in ones where there are none. Returns every error otherwise.
pub(crate) fn load(sources: &[RuleSource]) -> Result<Rules, Vec<Diagnostic>> {
    let files = files(sources)?;
    let rules = rule::load(&files)?;
    match files.first() {
        // Without rules everything is quiet.
        Some(first) if rules.rules.is_empty() => {
            let problem = "these files contain no rule that finds anything by itself".to_owned();
            Err(vec![of_file(Path::new(&first.name), problem, "name `builtin`, or files with Sigma rules")])
        }
        _ => Ok(rules),
    }
}

/// Returns the files in `sources`, each once, or the built-in ones where there are no sources.
pub(crate) fn files(sources: &[RuleSource]) -> Result<Vec<RuleFile>, Vec<Diagnostic>> {
    let mut files = Vec::new();
    let mut errors = Vec::new();
    let mut seen = BTreeSet::new();
    if sources.is_empty() || sources.contains(&RuleSource::BuiltIn) {
        files.extend(shipped::rule_files());
    }
    for source in sources {
        let RuleSource::Path(path) = source else { continue };
        let new = listed(path).map(|mut paths| {
            // What cannot be resolved cannot be read either, which says so.
            paths.retain(|path| fs::canonicalize(path).map_or(true, |path| seen.insert(path)));
            paths
        });
        match new.and_then(|new| new.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()) {
            Ok(read) => files.extend(read),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(files) } else { Err(errors) }
}

/// Takes the disabled rules out of use. Returns an error for each that is not there, or if no rule is left.
pub(crate) fn disable(rules: &mut Rules, disabled: &[DisabledRule]) -> Result<(), Vec<Diagnostic>> {
    let all = rules.clone();
    let mut errors = Vec::new();
    for DisabledRule { name, error } in disabled {
        match named(&all, name) {
            Ok(_) => drop(rules.disable(name)),
            Err(failure) => errors.push(Diagnostic { problem: failure.to_string(), ..error.clone() }),
        }
    }
    if let Some(last) = disabled.last().filter(|_| errors.is_empty() && rules.rules.is_empty()) {
        let problem = "every rule is disabled".to_owned();
        errors.push(Diagnostic { problem, fix: "leave at least one rule in use".to_owned(), ..last.error.clone() });
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

/// Returns the active rule of this name, or the names to use instead.
pub(crate) fn named<'r>(rules: &'r Rules, name: &str) -> Result<&'r Rule, Failure> {
    rules.named(name).ok_or_else(|| {
        let counted_by: Vec<&str> = rules
            .rules
            .iter()
            .filter(|rule| {
                rules.detections_of(rule).contains(&name)
                    || rule.referenced_rules().iter().any(|rule| rule.name == name)
            })
            .map(|rule| rule.head.name.as_str())
            .collect();
        if !counted_by.is_empty() {
            return Failure::Usage(format!("`{name}` is only part of other rules: use {}", counted_by.join(" or ")));
        }
        let known: Vec<&str> = rules.rules.iter().map(|rule| rule.head.name.as_str()).collect();
        Failure::Usage(format!("no rule has the name `{name}`; {}", suggestion(name, &known)))
    })
}

/// Returns `path` itself, or the rule files in it and below, in the order of their names.
fn listed(path: &Path) -> Result<Vec<PathBuf>, Diagnostic> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    list_into(&mut files, path, &mut BTreeSet::new())?;
    if files.is_empty() {
        let problem = "no rule file (*.yml, *.yaml) in this directory".to_owned();
        return Err(of_file(path, problem, "name another directory, or `builtin` for the built-in rules"));
    }
    Ok(files)
}

/// Adds the rule files in `directory` and below. A directory in `seen` is left out: links may lead in circles.
///
/// A leading dot hides a name: of Git's data, of macOS's metadata, and of the directories of a mounted ConfigMap, whose
/// files are links into them.
fn list_into(files: &mut Vec<PathBuf>, directory: &Path, seen: &mut BTreeSet<PathBuf>) -> Result<(), Diagnostic> {
    let unreadable = |error: io::Error| unreadable(directory, &error);
    if !seen.insert(fs::canonicalize(directory).map_err(unreadable)?) {
        return Ok(());
    }
    let is_visible = |path: &PathBuf| !path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    let entries = fs::read_dir(directory).map_err(unreadable)?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_visible).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            list_into(files, &path, seen)?;
        } else if path
            .extension()
            .is_some_and(|ending| ["yml", "yaml"].iter().any(|one| ending.eq_ignore_ascii_case(one)))
        {
            files.push(path);
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<RuleFile, Diagnostic> {
    let length = fs::metadata(path).map_err(|error| unreadable(path, &error))?.len();
    if length > FILE_BYTES_MAX {
        let problem = format!("the file is too large for a rule file: {length} bytes");
        return Err(of_file(path, problem, "name a file with Sigma rules"));
    }
    let text = fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
    Ok(RuleFile { origin: Origin::Own, name: path.display().to_string(), text })
}

fn unreadable(path: &Path, error: &io::Error) -> Diagnostic {
    let (problem, fix) = match error.kind() {
        io::ErrorKind::InvalidData => ("is not UTF-8 text".to_owned(), "name a file with Sigma rules"),
        _ => (format!("cannot be read: {error}"), "name a file or directory that this user can read"),
    };
    of_file(path, problem, fix)
}

/// Returns an error that concerns the whole of a file or directory.
fn of_file(path: &Path, problem: String, fix: &str) -> Diagnostic {
    Diagnostic { file: path.display().to_string(), line: 0, key: String::new(), problem, fix: fix.to_owned() }
}
