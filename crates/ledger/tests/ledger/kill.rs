//! A process that is killed at any moment loses no acknowledged write.
//!
//! The test binary starts itself as the victim. A kill leaves the kernel's buffers alone, so this proves the batches
//! and the opening after a crash, not the fsync.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use stakeout_core::commit::Commit;
use stakeout_core::delivery::{DeliveryId, Settlement};
use stakeout_core::incident::IncidentKey;
use stakeout_core::source::SourceId;
use stakeout_core::tally::{Rows, StoredMinute};
use stakeout_core::time::{Minute, Second};
use stakeout_ledger::{Ledger, LedgerError};

use crate::place::Place;
use crate::samples;

/// The place that the victim writes to; set for the victim only.
const VICTIM: &str = "STAKEOUT_LEDGER_VICTIM";
/// Repeats the moments of an earlier run.
const SEED: &str = "STAKEOUT_TEST_SEED";
const ROUNDS: u64 = 20;
/// Rounds that go on in one directory.
const ROUNDS_IN_ONE: u64 = 5;
/// The victim is killed after at most this many lines.
const LINES_MAX: u64 = 60;
/// Minutes that the victim keeps.
const KEPT: u64 = 12;

/// Returns the rows of commit `n`: from one chunk to about forty.
fn rows(n: u64) -> Rows {
    let count = [1, 3, 30][usize::try_from(n % 3).expect("small")];
    samples::rows(u32::try_from(n).expect("few"), count, (n % 4) * 4)
}

fn minute(n: u64) -> Minute {
    Minute(i64::try_from(n).expect("few") - 10)
}

fn commit(n: u64) -> Commit {
    let cursor = i64::try_from(n).expect("few");
    let old = n.checked_sub(KEPT);
    let expired = old.map(|n| StoredMinute { source: SourceId(0), minute: minute(n), rows: rows(n) });
    Commit {
        expired: expired.into_iter().collect(),
        findings: vec![samples::finding(n, n % 20)],
        archived: old.map(samples::finding_key).into_iter().collect(),
        deliveries: vec![samples::delivery(n, 1 + n % 200, 1)],
        ..samples::with_rows(
            samples::commit(SourceId(0), samples::log(0), cursor, DeliveryId(n + 1)),
            [(minute(n), rows(n))],
        )
    }
}

/// Takes the whole delivery of commit `n`.
fn settlement(n: u64) -> Settlement {
    let delivery = samples::delivery(n, 1 + n % 200, 1);
    Settlement {
        entries: delivery.entries.iter().map(|one| (delivery.id, *one)).collect(),
        notices: delivery.notices.iter().map(|one| (delivery.id, one.clone())).collect(),
        shown: vec![samples::shown_change(n, 0)],
    }
}

#[test]
fn victim() {
    let Ok(place) = std::env::var(VICTIM) else {
        return;
    };
    let error = write_on(&Place::of_text(&place), |line| {
        writeln!(std::io::stdout(), "\n{line}").expect("the parent listens");
    });
    panic!("{error}");
}

/// Commits and settles until something fails, and says what is done.
pub(crate) fn write_on(place: &Place, mut say: impl FnMut(&str)) -> LedgerError {
    let mut write = || {
        let ledger = place.open()?;
        // What the previous victim did not settle.
        for delivery in ledger.deliveries(samples::DESTINATION, Second(0))? {
            let n = delivery.id.0;
            if n % 2 == 0 {
                ledger.settle_delivery(&settlement(n), &[])?;
                say(&format!("settled {n}"));
            }
        }
        for n in ledger.next_delivery().0.. {
            ledger.commit_window(&mut commit(n), &[])?;
            say(&format!("committed {n}"));
            if n % 2 == 0 {
                ledger.settle_delivery(&settlement(n), &[])?;
                say(&format!("settled {n}"));
            }
        }
        Ok(())
    };
    write().expect_err("it goes on for ever")
}

/// The moments at which victims are killed, random and repeatable.
pub(crate) struct Moments(u64);

impl Moments {
    pub(crate) fn new() -> Moments {
        let seed = std::env::var(SEED).ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| RandomState::new().hash_one(0));
        eprintln!("{SEED}={seed}");
        Moments(seed)
    }

    /// Returns after how many lines the next victim is killed.
    pub(crate) fn next(&mut self) -> u64 {
        self.below(LINES_MAX)
    }

    /// Returns a number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        // Knuth's constants (MMIX); the high bits are the good ones.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// The writes that the ledger acknowledged to the victim: the last commit and the last settled delivery.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Acknowledged {
    committed: Option<u64>,
    settled: Option<u64>,
}

