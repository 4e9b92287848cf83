//! Golden files: the exact text that a command prints, kept beside its input.
//!
//! A test compares. `STAKEOUT_BLESS=1 cargo test` writes the files anew and prints what changed, so that a message can be
//! changed on purpose and reviewed as a diff. A blessing run is for a person: where `CI` is set, files are never written.

use std::fmt::Write;
use std::fs;
use std::path::Path;

/// Compares `printed` with the golden file at `path`, or writes the file where `STAKEOUT_BLESS` asks for it.
///
/// Returns the lines that differ, or `None` where the two are equal or the file was written.
///
/// # Panics
///
/// When the file cannot be written.
#[must_use]
pub(crate) fn difference(path: &Path, printed: &str) -> Option<String> {
    let expected = fs::read_to_string(path).unwrap_or_default();
    if expected == printed {
        return None;
    }
    let changed = changed_lines(path, &expected, printed);
    if std::env::var_os("STAKEOUT_BLESS").is_some() && std::env::var_os("CI").is_none() {
        fs::write(path, printed).unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
        eprint!("blessed {changed}");
        return None;
    }
    Some(format!("{changed}STAKEOUT_BLESS=1 cargo test writes it anew\n"))
}

/// Asserts that `printed` is what the golden file at `path` holds.
///
/// # Panics
///
/// When they differ.
pub(crate) fn assert_golden(path: &Path, printed: &str) {
    if let Some(difference) = difference(path, printed) {
        panic!("{difference}");
    }
}

/// Returns the lines that only one of two texts has, between the first and the last that differ.
fn changed_lines(path: &Path, expected: &str, printed: &str) -> String {
    let (was, is): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), printed.lines().collect());
    let same = was.iter().zip(&is).take_while(|(left, right)| left == right).count();
    let rest = was.len().min(is.len()) - same;
    let same_end = was.iter().rev().zip(is.iter().rev()).take(rest).take_while(|(left, right)| left == right).count();
    let mut changed = format!("{}, from line {}:\n", path.display(), same + 1);
    for (mark, lines) in [('-', &was[same..was.len() - same_end]), ('+', &is[same..is.len() - same_end])] {
        for line in lines {
            let _ = writeln!(changed, "{mark} {line}");
        }
    }
    changed
}

#[test]
fn a_difference_shows_the_lines_between_equal_ones() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("golden.txt");
    fs::write(&path, "one\ntwo\nthree\n").expect("writable");
    assert_eq!(
        changed_lines(&path, "one\ntwo\nthree\n", "one\n2\n2b\nthree\n"),
        format!("{}, from line 2:\n- two\n+ 2\n+ 2b\n", path.display())
    );
}
