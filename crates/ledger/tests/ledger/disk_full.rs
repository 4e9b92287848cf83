//! A full disk loses nothing and is reported as such.
//!
//! The test binary starts itself with a limit on the size of files (`ulimit -f`), which needs no privileges: the
//! engine's log cannot grow, as on a full disk. With SIGXFSZ ignored a write then fails with EFBIG (setrlimit(2)).
//! Where user namespaces are allowed it also starts itself on small disks that really are full (tmpfs).

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, ExitStatus};

use stakeout_core::commit::Commit;
use stakeout_core::delivery::DeliveryId;
use stakeout_core::source::SourceId;
use stakeout_core::time::Minute;
use stakeout_ledger::{Ledger, LedgerError};

use crate::samples;

/// The directory that the squeezed process writes to; set for that process only.
const SQUEEZED: &str = "STAKEOUT_LEDGER_SQUEEZED";

fn commit(n: u32) -> Commit {
    // Deliveries are not compressed, so a few commits fill a disk.
    let id = u64::from(n);
    let commit = samples::commit(SourceId(0), samples::log(0), n.into(), DeliveryId(id + 1));
    let commit = Commit { deliveries: vec![samples::delivery(id, 1000, 0)], ..commit };
    samples::with_rows(commit, [(Minute(n.into()), samples::rows(n, 10, 10))])
}

/// Commits until there is no room, and says how many commits were acknowledged.
#[test]
fn squeezed() {
    let Some(dir) = std::env::var_os(SQUEEZED) else {
        return;
    };
    let opened = Ledger::open(Path::new(&dir));
    let ledger = match opened {
        Ok(ledger) => ledger,
        Err(error) => {
            assert!(matches!(error, LedgerError::DiskFull { .. }), "{error:?}");
            writeln!(std::io::stdout(), "\nacknowledged 0").expect("the parent listens");
            return;
        }
    };
    let mut acknowledged = 0;
    let error = loop {
        match ledger.commit_window(&mut commit(acknowledged), &[]) {
            Ok(()) => acknowledged += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, LedgerError::DiskFull { .. }), "{error:?}");
    let next = ledger.commit_window(&mut commit(acknowledged), &[]).expect_err("a write has failed");
    assert!(matches!(next, LedgerError::Reopen), "{next:?}");
    let read = samples::stored_findings(&ledger).expect_err("a write has failed");
    assert!(matches!(read, LedgerError::Reopen), "{read:?}");
    writeln!(std::io::stdout(), "\nacknowledged {acknowledged}").expect("the parent listens");
}

/// Opens the state on a full disk: that succeeds or says that the disk is full.
#[test]
fn opened_without_room() {
    let Some(dir) = std::env::var_os(SQUEEZED) else {
        return;
    };
    if let Err(error) = Ledger::open(Path::new(&dir)) {
        assert!(matches!(error, LedgerError::DiskFull { .. }), "{error:?}");
    }
}

/// Opens the state when there is room again, and says how many commits it holds.
#[test]
fn recovered() {
    let Some(dir) = std::env::var_os(SQUEEZED) else {
        return;
    };
    let ledger = Ledger::open(Path::new(&dir)).expect("there is room again");
    let stored = samples::stored_rows(&ledger).expect("read");
    let stored: Vec<u32> = stored.iter().map(|one| u32::try_from(one.minute.0).expect("few")).collect();
    let written = u32::try_from(stored.len()).expect("few");
    assert_eq!(stored, (0..written).collect::<Vec<u32>>());
    ledger.commit_window(&mut commit(written), &[]).expect("there is room again");
    writeln!(std::io::stdout(), "\nstored {written}").expect("the parent listens");
}

/// Fills a small disk, opens the state while not a byte is free, makes room and opens it again.
const ON_A_SMALL_DISK: &str = r#"
    mount -t tmpfs -o size="$1k" none "$2" || exit 99
    "$3" --exact disk_full::squeezed --nocapture || exit 1
    cat /dev/zero > "$2/ballast" 2>/dev/null
    "$3" --exact disk_full::opened_without_room --nocapture || exit 2
    "$3" --exact disk_full::opened_without_room --nocapture || exit 3
    rm "$2/ballast"
    mount -o remount,size=64m "$2" || exit 99
    "$3" --exact disk_full::recovered --nocapture || exit 4
"#;

