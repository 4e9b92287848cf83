//! After any commits and settlements the ledger holds what a map would, before and after it is opened again.

use std::collections::BTreeMap;

use proptest::prelude::*;
use stakeout_core::commit::Commit;
use stakeout_core::delivery::{Delivery, DeliveryId, Settlement};
use stakeout_core::finding::{Finding, FindingKey};
use stakeout_core::progress::Progress;
use stakeout_core::source::SourceId;
use stakeout_core::tally::{Rows, StoredMinute};
use stakeout_core::time::Minute;
use stakeout_ledger::Ledger;

use crate::samples;

/// All that a ledger holds.
#[derive(Clone, Debug, Default, PartialEq)]
struct Contents {
    minutes: BTreeMap<(Minute, SourceId), Rows>,
    progresses: BTreeMap<SourceId, Progress>,
    findings: BTreeMap<FindingKey, Finding>,
    deliveries: BTreeMap<DeliveryId, Delivery>,
    next_delivery: u64,
}

impl Contents {
    fn of(ledger: &Ledger) -> Contents {
        let stored = ledger.expired(Minute(i64::MAX), usize::MAX).expect("read");
        let progresses = ledger.progresses().expect("read");
        for (source, progress) in &progresses {
            let one = ledger.progress(&progress.log).expect("read");
            assert_eq!(one, Some((*source, progress.clone())));
            assert_eq!(ledger.source_id(&progress.log), Some(*source));
        }
        let findings = ledger.findings().expect("read");
        for finding in &findings {
            let one = ledger.finding(&finding.key).expect("read");
            assert_eq!(one.as_ref(), Some(finding));
        }
        Contents {
            minutes: stored.into_iter().map(|one| ((one.minute, one.source), one.rows)).collect(),
            progresses: progresses.into_iter().collect(),
            findings: findings.into_iter().map(|one| (one.key, one)).collect(),
            deliveries: ledger.deliveries().expect("read").into_iter().map(|one| (one.id, one)).collect(),
            next_delivery: ledger.next_delivery().0,
        }
    }

    fn commit(&mut self, commit: &Commit) {
        for (source, minute) in &commit.expired {
            self.minutes.remove(&(*minute, *source));
        }
        for (minute, rows) in &commit.minutes {
            self.minutes.insert((*minute, commit.source), rows.clone());
        }
        self.minutes.retain(|_, rows| !rows.is_empty());
        self.progresses.insert(commit.source, commit.progress.clone());
        for key in &commit.forgotten {
            self.findings.remove(key);
        }
        for finding in &commit.findings {
            self.findings.insert(finding.key, finding.clone());
        }
        for delivery in &commit.deliveries {
            self.deliveries.insert(delivery.id, delivery.clone());
        }
        self.drop_settled();
        self.next_delivery = commit.next_delivery.0;
    }

    fn settle(&mut self, settlement: &Settlement) {
        for (id, taken) in &settlement.entries {
            if let Some(delivery) = self.deliveries.get_mut(id) {
                delivery.entries.retain(|entry| entry != taken);
            }
        }
        for (id, taken) in &settlement.notices {
            if let Some(delivery) = self.deliveries.get_mut(id) {
                delivery.notices.retain(|notice| notice != taken);
            }
        }
        self.drop_settled();
    }

    fn drop_settled(&mut self) {
        self.deliveries.retain(|_, delivery| !(delivery.entries.is_empty() && delivery.notices.is_empty()));
    }
}

#[derive(Clone, Debug)]
enum Step {
    Commit(UnnumberedCommit),
    Settle(Settlement),
    Reopen,
}

/// A commit before it has ids. Few different minutes and findings, so that they meet.
#[derive(Clone, Debug)]
struct UnnumberedCommit {
    log: u32,
    cursor: i64,
    minutes: BTreeMap<i64, Rows>,
    expired: Vec<(u32, i64)>,
    findings: BTreeMap<u64, u64>,
    forgotten: Vec<u64>,
    deliveries: Vec<(u64, u64)>,
}

impl UnnumberedCommit {
    fn into_commit(self, ledger: &Ledger) -> Commit {
        let log = samples::log(self.log);
        let source = ledger.source_id_for(&log).expect("an id is free");
        let first = ledger.next_delivery().0;
        let deliveries: Vec<Delivery> = (first..)
            .zip(self.deliveries)
            .map(|(id, (entries, notices))| samples::delivery(id, entries, notices))
            .collect();
        let next = DeliveryId(first + deliveries.len() as u64);
        Commit {
            minutes: self.minutes.into_iter().map(|(m, r)| (Minute(m), r)).collect(),
            expired: self.expired.into_iter().map(|(s, m)| (SourceId(s), Minute(m))).collect(),
            findings: self.findings.into_iter().map(|(n, s)| samples::finding(n, s)).collect(),
            forgotten: self.forgotten.into_iter().map(samples::finding_key).collect(),
            deliveries,
            ..samples::commit(source, log, self.cursor, next)
        }
    }
}

fn some_rows() -> impl Strategy<Value = Rows> {
    (any::<u16>(), 0_u64..5, prop_oneof![3 => Just(0_u64), 1 => 1_u64..20])
        .prop_map(|(n, count, texts)| samples::rows(n.into(), count, texts))
}

