//! A database that has shrunk gives its space back, and no kill and no full disk costs a record.
//!
//! The test binary starts itself as the process that is killed, and on small disks (tmpfs) where user namespaces are
//! allowed.

use std::io::Write;
use std::os::unix::fs::{MetadataExt, symlink};
use std::process::{Command, Output};

use tempfile::TempDir;

use self::disk::Disk;
use super::super::database::Stay;
use super::*;

#[path = "../../../tests/support/disk.rs"]
mod disk;
#[path = "../../../tests/support/strace.rs"]
mod strace;

/// The directory that a started process works on; set for that process only.
const VICTIM: &str = "STAKEOUT_COMPACTION_VICTIM";
/// The number of the step after which it is killed.
const KILLED_AT: &str = "STAKEOUT_COMPACTION_KILLED_AT";
/// Records of the peak, of which one in twenty is left.
const PEAK: u32 = 3000;
const LEFT: u32 = 20;
/// The size of the file that is compacted in tests.
const OVER_BYTES: u64 = 1024 * 1024;

type Records = Vec<(Vec<u8>, Vec<u8>)>;

fn record(n: u32) -> (Vec<u8>, Vec<u8>) {
    let key = [&b"fhmp"[n as usize % 4..][..1], &n.wrapping_mul(2_654_435_761).to_be_bytes()].concat();
    (key, n.to_le_bytes().repeat(n as usize % 1024 + 1))
}

/// Fills the database in `dir` and removes most of it.
fn shrink(dir: &Path) {
    let engine = Database::open(dir, Stay::Brief).expect("a new database");
    for first in (0..PEAK).step_by(100) {
        let mut batch = sled::Batch::default();
        for (key, value) in (first..first + 100).map(record) {
            batch.insert(key, value);
        }
        engine.apply(batch).expect("written");
    }
    for first in (0..PEAK).step_by(100) {
        let mut batch = sled::Batch::default();
        for (key, _) in (first..first + 100).filter(|n| n % LEFT != 0).map(record) {
            batch.remove(key);
        }
        engine.apply(batch).expect("written");
    }
}

fn shrunk() -> (TempDir, Directory) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let directory = Directory::hold(dir.path()).expect("free");
    shrink(dir.path());
    (dir, directory)
}

/// Returns what is left.
fn left() -> Records {
    let mut records: Records = (0..PEAK).filter(|n| n % LEFT == 0).map(record).collect();
    records.sort();
    records
}

fn read(dir: &Path) -> Records {
    let engine = Database::open(dir, Stay::Brief).expect("opens");
    let records = engine.records().map(|record| record.expect("readable"));
    records.map(|(key, value)| (key.to_vec(), value.to_vec())).collect()
}

fn size(dir: &Path) -> u64 {
    fs::metadata(dir.join(DB)).expect("there").len()
}

/// Compacts a file of more than `over_bytes`, and returns whether nothing was done.
fn is_left_alone(over_bytes: u64, directory: &Directory) -> bool {
    let mut steps = 0;
    let compacted = compact_over(over_bytes, directory, |_| steps += 1).expect("measured");
    (compacted, steps) == (None, 0)
}

fn has_snapshots(dir: &Path) -> bool {
    let names = fs::read_dir(dir).expect("listed").map(|entry| entry.expect("an entry").file_name());
    names.into_iter().any(|name| name.to_string_lossy().starts_with(SNAP))
}