impl Acknowledged {
    /// Adds what was acknowledged later.
    pub(crate) fn add(&mut self, later: Acknowledged) {
        self.committed = later.committed.max(self.committed);
        self.settled = later.settled.max(self.settled);
    }

    pub(crate) fn read_line(&mut self, line: &str) -> bool {
        let number = |word| line.strip_prefix(word).and_then(|n| n.parse().ok());
        if let Some(n) = number("committed ") {
            self.committed = Some(n);
        } else if let Some(n) = number("settled ") {
            self.settled = Some(n);
        } else {
            return false;
        }
        true
    }
}

/// Starts a victim, kills it after `lines` of its lines, and adds what it printed until it was dead.
pub(crate) fn kill_after(place: &Place, lines: u64, acknowledged: &mut Acknowledged) {
    let itself = std::env::current_exe().expect("its own path");
    let mut victim = Command::new(itself)
        .args(["--exact", "kill::victim", "--nocapture"])
        .env(VICTIM, place.text())
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut output = BufReader::new(victim.stdout.take().expect("a pipe")).lines();
    let mut count = 0;
    while count < lines {
        let line = output.next().expect("it never ends alone").expect("text");
        count += u64::from(acknowledged.read_line(&line));
    }
    victim.kill().expect("it runs");
    for line in output {
        // The last line may be cut: then it was not printed.
        acknowledged.read_line(&line.unwrap_or_default());
    }
    victim.wait().expect("dead");
}

/// Checks that the last commit is complete and nothing of the next one is stored, and updates `acknowledged`.
pub(crate) fn check(ledger: &Ledger, acknowledged: &mut Acknowledged) {
    let next = ledger.next_delivery().0;
    assert!(acknowledged.committed.is_none_or(|n| next > n), "{acknowledged:?}, next {next}");
    let oldest = next.saturating_sub(KEPT);
    let stored = samples::stored_rows(ledger).expect("read");
    let stored: Vec<(Minute, Rows)> = stored.into_iter().map(|one| (one.minute, one.rows)).collect();
    let expected: Vec<(Minute, Rows)> = (oldest..next).map(|n| (minute(n), rows(n))).collect();
    assert_eq!(stored, expected);
    let findings = samples::stored_findings(ledger).expect("read");
    let finding = |n| samples::finding(n, n % 20);
    assert_eq!(findings, (oldest..next).rev().map(finding).collect::<Vec<_>>());
    let archived = samples::archived_findings(ledger).expect("read");
    assert_eq!(archived, (0..oldest).rev().map(finding).collect::<Vec<_>>());
    let cursor = ledger.progress(&samples::log(0)).expect("read").map(|(_, progress)| progress.cursor);
    assert_eq!(cursor, next.checked_sub(1).map(|n| Second(i64::try_from(n).expect("few"))));
    let pending = ledger.deliveries(samples::DESTINATION, Second(0)).expect("read");
    for n in 0..next {
        let delivery = pending.iter().find(|one| one.id == DeliveryId(n));
        match acknowledged.settled {
            Some(settled) if n <= settled && n % 2 == 0 => assert_eq!(delivery, None, "{acknowledged:?}"),
            // Settled, but killed before it could say so.
            _ if n % 2 == 0 && delivery.is_none() => assert_eq!(n, next - 1, "{acknowledged:?}"),
            _ => assert_eq!(delivery, Some(&samples::delivery(n, 1 + n % 200, 1))),
        }
        let incident = IncidentKey(n.into());
        let shown = ledger.shown(samples::DESTINATION, [incident]).expect("read").remove(&incident);
        let settled = delivery.is_none().then(|| samples::shown_change(n, 0).shown).flatten();
        assert_eq!(shown, settled, "what is shown is written with what is settled");
    }
    assert!(pending.iter().all(|one| one.id.0 < next));
    assert_eq!(ledger.blobs().expect("listed"), 0);
    let is_settled = |n: &u64| n.is_multiple_of(2) && pending.iter().all(|one| one.id.0 != *n);
    *acknowledged = Acknowledged { committed: next.checked_sub(1), settled: (0..next).rev().find(is_settled) };
}

#[test]
fn nothing_that_was_acknowledged_is_lost_to_a_kill() {
    let mut moments = Moments::new();
    for _ in 0..ROUNDS / ROUNDS_IN_ONE {
        for place in &Place::each() {
            let mut acknowledged = Acknowledged::default();
            for _ in 0..ROUNDS_IN_ONE {
                kill_after(place, moments.next(), &mut acknowledged);
                let ledger = place.open().expect("opens after a kill");
                check(&ledger, &mut acknowledged);
            }
        }
    }
}