fn commits() -> impl Strategy<Value = UnnumberedCommit> {
    let minutes = proptest::collection::btree_map(-3_i64..3, some_rows(), 0..4);
    let expired = proptest::collection::vec((0_u32..3, -3_i64..3), 0..3);
    let findings = proptest::collection::btree_map(0_u64..6, 0_u64..20, 0..3);
    let forgotten = proptest::collection::vec(0_u64..6, 0..2);
    let deliveries = proptest::collection::vec((prop_oneof![0_u64..3, 0_u64..150], 0_u64..3), 0..3);
    (0_u32..3, -500_i64..500, minutes, expired, findings, forgotten, deliveries).prop_map(
        |(log, cursor, minutes, expired, findings, forgotten, deliveries)| UnnumberedCommit {
            log,
            cursor,
            minutes,
            expired,
            findings,
            forgotten,
            deliveries,
        },
    )
}

fn settlements() -> impl Strategy<Value = Settlement> {
    let entries = proptest::collection::vec((0_u64..12, 0_u64..4), 0..8);
    let notices = proptest::collection::vec((0_u64..12, 0_u64..3), 0..8);
    (entries, notices).prop_map(|(entries, notices)| Settlement {
        entries: entries.into_iter().map(|(id, n)| (DeliveryId(id), samples::entry(n))).collect(),
        notices: notices.into_iter().map(|(id, n)| (DeliveryId(id), samples::notice(n))).collect(),
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => commits().prop_map(Step::Commit),
        3 => settlements().prop_map(Step::Settle),
        1 => Just(Step::Reopen),
    ];
    proptest::collection::vec(step, 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    #[test]
    fn the_ledger_holds_what_a_map_would(steps in steps()) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut ledger = Ledger::open(dir.path()).expect("a new ledger");
        let mut model = Contents::default();
        for step in steps {
            match step {
                Step::Commit(commit) => {
                    let mut commit = commit.into_commit(&ledger);
                    model.commit(&commit);
                    ledger.commit_window(&mut commit).expect("written");
                }
                Step::Settle(settlement) => {
                    ledger.settle_delivery(&settlement).expect("written");
                    model.settle(&settlement);
                }
                Step::Reopen => {
                    drop(ledger);
                    ledger = Ledger::open(dir.path()).expect("free again");
                }
            }
            prop_assert_eq!(&Contents::of(&ledger), &model);
        }
        drop(ledger);
        let ledger = Ledger::open(dir.path()).expect("free again");
        prop_assert_eq!(&Contents::of(&ledger), &model);
        prop_assert_eq!(ledger.blobs().expect("listed"), 0);
    }
}

fn kept(ledger: &Ledger, earliest: i64, latest: i64, n: u64) -> Vec<StoredMinute> {
    let key = samples::count_key(n);
    ledger.minutes(Minute(earliest), Minute(latest), |_, one| *one == key).expect("read")
}

#[test]
fn only_the_rows_that_are_asked_for_are_returned_in_order() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let ledger = Ledger::open(dir.path()).expect("a new ledger");
    ledger.commit_window(&mut samples::full_commit()).expect("written");
    let second = samples::log(1);
    let source = ledger.source_id_for(&second).expect("an id is free");
    let mut commit = Commit {
        minutes: vec![(Minute(0), samples::rows(9, 1, 0))],
        ..samples::commit(source, second, 1, ledger.next_delivery())
    };
    ledger.commit_window(&mut commit).expect("written");

    let only = |minute, source, n, key, texts| StoredMinute {
        source: SourceId(source),
        minute: Minute(minute),
        rows: Rows::from([(samples::count_key(key), samples::tally(n, texts))]),
    };
    let first = [only(-1, 0, 1, 0, 0), only(0, 0, 2, 0, 1), only(0, 1, 9, 0, 0), only(1, 0, 3, 0, 20)];
    assert_eq!(kept(&ledger, -5, 5, 0), first);
    assert_eq!(kept(&ledger, 0, 1, 0), first[1..3]);
    assert_eq!(kept(&ledger, -5, 5, 2), [only(0, 0, 2, 2, 1)]);
    assert_eq!(kept(&ledger, i64::MIN, i64::MAX, 77), []);
    assert_eq!(kept(&ledger, 1, 1, 0), []);
    assert_eq!(kept(&ledger, 1, -1, 0), []);
}

#[test]
fn the_oldest_minutes_come_whole_and_few_at_a_time() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let ledger = Ledger::open(dir.path()).expect("a new ledger");
    ledger.commit_window(&mut samples::full_commit()).expect("written");
    let expired = |before, chunks_max| {
        let minutes = ledger.expired(Minute(before), chunks_max).expect("read");
        minutes.iter().map(|one| one.minute.0).collect::<Vec<i64>>()
    };
    assert_eq!(expired(2, 0), [-1]);
    assert_eq!(expired(2, 2), [-1, 0]);
    assert_eq!(expired(2, 4), [-1, 0]);
    assert_eq!(expired(2, 100), [-1, 0, 1]);
    assert_eq!(expired(1, 100), [-1, 0]);
    assert_eq!(expired(-1, 100), [0_i64; 0]);
    let whole = ledger.expired(Minute(2), 100).expect("read");
    assert_eq!(whole[2].rows, samples::rows(3, 2, 20));
}