#[test]
fn a_state_on_a_disk_that_was_full_opens_again() {
    let itself = std::env::current_exe().expect("its own path");
    let number = |said: &str, name: &str| -> u32 {
        said.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).expect("it says how many")
    };
    let mut filled = 0;
    for step in 0..40 {
        let (dir, kilobytes) = (tempfile::tempdir().expect("a temporary directory"), 600 + 93 * step);
        let output = Command::new("unshare")
            .args(["--map-root-user", "--mount", "sh", "-c", ON_A_SMALL_DISK, "sh"])
            .arg(kilobytes.to_string())
            .args([dir.path(), &itself])
            .env(SQUEEZED, dir.path())
            .output();
        let output = match output {
            Ok(output) if step > 0 || output.status.success() => output,
            refused => {
                eprintln!("skipped: this machine does not let a user mount a tmpfs: {refused:?}");
                return;
            }
        };
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{kilobytes} kB: {said}{}", String::from_utf8_lossy(&output.stderr));
        let (acknowledged, stored) = (number(&said, "acknowledged "), number(&said, "stored "));
        assert!(stored >= acknowledged, "{kilobytes} kB: {stored} of {acknowledged}");
        filled += u32::from(acknowledged > 0);
    }
    assert!(filled >= 20, "only {filled} disks held a commit");
}

/// A disk that says late that it has no room, as with delayed allocation: when all other threads wait in futex(2), one of them
/// for this write. It says so of the first buffer of a batch, which is the smallest, after as many batches as the variable says.
const SLOW_DISK: &str = r#"
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static int all_others_wait(void) {
    int all = 1;
    DIR *tasks = opendir("/proc/self/task");
    for (struct dirent *task; all && (task = readdir(tasks));) {
        char path[64], call[8] = "";
        if (task->d_name[0] == '.' || atol(task->d_name) == syscall(SYS_gettid)) continue;
        snprintf(path, sizeof path, "/proc/self/task/%.20s/syscall", task->d_name);
        FILE *file = fopen(path, "r");
        all = file && fgets(call, sizeof call, file) && atoi(call) == SYS_futex;
        if (file) fclose(file);
    }
    closedir(tasks);
    return all;
}

int sync_file_range(int file, off64_t offset, off64_t bytes, unsigned flags) {
    static int batches;
    if (bytes > 64 || __sync_fetch_and_add(&batches, 1) != atoi(getenv("STAKEOUT_LEDGER_BATCHES"))) return 0;
    while (!all_others_wait()) sched_yield();
    errno = ENOSPC;
    return -1;
}
"#;
/// How long the squeezed process may take; it takes about a second.
const ENDS_WITHIN: &str = "30";

#[test]
fn a_write_that_fails_late_ends() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let [source, disk] = ["disk.c", "disk.so"].map(|name| dir.path().join(name));
    fs::write(&source, SLOW_DISK).expect("written");
    let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&disk, &source]).status();
    if !built.as_ref().is_ok_and(ExitStatus::success) {
        eprintln!("skipped: no C compiler makes a library here: {built:?}");
        return;
    }
    for batches in 0..6 {
        let state = dir.path().join(batches.to_string());
        let mut command = Command::new("timeout");
        command.arg(ENDS_WITHIN).arg(std::env::current_exe().expect("its own path"));
        command.args(["--exact", "disk_full::squeezed", "--nocapture"]);
        command.env(SQUEEZED, &state).env("LD_PRELOAD", &disk).env("STAKEOUT_LEDGER_BATCHES", batches.to_string());
        let output = command.output().expect("starts");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{batches}: {said}{}", String::from_utf8_lossy(&output.stderr));
        Ledger::open(&state).expect("there is room again");
    }
}

#[test]
fn nothing_that_was_acknowledged_is_lost_to_a_full_disk() {
    for blocks in [64, 1500, 2500, 4000, 6100] {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let itself = std::env::current_exe().expect("its own path");
        let output = Command::new("sh")
            .args(["-c", "trap '' XFSZ; ulimit -f \"$1\"; shift; exec \"$@\"", "sh"])
            .arg(blocks.to_string())
            .arg(itself)
            .args(["--exact", "disk_full::squeezed", "--nocapture"])
            .env(SQUEEZED, dir.path())
            .output()
            .expect("starts");
        let output_text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{output_text}{}", String::from_utf8_lossy(&output.stderr));
        let acknowledged: u32 = output_text
            .lines()
            .find_map(|line| line.strip_prefix("acknowledged ")?.parse().ok())
            .expect("it says how many");

        let ledger = Ledger::open(dir.path()).expect("there is room again");
        let stored = samples::stored_rows(&ledger).expect("read");
        let stored: Vec<u32> = stored.iter().map(|one| u32::try_from(one.minute.0).expect("few")).collect();
        let written = u32::try_from(stored.len()).expect("few");
        assert!(written >= acknowledged, "{written} of {acknowledged}");
        assert_eq!(stored, (0..written).collect::<Vec<u32>>());
        ledger.commit_window(&mut commit(written), &[]).expect("there is room again");
        eprintln!("{blocks} blocks: {acknowledged} acknowledged, {written} stored");
    }
}
