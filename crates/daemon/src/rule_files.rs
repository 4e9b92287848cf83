//! Reads rule files from the disk, or the shipped ones.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use stakeout_core::diagnostic::{Diagnostic, suggestion};
use stakeout_core::rule::{self, Rule, RuleFile, Rules};
use stakeout_core::shipped;

use crate::exit::Failure;

/// Longest rule file that is read, in bytes: the largest shipped one has 4 KiB.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Returns the rules in `paths` (files, and directories with `*.yml` and `*.yaml`), or the shipped ones where there
/// are no paths. Returns every error otherwise.
pub(crate) fn load(paths: &[PathBuf]) -> Result<Rules, Vec<Diagnostic>> {
    if paths.is_empty() {
        return rule::load(&shipped::rule_files());
    }
    let mut files = Vec::new();
    let mut errors = Vec::new();
    for path in paths {
        match listed(path).and_then(|listed| listed.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()) {
            Ok(read) => files.extend(read),
            Err(error) => errors.push(error),
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let rules = rule::load(&files)?;
    if rules.rules.is_empty() {
        // Without rules everything is quiet.
        let problem = "these files contain no rule that finds anything by itself".to_owned();
        return Err(vec![of_file(&paths[0], problem, "name a file or directory with Sigma rules")]);
    }
    Ok(rules)
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
    let entries = fs::read_dir(path).map_err(|error| unreadable(path, &error))?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    for entry in paths {
        if entry.is_dir() {
            files.extend(listed(&entry)?);
        } else if entry.extension().is_some_and(|ending| ending == "yml" || ending == "yaml") {
            files.push(entry);
        }
    }
    if files.is_empty() {
        let problem = "no rule file (*.yml, *.yaml) in this directory".to_owned();
        return Err(of_file(path, problem, "name another directory, or omit it to use the shipped rules"));
    }
    Ok(files)
}

fn read(path: &Path) -> Result<RuleFile, Diagnostic> {
    let length = fs::metadata(path).map_err(|error| unreadable(path, &error))?.len();
    if length > FILE_BYTES_MAX {
        let problem = format!("the file is too large for a rule file: {length} bytes");
        return Err(of_file(path, problem, "name a file with Sigma rules"));
    }
    let text = fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
    Ok(RuleFile { name: path.display().to_string(), text })
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
