//! A full disk loses nothing and is reported as such.
//!
//! The test binary starts itself with a limit on the size of files (`ulimit -f`), which needs no privileges: the
//! engine's log cannot grow, as on a full disk. With SIGXFSZ ignored a write then fails with EFBIG (setrlimit(2)).

use std::io::Write;
use std::path::Path;
use std::process::Command;

use stakeout_core::commit::Commit;
use stakeout_core::delivery::DeliveryId;
use stakeout_core::source::SourceId;
use stakeout_core::time::Minute;
use stakeout_ledger::{Ledger, LedgerError};

use crate::samples;

/// The directory that the squeezed process writes to; set for that process only.
const SQUEEZED: &str = "STAKEOUT_LEDGER_SQUEEZED";

fn commit(n: u32) -> Commit {
    Commit {
        minutes: vec![(Minute(n.into()), samples::rows(n, 10, 10))],
        ..samples::commit(SourceId(0), samples::log(0), n.into(), DeliveryId(0))
    }
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
        match ledger.commit_window(&mut commit(acknowledged)) {
            Ok(()) => acknowledged += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, LedgerError::DiskFull { .. }), "{error:?}");
    let next = ledger.commit_window(&mut commit(acknowledged)).expect_err("a write has failed");
    assert!(matches!(next, LedgerError::Reopen), "{next:?}");
    let read = ledger.findings().expect_err("a write has failed");
    assert!(matches!(read, LedgerError::Reopen), "{read:?}");
    writeln!(std::io::stdout(), "\nacknowledged {acknowledged}").expect("the parent listens");
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
        let stored = ledger.expired(Minute(i64::MAX), usize::MAX).expect("read");
        let stored: Vec<u32> = stored.iter().map(|one| u32::try_from(one.minute.0).expect("few")).collect();
        let written = u32::try_from(stored.len()).expect("few");
        assert!(written >= acknowledged, "{written} of {acknowledged}");
        assert_eq!(stored, (0..written).collect::<Vec<u32>>());
        ledger.commit_window(&mut commit(written)).expect("there is room again");
        eprintln!("{blocks} blocks: {acknowledged} acknowledged, {written} stored");
    }
}
