//! Damaged bytes give an error, never a panic and never another value.

use std::fs;
use std::hash::Hasher;
use std::path::Path;

use siphasher::sip::SipHasher13;
use stakeout_core::source::SourceId;
use stakeout_core::time::Second;
use stakeout_ledger::{Ledger, LedgerError};
use tempfile::TempDir;

use crate::place::Place;
use crate::postgres::Postgres;
use crate::samples;

fn filled() -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let ledger = Ledger::open(dir.path()).expect("a new ledger");
    ledger.commit_window(&mut samples::full_commit(), &[]).expect("written");
    dir
}

/// Changes records behind the ledger's back.
fn tamper(dir: &Path, change: impl FnOnce(&sled::Db)) {
    let db = sled::open(dir).expect("free");
    change(&db);
    db.flush().expect("written");
    drop(db);
    // A thread of sled may hold the log for a moment longer.
    let log = fs::File::open(dir.join("db")).expect("there");
    log.lock().expect("let go");
}

fn overwrite(dir: &Path, prefix: &[u8], byte: usize) {
    tamper(dir, |db| {
        let (key, value) = db.scan_prefix(prefix).next().expect("a record").expect("readable");
        let mut value = value.to_vec();
        value[byte] ^= 0x40;
        db.insert(key, value).expect("written");
    });
}

fn is_damaged<T>(outcome: &Result<T, LedgerError>) -> bool {
    matches!(outcome, Err(LedgerError::Damaged { .. }))
}

/// Reads everything and returns how many reads report damage; the others must be right.
fn damaged_reads(ledger: &Ledger) -> usize {
    let whole = samples::full_commit();
    let log = &whole.logs[0];
    let minutes = samples::stored_rows(ledger).map(|stored| {
        let rows = stored.into_iter().map(|one| (one.minute, one.rows));
        assert_eq!(rows.collect::<Vec<_>>(), log.minutes);
    });
    let progress = ledger.progresses().map(|stored| {
        assert_eq!(stored, [(log.source, log.progress.clone())]);
    });
    let findings = samples::stored_findings(ledger).map(|mut stored| {
        stored.reverse();
        assert_eq!(stored, whole.findings);
    });
    let deliveries =
        ledger.deliveries(samples::DESTINATION, Second(0)).map(|stored| assert_eq!(stored, whole.deliveries));
    [minutes, progress, findings, deliveries]
        .into_iter()
        .filter(|outcome| match outcome {
            Ok(()) => false,
            Err(LedgerError::Damaged { .. }) => true,
            Err(other) => panic!("not the error of damage: {other}"),
        })
        .count()
}

#[test]
fn a_damaged_value_is_reported_and_the_others_are_read() {
    for prefix in [b"r", b"f"] {
        let dir = filled();
        overwrite(dir.path(), prefix, 20);
        let ledger = Ledger::open(dir.path()).expect("the rest is whole");
        assert_eq!(damaged_reads(&ledger), 1, "{}", prefix[0]);
    }
}

#[test]
fn damage_of_what_opening_needs_stops_it() {
    for prefix in [b"p", b"t", b"k", b"v", b"d"] {
        let dir = filled();
        overwrite(dir.path(), prefix, 13);
        assert!(is_damaged(&Ledger::open(dir.path())), "{}", prefix[0]);
    }
}

#[test]
fn another_format_is_an_error_of_its_own() {
    for number in [9_u32, 11] {
        let dir = filled();
        tamper(dir.path(), |db| {
            db.insert([b'v', 0, 0], format(number)).expect("written");
        });
        let Err(error) = Ledger::open(dir.path()) else { panic!("format {number} opens") };
        assert!(matches!(error, LedgerError::Format { found, known: 10, .. } if found == number), "{error}");
        assert!(error.to_string().contains("move the directory away"), "{error}");
    }
}

/// Returns the value that says which format: length, checksum of key and value, value.
fn format(number: u32) -> Vec<u8> {
    let mut hasher = SipHasher13::new();
    hasher.write(b"v");
    hasher.write(&number.to_le_bytes());
    let mut value = vec![4, 0, 0, 0];
    value.extend(hasher.finish().to_le_bytes());
    value.extend(number.to_le_bytes());
    value
}