#[test]
fn a_database_that_has_shrunk_is_replaced_by_a_smaller_one() {
    let (dir, directory) = shrunk();
    let before = size(dir.path());
    let mut steps = Vec::new();
    let compaction = compact_over(OVER_BYTES, &directory, |step| steps.push(step)).expect("compacted");
    let after = size(dir.path());
    assert_eq!(compaction, Some(Compaction { bytes_before: before, bytes_after: after }));
    assert!(after * 4 < before, "{after} of {before} bytes");
    steps.dedup();
    assert_eq!(
        steps,
        [
            Step::BatchCopied,
            Step::Copied,
            Step::Verified,
            Step::CopyDurable,
            Step::SnapshotRemoved,
            Step::SnapshotsGone,
            Step::Renamed,
            Step::RenameDurable,
            Step::Done
        ]
    );
    assert!(!dir.path().join(COMPACT).exists());
    assert_eq!(read(dir.path()), left());
    assert!(is_left_alone(OVER_BYTES, &directory), "a new copy is good enough");
    assert_eq!(read(dir.path()), left());
}

#[test]
fn a_database_that_is_small_or_full_is_left_alone() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let directory = Directory::hold(dir.path()).expect("free");
    assert!(is_left_alone(0, &directory), "there is none");
    assert!(!dir.path().join(DB).exists());
    shrink(dir.path());
    assert_eq!(compact(&directory).expect("small"), None);
    assert!(is_left_alone(size(dir.path()), &directory), "small");
    let engine = Database::open(dir.path(), Stay::Brief).expect("opens");
    for n in 0..PEAK {
        let mut batch = sled::Batch::default();
        let (key, value) = record(n);
        batch.insert(key, value);
        engine.apply(batch).expect("written");
    }
    drop(engine);
    assert!(is_left_alone(0, &directory), "full");
}

#[test]
fn a_second_tree_is_not_lost() {
    let (dir, directory) = shrunk();
    let db = sled::open(dir.path()).expect("free");
    db.open_tree("other").and_then(|tree| tree.insert("a", "b")).expect("written");
    drop(db);
    // A thread of the engine may hold the log for a moment longer.
    fs::File::open(dir.path().join(DB)).and_then(|log| log.lock()).expect("released");
    assert!(is_left_alone(0, &directory));
}

#[test]
fn live_bytes_are_counted_by_kind() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let engine = Database::open(dir.path(), Stay::Brief).expect("a new database");
    let mut batch = sled::Batch::default();
    for (key, value) in [("a1", "xxx"), ("a2", ""), ("b", "y")] {
        batch.insert(key, value);
    }
    engine.apply(batch).expect("written");
    let expected = [(b'a', LiveBytes { records: 2, bytes: 7 }), (b'b', LiveBytes { records: 1, bytes: 2 })];
    assert_eq!(live_bytes(&engine).expect("read"), BTreeMap::from(expected));
}

#[test]
fn a_copy_that_differs_is_not_used() {
    let (one, other) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let engines = [&one, &other].map(|dir| Database::open(dir.path(), Stay::Brief).expect("a new database"));
    let put = |engine: &Database, key: &str, value: &str| {
        let mut batch = sled::Batch::default();
        batch.insert(key, value);
        engine.apply(batch).expect("written");
    };
    let is_equal = || verify(&engines[0], &engines[1]).is_ok();
    assert!(is_equal());
    put(&engines[0], "a", "1");
    assert!(!is_equal(), "it lacks a record");
    put(&engines[1], "a", "2");
    assert!(!is_equal(), "a value differs");
    put(&engines[1], "a", "1");
    assert!(is_equal());
    put(&engines[1], "b", "1");
    assert!(!is_equal(), "it has too many");
}

#[test]
fn whatever_is_left_of_a_copy_is_discarded() {
    let (dir, _directory) = shrunk();
    let copy = dir.path().join(COMPACT);
    let other = tempfile::tempdir().expect("a temporary directory");
    fs::write(other.path().join("thesis.tex"), "years").expect("written");
    let leftovers: [&dyn Fn() -> io::Result<()>; 4] = [
        &|| fs::write(&copy, "a file"),
        &|| fs::create_dir_all(copy.join("blobs/7")).and_then(|()| fs::write(copy.join("snap.0"), "garbage")),
        &|| fs::create_dir(&copy).and_then(|()| fs::write(copy.join(DB), [0; 9999])),
        &|| symlink(other.path(), &copy),
    ];
    for leftover in leftovers {
        leftover().expect("made");
        super::super::leftovers::discard(dir.path()).expect("discarded");
        assert!(fs::symlink_metadata(&copy).is_err());
        assert_eq!(read(dir.path()), left());
    }
    assert!(other.path().join("thesis.tex").exists());
}

