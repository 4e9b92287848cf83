//! A process that is killed before it asks the kernel for a write: `strace` kills it at the n-th call of one kind.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

/// The system calls by which a state changes, under the names that they have on some machine.
pub(crate) const WRITES: [&[&str]; 6] = [
    &["pwrite64"],
    &["fsync"],
    &["ftruncate"],
    &["mkdir", "mkdirat"],
    &["unlink", "unlinkat"],
    &["rename", "renameat", "renameat2"],
];

/// The signal of a kill.
const KILL: i32 = 9;

/// How many times the power is cut in each test that cuts it at writes.
const CUTS: &str = "STAKEOUT_TEST_POWER_CUTS";
const CUTS_BY_DEFAULT: usize = 12;

/// Returns the number of power cuts that are wanted.
pub(crate) fn cuts() -> usize {
    std::env::var(CUTS).ok().and_then(|cuts| cuts.parse().ok()).unwrap_or(CUTS_BY_DEFAULT)
}

/// Calls at which victims are killed: the first of each kind, the second of each kind, and so on. After the last ones they
/// begin again.
#[derive(Default)]
pub(crate) struct Calls {
    next: usize,
    /// How many in a row no victim made.
    missed: usize,
}

impl Calls {
    /// Returns the kind and the number of the next call.
    pub(crate) fn next(&mut self) -> (&'static [&'static str], usize) {
        if self.missed == WRITES.len() {
            *self = Calls::default();
        }
        let call = self.next;
        self.next += 1;
        (WRITES[call % WRITES.len()], call / WRITES.len() + 1)
    }

    /// Notes whether the victim was killed.
    pub(crate) fn note(&mut self, is_killed: bool) {
        self.missed = if is_killed { 0 } else { self.missed + 1 };
    }
}

/// Returns whether processes can be traced. Where they cannot, that is said aloud.
pub(crate) fn can_trace() -> bool {
    let traced = Command::new("strace").args(["-f", "-o", "/dev/null", "true"]).output();
    let is_possible = traced.as_ref().is_ok_and(|output| output.status.success());
    if !is_possible {
        eprintln!("skipped: this machine has no strace, or lets nobody trace a process: {traced:?}");
    }
    is_possible
}

/// Runs a test of this binary that is killed before any of its threads makes the call `kind` for the `number`th time, from 1 on.
/// Returns its output, and whether it was killed before it ended.
pub(crate) fn killed_at(kind: &[&str], number: usize, test: &str, environment: &[(&str, &str)]) -> (Output, bool) {
    let itself = std::env::current_exe().expect("its own path");
    let calls: Vec<String> = kind.iter().map(|call| format!("?{call}")).collect();
    let calls = calls.join(",");
    let output = Command::new("strace")
        .args(["-f", "-qqq", "-o", "/dev/null", "-e", &format!("trace={calls}")])
        .args(["-e", &format!("inject={calls}:signal=SIGKILL:when={number}")])
        .arg(itself)
        .args(["--exact", test, "--nocapture"])
        .envs(environment.iter().copied())
        .output()
        .expect("strace starts");
    let is_killed = output.status.signal() == Some(KILL);
    assert!(is_killed || output.status.success(), "{kind:?} {number}: {output:?}");
    (output, is_killed)
}
