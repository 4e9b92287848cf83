//! A window that is split into parts, each for a commit of its own: every row is in one of them.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use proptest::prelude::*;
use stakeout_core::fold::{self, Limits, WindowCounts};
use stakeout_core::group::{CountKey, GroupKey};
use stakeout_core::hash::HashKey;
use stakeout_core::rule::Rules;
use stakeout_core::time::{Second, Window};

use super::{BEGIN, RULES, Record, load, records};

/// A rule whose groups have no source address.
const BY_VERB: &str = "
---
title: Many Senders
name: many-senders
correlation:
  {type: value_count, rules: [refused], group-by: [verb], timespan: 5m, condition: {field: source_ip, gte: 3}}
";

fn rules() -> Arc<Rules> {
    static LOADED: LazyLock<Arc<Rules>> = LazyLock::new(|| load(&format!("{RULES}{BY_VERB}")));
    LOADED.clone()
}

fn counts(records: &[Record]) -> WindowCounts {
    let window = Window::new(Second(BEGIN), Second(BEGIN + 3600)).expect("an hour");
    let mut fold = fold::open(rules(), window, false, HashKey([7; 16]), Limits::default());
    records.iter().for_each(|record| fold.observe(&record.observation()));
    fold.count()
}

fn rows(counts: &WindowCounts) -> BTreeMap<CountKey, usize> {
    let mut rows = BTreeMap::new();
    counts.keys().for_each(|key| *rows.entry(key.clone()).or_default() += 1);
    rows
}

/// Returns a number that several groups share.
fn order(group: &GroupKey) -> u64 {
    group.0.iter().map(|value| value.to_string().bytes().map(u64::from).sum::<u64>()).sum::<u64>() % 5
}

/// Returns where a group belongs.
fn place(key: &CountKey) -> (bool, u64) {
    (key.group.source_ip().is_some(), order(&key.group))
}

proptest! {
    #![proptest_config(crate::cases(200))]

    #[test]
    fn each_row_is_in_one_part_and_the_last_part_has_the_counts(records in records(1..120, 3600), rows_max in 1_usize..60) {
        let whole = counts(&records);
        let (expected, sums) = (rows(&whole), whole.counts());
        let parts = whole.split(rows_max, order);
        let mut all: BTreeMap<CountKey, usize> = BTreeMap::new();
        let mut before = None;
        for part in &parts {
            let of_part = rows(part);
            let places: Vec<(bool, u64)> = of_part.keys().map(place).collect();
            prop_assert!(part.rows() <= rows_max || places.iter().all(|one| *one == places[0]), "{} rows", part.rows());
            let (first, last) = (places.iter().min().copied(), places.iter().max().copied());
            prop_assert!(parts.len() == 1 || before < first, "{:?} before {:?}", before, first);
            before = last;
            all.extend(of_part);
        }
        prop_assert_eq!(all, expected);
        let (last, earlier) = parts.split_last().expect("one part at least");
        prop_assert_eq!(last.counts(), sums);
        prop_assert!(earlier.iter().all(|part| part.counts().observed == 0));
    }
}
