//! Several folds of one window, merged, whatever each of them saw: the same commit as from one fold, samples included.

use proptest::prelude::*;
use stakeout_core::fold::{self, Closed, Fold, Limits};
use stakeout_core::hash::HashKey;
use stakeout_core::time::{Second, Window};

use super::{BEGIN, Record, close, records, rules, source};

fn window() -> Window {
    Window::new(Second(BEGIN), Second(BEGIN + 3600)).expect("not empty")
}

fn fold_of<'r>(records: impl Iterator<Item = &'r Record>, limits: Limits) -> Fold {
    let mut fold = fold::open(rules(), window(), false, HashKey([7; 16]), limits);
    records.for_each(|record| fold.observe(&record.observation()));
    fold
}

/// Folds the records, each in the fold that `part` names, and merges the folds.
fn close_parts(records: &[Record], part: &[usize], limits: Limits) -> Closed {
    let mut folds = (0..4).map(|number| {
        let own = records.iter().zip(part).filter(move |(_, part)| **part == number);
        fold_of(own.map(|(record, _)| record), limits)
    });
    let mut fold = folds.next().expect("four");
    folds.for_each(|other| fold.merge(other));
    fold.close_alone(&source(), window().latest(), jiff::Timestamp::UNIX_EPOCH)
}

/// Records, some of them twice, each with one of four folds.
fn parts() -> impl Strategy<Value = (Vec<Record>, Vec<usize>)> {
    records(1..120, 3500).prop_flat_map(|mut records| {
        let again: Vec<Record> = records.iter().step_by(3).cloned().collect();
        records.extend(again.into_iter().map(|record| Record { at: record.at + 60, ..record }));
        let number = records.len();
        (Just(records), proptest::collection::vec(0..4_usize, number))
    })
}

proptest! {
    #![proptest_config(crate::cases(300))]

    #[test]
    fn several_folds_equal_one((records, part) in parts(), samples_max in prop_oneof![Just(3_usize), Just(20_000)]) {
        let limits = Limits { samples_max, ..Limits::default() };
        let (one, merged) = (close(&records, limits), close_parts(&records, &part, limits));
        prop_assert_eq!(&one.commit, &merged.commit);
        prop_assert_eq!(one.counts(), merged.counts());
    }

    /// Where there are more rows than may be stored, the same ones are left out.
    #[test]
    fn several_folds_leave_out_the_same_rows((records, part) in parts(), rows_max in 1_usize..20) {
        let limits = Limits { rows_max, ..Limits::default() };
        let (one, merged) = (close(&records, limits), close_parts(&records, &part, limits));
        prop_assert_eq!(&one.commit, &merged.commit);
        prop_assert!(one.notices().eq(merged.notices()));
    }

    /// The number of requests over a limit does not depend on which fold saw them.
    #[test]
    fn requests_over_the_limit_are_all_reported((records, part) in parts(), requests_max in 1_usize..40) {
        let limits = Limits { requests_max, ..Limits::default() };
        let merged = close_parts(&records, &part, limits);
        let all = close_parts(&records, &part, Limits::default()).counts();
        prop_assert!(merged.counts().matched <= requests_max as u64);
        prop_assert!(merged.counts().matched + merged.counts().over_limit >= all.matched);
    }
}
