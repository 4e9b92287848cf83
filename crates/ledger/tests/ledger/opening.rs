//! Which directories a ledger opens.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use stakeout_ledger::{Ledger, LedgerError};

use crate::samples;

#[test]
fn only_the_owner_can_read_a_new_directory() {
    let parent = tempfile::tempdir().expect("a temporary directory");
    let dir = parent.path().join("var/stakeout");
    let ledger = Ledger::open(&dir).expect("a new ledger");
    let mode = fs::metadata(&dir).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    assert_eq!(ledger.blobs().expect("listed"), 0);
    assert!(ledger.size_on_disk().expect("measured") > 0);
}

#[test]
fn a_second_ledger_finds_the_directory_locked() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let first = Ledger::open(dir.path()).expect("a new ledger");
    let error = Ledger::open(dir.path()).expect_err("it is held");
    assert!(matches!(error, LedgerError::Locked { .. }), "{error}");
    drop(first);
    Ledger::open(dir.path()).expect("free again");
}

#[test]
fn the_sample_key_is_random_and_stays() {
    let dirs = [(); 2].map(|()| tempfile::tempdir().expect("a temporary directory"));
    let keys = [0, 1, 0].map(|n: usize| {
        let ledger = Ledger::open(dirs[n].path()).expect("opens");
        ledger.hash_key()
    });
    assert_eq!(keys[0], keys[2]);
    assert_ne!(keys[0], keys[1]);
}

#[test]
fn a_foreign_directory_is_left_alone() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    fs::write(dir.path().join("thesis.tex"), "years").expect("written");
    let error = Ledger::open(dir.path()).expect_err("it is foreign");
    assert!(matches!(&error, LedgerError::Foreign { found, .. } if found == "thesis.tex"), "{error}");
    assert_eq!(fs::read_dir(dir.path()).expect("listed").count(), 1);
}

#[test]
fn a_foreign_file_beside_the_database_is_accepted() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let ledger = Ledger::open(dir.path()).expect("a new ledger");
    ledger.commit_window(&mut samples::full_commit(), &[]).expect("written");
    drop(ledger);
    fs::write(dir.path().join("README"), "moved here in May").expect("written");
    let ledger = Ledger::open(dir.path()).expect("still ours");
    assert_eq!(samples::stored_findings(&ledger).expect("read").len(), 2);
}

/// A volume or a package may come with the directory, and an older version may have written the files.
#[test]
fn only_the_owner_can_read_what_is_in_an_existing_directory() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let all_may_read = |name: &str, mode| {
        fs::set_permissions(dir.path().join(name), fs::Permissions::from_mode(mode)).expect("changed");
    };
    for is_first in [true, false] {
        all_may_read("", 0o755);
        let ledger = Ledger::open(dir.path()).expect("a ledger");
        if is_first {
            ledger.commit_window(&mut samples::full_commit(), &[]).expect("written");
        }
        for name in ["", "db", "conf", "blobs", "lock"] {
            let mode = fs::metadata(dir.path().join(name)).expect("there").permissions().mode();
            assert_eq!(mode & 0o077, 0, "{name}: {mode:o}");
        }
        drop(ledger);
        all_may_read("db", 0o644);
    }
}

#[test]
fn a_killed_first_start_is_continued() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    fs::create_dir(dir.path().join("blobs")).expect("created");
    fs::write(dir.path().join("conf"), "").expect("written");
    for name in ["lost+found", "archive", "compact"] {
        fs::create_dir(dir.path().join(name)).expect("created");
    }
    let ledger = Ledger::open(dir.path()).expect("a new ledger");
    ledger.commit_window(&mut samples::full_commit(), &[]).expect("written");
}

/// `rm state/*` leaves the directories of a state.
#[test]
fn a_state_whose_files_are_gone_is_known_to_begin_anew() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let ledger = Ledger::open(dir.path()).expect("a new ledger");
    assert!(!ledger.is_anew().expect("read"), "there was none before");
    ledger.commit_window(&mut samples::full_commit(), &[]).expect("written");
    drop(ledger);
    for entry in fs::read_dir(dir.path()).expect("listed") {
        let entry = entry.expect("listed");
        if entry.path().is_file() {
            fs::remove_file(entry.path()).expect("removed");
        }
    }
    for _ in 0..2 {
        Ledger::compact(dir.path()).expect("there is nothing to compact");
        let ledger = Ledger::open(dir.path()).expect("a new ledger");
        assert!(ledger.is_anew().expect("read"), "until something is committed");
    }
    let ledger = Ledger::open(dir.path()).expect("the same ledger");
    ledger.commit_window(&mut samples::full_commit(), &[]).expect("written");
    assert!(!ledger.is_anew().expect("read"));
}

#[test]
fn a_file_instead_of_the_directory_is_an_error() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("state");
    fs::write(&file, "").expect("written");
    let error = Ledger::open(&file).expect_err("it is a file");
    assert!(matches!(error, LedgerError::Failed { .. }), "{error}");
}
