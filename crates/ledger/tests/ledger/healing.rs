//! A damaged state begins again with its last whole copy: never with another value, never without a word.
//!
//! `STAKEOUT_TEST_DAMAGES` says how many states are damaged (60 by default), `STAKEOUT_TEST_SEED` how.

use std::fs;
use std::path::{Path, PathBuf};

use stakeout_core::delivery::DeliveryId;
use stakeout_core::source::SourceId;
use stakeout_core::time::Second;
use stakeout_ledger::{Ledger, LedgerError};
use tempfile::TempDir;

use crate::kill::Moments;
use crate::round_trip::Contents;
use crate::samples;
use crate::strace::{WRITES, can_trace, killed_at};

/// The damaged directory that the victim restores; set for the victim only.
const VICTIM: &str = "STAKEOUT_RESTORE_VICTIM";
const DAMAGES: &str = "STAKEOUT_TEST_DAMAGES";
const DAMAGES_BY_DEFAULT: u64 = 60;
/// The time of the copy, and of the restore.
const COPIED: Second = Second(1_000_000);
const NOW: Second = Second(1_003_000);
/// As much as a disk gives back wrong at once.
const BLOCK_BYTES: u64 = 4096;

/// A state with a copy and what was committed since, and the contents of both.
struct Original {
    dir: TempDir,
    copied: Contents,
    latest: Contents,
}

impl Original {
    fn new() -> Original {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let ledger = Ledger::open(dir.path()).expect("a new ledger");
        ledger.commit_window(&mut samples::full_commit(), &[]).expect("written");
        assert!(ledger.back_up(COPIED).expect("copied").is_some());
        let copied = Contents::of(&ledger);
        assert_eq!(ledger.back_up(COPIED.plus(3_599)).expect("read"), None, "within an hour, one is enough");
        let next = DeliveryId(ledger.next_delivery().0);
        ledger.commit_window(&mut samples::commit(SourceId(0), samples::log(0), 9_999, next), &[]).expect("written");
        let latest = Contents::of(&ledger);
        assert!(copied != latest, "the second commit changes something");
        Original { dir, copied, latest }
    }
}

/// Copies a directory with all in it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("listed") {
        let entry = entry.expect("listed");
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).expect("copied");
        }
    }
}

fn files_of(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).expect("listed").map(|entry| entry.expect("listed").path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.is_file()).collect();
    files.sort();
    files
}

/// Damages a file of the engine, and says how.
fn damage(dir: &Path, moments: &mut Moments) -> String {
    let files = files_of(dir);
    let file = &files[usize::try_from(moments.below(files.len() as u64)).expect("few")];
    let mut bytes = fs::read(file).expect("read");
    let written = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1);
    let at = usize::try_from(moments.below(written.max(1))).expect("in the file");
    let kind = moments.below(4);
    match kind {
        0 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 0xff),
        1 => bytes.truncate(at),
        2 => {
            let block = at - at % usize::try_from(BLOCK_BYTES).expect("small");
            bytes.iter_mut().skip(block).take(4096).for_each(|byte| *byte = 0);
        }
        _ => {}
    }
    let how = ["a flipped byte", "cut off", "a block of zeros", "removed"][usize::try_from(kind).expect("of four")];
    if kind == 3 {
        fs::remove_file(file).expect("removed");
    } else {
        fs::write(file, bytes).expect("written");
    }
    format!("{}: {how} at {at}", file.file_name().expect("a name").display())
}

/// Opens a state and reads all of it, as the daemon does over time.
fn whole(dir: &Path) -> Result<Ledger, LedgerError> {
    let ledger = Ledger::open(dir)?;
    ledger.verify()?;
    Ok(ledger)
}

#[test]
fn a_damaged_state_goes_on_with_its_copy() {
    let damages = std::env::var(DAMAGES).ok().and_then(|n| n.parse().ok()).unwrap_or(DAMAGES_BY_DEFAULT);
    let mut moments = Moments::new();
    let original = Original::new();
    let (mut unhurt, mut restored, mut refused) = (0_u64, 0_u64, 0_u64);
    for _ in 0..damages {
        let dir = tempfile::tempdir().expect("a temporary directory");
        copy(original.dir.path(), dir.path());
        let how = damage(dir.path(), &mut moments);
        match whole(dir.path()) {
            Ok(ledger) => {
                assert!(Contents::of(&ledger) == original.latest, "{how}: another state, without a word");
                unhurt += 1;
            }
            Err(LedgerError::Damaged { .. } | LedgerError::Unfinished) => match Ledger::restore(dir.path(), NOW) {
                Ok(from) => {
                    assert_eq!(from, COPIED, "{how}");
                    let ledger = whole(dir.path()).unwrap_or_else(|error| panic!("{how}: {error}"));
                    assert!(Contents::of(&ledger) == original.copied, "{how}: not what was copied");
                    assert_eq!(ledger.restored_from().expect("read"), Some(COPIED));
                    assert_eq!(Ledger::restored_at(dir.path()).expect("read"), Some(NOW));
                    restored += 1;
                }
                Err(error) => {
                    eprintln!("{how}: {error}");
                    refused += 1;
                }
            },
            Err(other) => panic!("{how}: {other}"),
        }
    }
    eprintln!("{damages} damages: {unhurt} unhurt, {restored} restored, {refused} refused");
    assert!(refused * 20 <= damages, "{refused} of {damages} did not heal");
}

