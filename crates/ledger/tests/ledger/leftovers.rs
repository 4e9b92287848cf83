//! What a full disk or a kill leaves of the engine's own files is put right, and costs nothing that was acknowledged.

use std::fs;
use std::path::Path;

use stakeout_ledger::Ledger;
use tempfile::TempDir;

use crate::samples;

fn filled() -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let ledger = Ledger::open(dir.path()).expect("a new ledger");
    ledger.commit_window(&mut samples::full_commit(), &[]).expect("written");
    dir
}

fn assert_whole(dir: &Path, what: &str) {
    let ledger = Ledger::open(dir).unwrap_or_else(|error| panic!("{what}: {error}"));
    let mut findings = samples::stored_findings(&ledger).expect("read");
    findings.reverse();
    assert_eq!(findings, samples::full_commit().findings, "{what}");
}

#[test]
fn an_unfinished_snapshot_is_discarded() {
    let dir = filled();
    let unfinished = dir.path().join("snap.FFFFFFFFFFFFFFF0.generating");
    for bytes in [&b""[..], b"half", &[0; 4096]] {
        fs::write(&unfinished, bytes).expect("written");
        assert_whole(dir.path(), &format!("{} bytes", bytes.len()));
        assert!(!unfinished.exists());
    }
}

/// A block of a disk is gone, or a bit of it has changed.
#[test]
fn a_damaged_snapshot_is_rebuilt() {
    let dir = filled();
    let find = || {
        let names = fs::read_dir(dir.path()).expect("listed").map(|entry| entry.expect("listed").path());
        names.filter(|path| path.to_string_lossy().contains("/snap.")).collect::<Vec<_>>()
    };
    assert_whole(dir.path(), "whole");
    let [snapshot] = &find()[..] else { panic!("{:?}", find()) };
    let length = fs::metadata(snapshot).expect("there").len();
    for at in 0..length {
        let [snapshot] = &find()[..] else { panic!("{:?}", find()) };
        let mut bytes = fs::read(snapshot).expect("read");
        let from = usize::try_from(at).expect("small") % bytes.len();
        if at % 2 == 0 {
            bytes[from] ^= 0x10;
        } else {
            let to = bytes.len().min(from + 512);
            bytes[from..to].fill(0xa5);
        }
        fs::write(snapshot, bytes).expect("written");
        assert_whole(dir.path(), &format!("damaged at {from}"));
    }
}

#[test]
fn settings_that_were_written_in_part_are_written_again() {
    let dir = filled();
    let conf = dir.path().join("conf");
    let whole = fs::read(&conf).expect("the engine's settings");
    for length in 0..whole.len() {
        fs::write(&conf, &whole[..length]).expect("written");
        assert_whole(dir.path(), &format!("cut to {length} bytes"));
        assert_eq!(fs::read(&conf).expect("settings"), whole, "cut to {length} bytes");
        let mut zeroed = whole.clone();
        zeroed[length..].fill(0);
        fs::write(&conf, zeroed).expect("written");
        assert_whole(dir.path(), &format!("zeros from byte {length}"));
    }
}

#[test]
fn a_first_start_that_was_killed_anywhere_starts_again() {
    let whole = fs::read(filled().path().join("conf")).expect("the engine's settings");
    for length in 0..=whole.len() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir(dir.path().join("blobs")).expect("created");
        fs::write(dir.path().join("conf"), &whole[..length]).expect("written");
        let ledger = Ledger::open(dir.path()).unwrap_or_else(|error| panic!("cut to {length} bytes: {error}"));
        ledger.commit_window(&mut samples::full_commit(), &[]).expect("written");
    }
}

/// Other settings were chosen by somebody: they are no leftover.
#[test]
fn settings_of_another_engine_are_left_alone() {
    let dir = filled();
    let conf = dir.path().join("conf");
    let other = b"segment_size: 262144\nuse_compression: false\nversion: 0.34\n....";
    fs::write(&conf, other).expect("written");
    Ledger::open(dir.path()).expect_err("another size of segments");
    assert_eq!(fs::read(&conf).expect("settings"), other);
}
