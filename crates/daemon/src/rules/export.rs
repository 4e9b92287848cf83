//! `rules export`: the files of the built-in rules and filters, for people who want to change many of them.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use anyhow::{Context, anyhow};
use stakeout_core::shipped;
use stakeout_core::text::counted;

use crate::exit::{Exit, Failure, written};

/// Writes every built-in file to `directory`. Fails if something is in it: a copy that somebody changed must not be lost.
pub(super) fn run(directory: &Path) -> Result<Exit, Failure> {
    let shown = directory.display();
    let is_empty = match fs::read_dir(directory) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == ErrorKind::NotFound => true,
        Err(error) => return Err(anyhow!("cannot write to {shown}: {error}").into()),
    };
    if !is_empty {
        return Err(anyhow!("{shown} is not empty: name a new directory").into());
    }
    let files = shipped::rule_files();
    for file in &files {
        write(&directory.join(&file.name), &file.text)
            .with_context(|| format!("cannot write {} to {shown}", file.name))?;
    }
    written(writeln!(io::stdout(), "{} written to {shown}", counted(files.len(), "file")))?;
    Ok(Exit::Done)
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    fs::write(path, text)
}
