//! The sections `rules` and `disable`: where the rules are, and which of them are not in use.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use stakeout_core::diagnostic::Diagnostic;
use stakeout_core::yaml::{At, Map};

use crate::section::{SectionReader, io_problem};

/// The word for the built-in rules. A directory of this name is `./builtin`.
const BUILT_IN: &str = "builtin";

/// Where rules are, in the config and on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RuleSource {
    /// The rules that are compiled in.
    BuiltIn,
    /// A file, or a directory with files.
    Path(PathBuf),
}

impl From<OsString> for RuleSource {
    fn from(argument: OsString) -> RuleSource {
        if argument == BUILT_IN { RuleSource::BuiltIn } else { RuleSource::Path(argument.into()) }
    }
}

/// A rule that is not in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DisabledRule {
    /// Its name.
    pub(crate) name: String,
    /// The error, if it cannot be disabled.
    pub(crate) error: Diagnostic,
}

/// Reads `rules`; without the key, the list is empty.
pub(super) fn read(top: &Map<'_>, reader: &SectionReader<'_>) -> Result<Vec<RuleSource>, Diagnostic> {
    let Some(at) = top.get("rules") else {
        return Ok(Vec::new());
    };
    let items = at.list_or_one()?;
    if items.is_empty() {
        return Err(at.error(
            "the list of rules is empty",
            "name `builtin`, a directory or a file, or remove the key to use the built-in rules",
        ));
    }
    items.iter().map(|item| source(item, reader)).collect()
}

fn source(at: &At<'_>, reader: &SectionReader<'_>) -> Result<RuleSource, Diagnostic> {
    if at.text()? == BUILT_IN {
        return Ok(RuleSource::BuiltIn);
    }
    let path = reader.path(at)?;
    match fs::metadata(&path) {
        Ok(_) => Ok(RuleSource::Path(path)),
        Err(error) => Err(at.error(
            io_problem(&error, &at.text()?),
            "name `builtin`, a directory or a file of rules, or remove the key to use the built-in rules",
        )),
    }
}

/// Reads `disable`: the names of rules.
pub(super) fn read_disabled(top: &Map<'_>) -> Result<Vec<DisabledRule>, Diagnostic> {
    let Some(at) = top.get("disable") else {
        return Ok(Vec::new());
    };
    let rule = |item: &At<'_>| {
        let name = item.text()?.to_owned();
        let error = item.error("cannot be disabled", "name a rule as `stakeout rules list` prints it");
        Ok(DisabledRule { name, error })
    };
    at.list_or_one()?.iter().map(rule).collect()
}