#[test]
fn a_database_of_something_else_is_foreign() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    tamper(dir.path(), |db| {
        db.insert("user:1", "x").expect("written");
    });
    let error = Ledger::open(dir.path()).expect_err("it is foreign");
    assert!(matches!(error, LedgerError::Foreign { .. }), "{error}");
}

#[test]
fn a_record_with_an_unknown_key_is_damage() {
    let dir = filled();
    tamper(dir.path(), |db| {
        db.insert(b"r\x80", b"x").expect("written");
    });
    let ledger = Ledger::open(dir.path()).expect("the rest is whole");
    assert_eq!(damaged_reads(&ledger), 1);
}

/// Copies the files of a ledger.
fn copy(from: &Path) -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for entry in fs::read_dir(from).expect("listed") {
        let entry = entry.expect("listed");
        if entry.path().is_file() {
            fs::copy(entry.path(), dir.path().join(entry.file_name())).expect("copied");
        }
    }
    dir
}

#[test]
fn flipped_bytes_of_the_files_never_panic_and_never_lose_silently() {
    let whole = filled();
    for name in fs::read_dir(whole.path()).expect("listed") {
        let name = name.expect("listed").file_name();
        let Ok(bytes) = fs::read(whole.path().join(&name)) else {
            continue; // `blobs`
        };
        let written = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        for at in (0..60).map(|step| written * step / 60) {
            let dir = copy(whole.path());
            let mut flipped = bytes.clone();
            if let Some(byte) = flipped.get_mut(at) {
                *byte ^= 0xff;
            }
            fs::write(dir.path().join(&name), flipped).expect("written");
            match Ledger::open(dir.path()) {
                Ok(ledger) => {
                    damaged_reads(&ledger);
                }
                Err(LedgerError::Damaged { .. }) => {}
                Err(other) => panic!("{name:?} at {at}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_log_that_was_cut_off_never_panics_and_never_loses_silently() {
    let whole = filled();
    let length = fs::metadata(whole.path().join("db")).expect("there").len();
    for step in 1..40 {
        let dir = copy(whole.path());
        let log = fs::OpenOptions::new().write(true).open(dir.path().join("db"));
        let cut = log.expect("there").set_len(length * step / 40);
        cut.expect("cut");
        match Ledger::open(dir.path()) {
            Ok(ledger) => {
                damaged_reads(&ledger);
            }
            Err(LedgerError::Damaged { .. }) => {}
            Err(other) => panic!("cut at {step}/40: {other:?}"),
        }
    }
}

#[test]
fn a_lost_log_is_not_taken_for_a_new_ledger() {
    let gone = filled();
    for entry in fs::read_dir(gone.path()).expect("listed") {
        let path = entry.expect("listed").path();
        if path.is_file() && path.file_name() != Some("lock".as_ref()) {
            fs::remove_file(path).expect("removed");
        }
    }
    assert!(is_damaged(&Ledger::open(gone.path())));

    let older = filled();
    let before = copy(older.path());
    let ledger = Ledger::open(older.path()).expect("whole");
    let mut next = samples::commit(SourceId(0), samples::log(0), 61, ledger.next_delivery());
    ledger.commit_window(&mut next, &[]).expect("written");
    drop(ledger);
    for entry in fs::read_dir(before.path()).expect("listed") {
        let entry = entry.expect("listed");
        if entry.file_name() != "lock" {
            fs::copy(entry.path(), older.path().join(entry.file_name())).expect("copied");
        }
    }
    assert!(is_damaged(&Ledger::open(older.path())));

    let empty = filled();
    fs::write(empty.path().join("db"), "").expect("emptied");
    let outcome = Ledger::open(empty.path());
    assert!(is_damaged(&outcome), "{outcome:?}");
}

#[test]
fn a_value_that_a_database_gives_back_changed_is_damage() {
    let Some(server) = Postgres::shared() else { return };
    let place = Place::schema(server);
    let ledger = place.open().expect("a new ledger");
    ledger.commit_window(&mut samples::full_commit(), &[]).expect("written");
    ledger.verify().expect("whole");
    let Place::Schema(schema, _) = &place else { panic!("it is in a schema") };
    server.sql(&format!("UPDATE {schema}.finding SET value = '\\x00'"));
    let error = ledger.verify().expect_err("damaged");
    assert!(matches!(error, LedgerError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("back-up of the database"), "{error}");
}