#[test]
fn a_restored_state_says_so_until_something_is_committed_and_the_oldest_copies_leave() {
    let original = Original::new();
    let dir = original.dir.path();
    Ledger::restore(dir, NOW).expect("restored");
    let ledger = Ledger::open(dir).expect("opens");
    assert_eq!(ledger.restored_from().expect("read"), Some(COPIED));
    let next = DeliveryId(ledger.next_delivery().0);
    ledger.commit_window(&mut samples::commit(SourceId(0), samples::log(0), 9_999, next), &[]).expect("written");
    assert_eq!(ledger.restored_from().expect("read"), None);
    for hour in 1..6 {
        assert!(ledger.back_up(COPIED.plus(hour * 3_600)).expect("copied").is_some());
    }
    let kept = files_of(&dir.join("backups"));
    let names: Vec<_> = kept.iter().map(|path| path.file_name().expect("a name").to_str().expect("text")).collect();
    assert_eq!(names, [3, 4, 5].map(|hour| format!("{:012}.state", COPIED.0 + hour * 3_600)));
}

#[test]
fn a_damaged_copy_gives_way_to_an_older_one_and_without_any_nothing_changes() {
    let original = Original::new();
    let dir = original.dir.path();
    let ledger = Ledger::open(dir).expect("opens");
    assert!(ledger.back_up(NOW.plus(3_600)).expect("copied").is_some());
    drop(ledger);
    let damaged = |name: &str| {
        let path = dir.join("backups").join(name);
        let mut bytes = fs::read(&path).expect("read");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).expect("written");
    };
    damaged("000001006600.state");
    assert_eq!(Ledger::restore(dir, NOW).expect("restored"), COPIED);
    assert!(Contents::of(&Ledger::open(dir).expect("opens")) == original.copied);
    damaged("000001000000.state");
    assert!(matches!(Ledger::restore(dir, NOW), Err(LedgerError::Damaged { .. })));
    assert!(Contents::of(&Ledger::open(dir).expect("opens")) == original.copied, "it is as it was");
}

#[test]
fn victim() {
    let Some(dir) = std::env::var_os(VICTIM) else { return };
    Ledger::restore(Path::new(&dir), NOW).expect("restored");
}

/// After a kill there is the damaged state or the copy, and the next restore ends with the copy.
#[test]
fn a_kill_at_any_write_of_a_restore_costs_nothing() {
    if !can_trace() {
        return;
    }
    let original = Original::new();
    let database = original.dir.path().join("db");
    let bytes = fs::read(&database).expect("read");
    fs::write(&database, &bytes[..bytes.len() / 3]).expect("cut off");
    let mut kills = 0;
    for kind in WRITES {
        for number in 1.. {
            let dir = tempfile::tempdir().expect("a temporary directory");
            copy(original.dir.path(), dir.path());
            let path = dir.path().to_str().expect("text");
            let (_, is_killed) = killed_at(kind, number, "healing::victim", &[(VICTIM, path)]);
            let what = format!("{kind:?} {number}");
            let ledger = match whole(dir.path()) {
                Ok(ledger) => ledger,
                Err(LedgerError::Damaged { .. } | LedgerError::Unfinished) => {
                    Ledger::restore(dir.path(), NOW).unwrap_or_else(|error| panic!("{what}: {error}"));
                    whole(dir.path()).unwrap_or_else(|error| panic!("{what}: {error}"))
                }
                Err(error) => panic!("{what}: {error}"),
            };
            assert!(Contents::of(&ledger) == original.copied, "{what}: not what was copied");
            if !is_killed {
                break;
            }
            kills += 1;
        }
    }
    eprintln!("{kills} kills");
    assert!(kills > 20, "{kills} kills prove little");
}