/// Compacts and is killed after a step, or says how that went.
#[test]
fn victim() {
    let Some(dir) = std::env::var_os(VICTIM) else {
        return;
    };
    let last = std::env::var(KILLED_AT).ok().and_then(|number| number.parse::<usize>().ok());
    let directory = Directory::hold(Path::new(&dir)).expect("free");
    let mut steps = 0;
    let compacted = compact_over(OVER_BYTES, &directory, |step| {
        if Some(steps) == last {
            writeln!(io::stdout(), "\nkilled after {step:?}").expect("the parent listens");
            std::process::abort();
        }
        steps += 1;
    });
    let outcome = match compacted {
        Ok(Some(_)) => "compacted",
        Ok(None) => "left alone",
        Err(LedgerError::DiskFull { .. }) => "no room to open",
        Err(error) => panic!("{error}"),
    };
    assert!(!Path::new(&dir).join(COMPACT).exists());
    writeln!(io::stdout(), "\noutcome {outcome}").expect("the parent listens");
}

/// Fills a database for `ON_A_SMALL_DISK`.
#[test]
fn filled() {
    if let Some(dir) = std::env::var_os(VICTIM) {
        shrink(Path::new(&dir));
    }
}

/// Reads it again.
#[test]
fn whole() {
    if let Some(dir) = std::env::var_os(VICTIM) {
        super::super::leftovers::discard(Path::new(&dir)).expect("discarded");
        assert_eq!(read(Path::new(&dir)), left());
    }
}

fn output_after<'o>(output: &'o str, word: &str) -> Option<&'o str> {
    output.lines().find_map(|line| line.strip_prefix(word))
}

fn kill_after(dir: &Path, step: usize) -> Output {
    let itself = std::env::current_exe().expect("its own path");
    let victim = Command::new(itself)
        .args(["--exact", "embedded::compaction::tests::victim", "--nocapture"])
        .env(VICTIM, dir)
        .env(KILLED_AT, step.to_string())
        .output();
    victim.expect("starts")
}

#[test]
fn a_kill_after_any_step_costs_nothing() {
    let template = shrunk().0;
    let (mut step, mut killed_after) = (0, Vec::new());
    loop {
        let dir = tempfile::tempdir().expect("a temporary directory");
        for entry in fs::read_dir(template.path()).expect("listed").map(|entry| entry.expect("an entry")) {
            if entry.path().is_file() {
                fs::copy(entry.path(), dir.path().join(entry.file_name())).expect("copied");
            }
        }
        let inode = || fs::metadata(dir.path().join(DB)).expect("there").ino();
        let old = inode();
        let output = kill_after(dir.path(), step);
        let said = String::from_utf8_lossy(&output.stdout);
        let Some(killed) = output_after(&said, "killed after ") else {
            assert_eq!(output_after(&said, "outcome "), Some("compacted"), "{output:?}");
            break;
        };
        killed_after.push(killed.to_owned());
        assert!(inode() == old || !has_snapshots(dir.path()), "{killed}: an old snapshot beside the new file");
        super::super::leftovers::discard(dir.path()).expect("discarded");
        assert_eq!(read(dir.path()), left(), "{killed}");
        step += 1;
    }
    killed_after.dedup();
    let last = ["SnapshotRemoved", "SnapshotsGone", "Renamed", "RenameDurable", "Done"];
    assert_eq!(killed_after[4..], last, "{killed_after:?}");
}

