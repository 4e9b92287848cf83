//! Ids of logs and deliveries are allocated once.

use stakeout_core::commit::{Commit, LogCommit};
use stakeout_core::delivery::DeliveryId;
use stakeout_core::source::SourceId;
use stakeout_ledger::LedgerError;

use crate::place::Place;
use crate::samples::{self, log};

#[test]
fn two_new_logs_never_share_an_id() {
    for place in &Place::each() {
        let ledger = place.open().expect("a new ledger");
        assert_eq!(ledger.source_id(&log(0)), None);
        for (n, number) in [(0, 0), (1, 1), (0, 0), (2, 2)] {
            let source = ledger.source_id_for(&log(n)).expect("an id is free");
            assert_eq!(source, SourceId(number));
        }
        assert_eq!(ledger.progress(&log(1)).expect("read"), None);
        let mut second = samples::commit(SourceId(1), log(1), 5, DeliveryId(0));
        ledger.commit_window(&mut second, &[]).expect("written");
        drop(ledger);

        let ledger = place.open().expect("free again");
        assert_eq!(ledger.source_id(&log(0)), None, "nothing was committed of it");
        assert_eq!(ledger.source_id(&log(1)), Some(SourceId(1)));
        assert_eq!(ledger.source_id_for(&log(0)).expect("left"), SourceId(2));
    }
}

#[test]
fn a_commit_that_contradicts_the_ledger_is_refused_and_harmless() {
    for place in &Place::each() {
        let ledger = place.open().expect("a new ledger");
        let good = samples::full_commit();
        ledger.commit_window(&mut good.clone(), &[]).expect("written");
        let before = ledger.progresses().expect("read");

        let next = |commit: Commit| {
            let progress = samples::progress(log(0), 999);
            let logs = commit.logs.into_iter().map(|log| LogCommit { progress: progress.clone(), ..log }).collect();
            Commit { logs, deliveries: Vec::new(), ..commit }
        };
        let of = |source, progress| vec![LogCommit { source, minutes: Vec::new(), progress }];
        let mut wrong = [
            Commit { logs: of(SourceId(1), samples::progress(log(0), 999)), ..next(good.clone()) },
            Commit { logs: of(SourceId(0), samples::progress(log(9), 1)), ..next(good.clone()) },
            Commit { logs: [next(good.clone()).logs, next(good.clone()).logs].concat(), ..next(good.clone()) },
            Commit { next_delivery: DeliveryId(1), ..next(good.clone()) },
            Commit { deliveries: vec![samples::delivery(1, 1, 0)], ..next(good.clone()) },
            Commit { deliveries: vec![samples::delivery(2, 1, 0)], ..next(good.clone()) },
        ];
        for (case, commit) in wrong.iter_mut().enumerate() {
            let error = ledger.commit_window(commit, &[]).expect_err("it contradicts the ledger");
            assert!(matches!(error, LedgerError::Refused { .. }), "case {case}: {error}");
        }
        assert_eq!(ledger.progresses().expect("read"), before);
        ledger.commit_window(&mut next(good), &[]).expect("a refusal stops nothing");
    }
}
