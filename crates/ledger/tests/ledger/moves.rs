//! Findings move to the archive, and old ones leave it: a kill or a power cut at any write of that loses and doubles nothing.
//!
//! The test binary starts itself as the victim, and `strace` kills it before a write.

use std::fs;
use std::io::Write;
use std::path::Path;

use stakeout_core::commit::Commit;
use stakeout_core::delivery::DeliveryId;
use stakeout_core::finding::Finding;
use stakeout_core::source::SourceId;
use stakeout_core::time::Second;
use stakeout_ledger::Ledger;

use crate::disk::Disk;
use crate::samples;
use crate::strace::{Calls, WRITES, can_trace, cuts, killed_at};

/// The directory that the victim writes to; set for the victim only.
const VICTIM: &str = "STAKEOUT_MOVES_VICTIM";
/// Commits of a victim, each with a finding, and how many findings stay outside of the archive.
const COMMITS: u64 = 4;
const KEPT: u64 = 2;
/// Days between two findings: a file of the archive has those of a week.
const DAYS_APART: u64 = 5;
/// Findings that an archive keeps, at least.
const ARCHIVED: u64 = 4;

fn finding(n: u64) -> Finding {
    let mut finding = samples::finding(n, n % 5);
    let at = i64::try_from(n * DAYS_APART).expect("few") * 24 * 3600;
    (finding.episode.first, finding.episode.last) = (Second(at), Second(at + 60));
    finding
}

fn commit(n: u64) -> Commit {
    let cursor = i64::try_from(n).expect("few");
    Commit {
        findings: vec![finding(n)],
        archived: n.checked_sub(KEPT).map(samples::finding_key).into_iter().collect(),
        ..samples::commit(SourceId(0), samples::log(0), cursor, DeliveryId(n + 1))
    }
}

/// Returns the first second from which on findings are kept in the archive after commit `n`.
fn keep_from(n: u64) -> Second {
    finding((n + 1).saturating_sub(KEPT + ARCHIVED)).episode.last
}

#[test]
fn victim() {
    let Some(dir) = std::env::var_os(VICTIM) else { return };
    let ledger = Ledger::open(Path::new(&dir)).expect("opens");
    let next = ledger.next_delivery().0;
    for n in next..next + COMMITS {
        ledger.commit_window(&mut commit(n), &[]).expect("written");
        ledger.expire_archive(keep_from(n), u64::MAX).expect("deleted");
        writeln!(std::io::stdout(), "\ncommitted {n}").expect("the parent listens");
    }
}

/// Fills a state: the archive has several files, the last of them with a finding.
fn fill(dir: &Path) {
    let ledger = Ledger::open(dir).expect("a new state");
    for n in 0..KEPT + ARCHIVED {
        ledger.commit_window(&mut commit(n), &[]).expect("written");
    }
}

/// Checks that each finding is once where it belongs, and that what was said to be committed is.
fn check(dir: &Path, output: &[u8], when: &str) {
    let ledger = Ledger::open(dir).unwrap_or_else(|error| panic!("{when}: {error}"));
    let next = ledger.next_delivery().0;
    let text = String::from_utf8_lossy(output);
    let last = text.lines().filter_map(|line| line.strip_prefix("committed ")?.parse::<u64>().ok()).next_back();
    assert!(last.is_none_or(|last| next > last), "{when}: {next} after {last:?}");
    let archived_until = next.saturating_sub(KEPT);
    let stored = samples::stored_findings(&ledger).expect("read");
    assert_eq!(stored, (archived_until..next).rev().map(finding).collect::<Vec<_>>(), "{when}");
    let archived = samples::archived_findings(&ledger).expect("read");
    let oldest = archived_until - archived.len() as u64;
    assert_eq!(archived, (oldest..archived_until).rev().map(finding).collect::<Vec<_>>(), "{when}");
    let kept = (0..archived_until).find(|n| finding(*n).episode.last >= keep_from(next.saturating_sub(1)));
    assert!(oldest <= kept.unwrap_or(archived_until), "{when}: findings from {oldest} on are left");
    // The state can be written on.
    ledger.commit_window(&mut commit(next), &[]).expect("written");
}

#[test]
fn a_kill_at_any_write_loses_and_doubles_nothing() {
    if !can_trace() {
        return;
    }
    let mut kills = 0;
    for has_archive in [false, true] {
        for kind in WRITES {
            for number in 1.. {
                let dir = tempfile::tempdir().expect("a temporary directory");
                if has_archive {
                    fill(dir.path());
                }
                let path = dir.path().to_str().expect("text");
                let (output, is_killed) = killed_at(kind, number, "moves::victim", &[(VICTIM, path)]);
                check(dir.path(), &output.stdout, &format!("{kind:?} {number}"));
                if !is_killed {
                    break;
                }
                kills += 1;
            }
        }
    }
    eprintln!("{kills} kills");
    assert!(kills > 40, "{kills} kills prove little: each commit writes the archive, the log and the number of writes");
}

#[test]
fn a_power_cut_at_any_write_loses_and_doubles_nothing() {
    if !can_trace() {
        return;
    }
    let (mut calls, mut cut) = (Calls::default(), 0);
    while cut < cuts() {
        let (kind, number) = calls.next();
        let Some(disk) = Disk::new() else { return };
        let dir = disk.path().join("state");
        fs::create_dir(&dir).expect("made");
        if cut % 2 == 1 {
            fill(&dir);
        }
        let (output, is_killed) = killed_at(kind, number, "moves::victim", &[(VICTIM, dir.to_str().expect("text"))]);
        calls.note(is_killed);
        let disk = disk.cut();
        check(&disk.path().join("state"), &output.stdout, &format!("{kind:?} {number}"));
        cut += usize::from(is_killed);
    }
    eprintln!("{cut} power cuts");
}