#[test]
fn a_power_cut_after_any_step_costs_nothing() {
    let (mut step, mut killed_after) = (0, Vec::new());
    loop {
        let Some(disk) = Disk::new() else { return };
        let dir = disk.path().join("state");
        fs::create_dir(&dir).expect("made");
        shrink(&dir);
        sync_path(&disk.path()).expect("synced");
        let output = kill_after(&dir, step);
        let said = String::from_utf8_lossy(&output.stdout);
        let Some(killed) = output_after(&said, "killed after ") else {
            assert_eq!(output_after(&said, "outcome "), Some("compacted"), "{output:?}");
            break;
        };
        let disk = disk.cut();
        super::super::leftovers::discard(&disk.path().join("state")).expect("discarded");
        assert_eq!(read(&disk.path().join("state")), left(), "{killed}");
        step += 1;
        killed_after.push(killed.to_owned());
    }
    killed_after.dedup();
    let last = ["SnapshotRemoved", "SnapshotsGone", "Renamed", "RenameDurable", "Done"];
    assert_eq!(killed_after[killed_after.len() - 5..], last, "{killed_after:?}");
}

#[test]
fn a_power_cut_at_any_write_costs_nothing() {
    if !strace::can_trace() {
        return;
    }
    let (mut calls, mut cut) = (strace::Calls::default(), 0);
    while cut < strace::cuts() {
        let (kind, number) = calls.next();
        let Some(disk) = Disk::new() else { return };
        let dir = disk.path().join("state");
        fs::create_dir(&dir).expect("made");
        shrink(&dir);
        sync_path(&disk.path()).expect("synced");
        let victim = [(VICTIM, dir.to_str().expect("text"))];
        let (_, is_killed) = strace::killed_at(kind, number, "embedded::compaction::tests::victim", &victim);
        calls.note(is_killed);
        let disk = disk.cut();
        super::super::leftovers::discard(&disk.path().join("state")).expect("discarded");
        assert_eq!(read(&disk.path().join("state")), left(), "{kind:?} {number}");
        cut += usize::from(is_killed);
    }
}

/// Fills a disk, leaves `$1` KiB of it free, compacts, makes room and reads all again.
const ON_A_SMALL_DISK: &str = r#"
    mount -t tmpfs -o size=64m none "$2" || exit 99
    "$3" --exact embedded::compaction::tests::filled || exit 1
    used=$(du -sk "$2" | cut -f1)
    mount -o remount,size="$((used + $1))k" "$2" || exit 99
    "$3" --exact embedded::compaction::tests::victim --nocapture || exit 2
    mount -o remount,size=64m "$2" || exit 99
    "$3" --exact embedded::compaction::tests::whole || exit 3
"#;

#[test]
fn a_full_disk_costs_nothing() {
    let itself = std::env::current_exe().expect("its own path");
    let mut outcomes = Vec::new();
    for kilobytes in [4, 64, 256, 512, 600, 700, 900, 1100, 1300, 1600, 2000, 40_000] {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let output = Command::new("unshare")
            .args(["--map-root-user", "--mount", "sh", "-c", ON_A_SMALL_DISK, "sh", &kilobytes.to_string()])
            .args([dir.path(), &itself])
            .env(VICTIM, dir.path())
            .output();
        let output = match output {
            Ok(output) if output.status.success() || !outcomes.is_empty() => output,
            refused => {
                eprintln!("skipped: this machine does not let a user mount a tmpfs: {refused:?}");
                return;
            }
        };
        let said = String::from_utf8_lossy(&output.stdout);
        let outcome = output_after(&said, "outcome ").filter(|_| output.status.success());
        outcomes.push(outcome.unwrap_or_else(|| panic!("{kilobytes} kB free: {output:?}")).to_owned());
    }
    assert!(outcomes.iter().filter(|outcome| *outcome == "left alone").count() > 2, "{outcomes:?}");
    assert_eq!(outcomes.last().map(String::as_str), Some("compacted"));
}
