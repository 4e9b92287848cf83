//! The limit of groups: of more, the largest of each rule are counted, whatever the order of the records. Where memory does not
//! hold what distinguishes the requests, the window is read twice, and the same groups are counted.

use std::collections::BTreeMap;

use stakeout_core::fold::{self, Limits, WindowCounts};
use stakeout_core::group::CountKey;
use stakeout_core::hash::HashKey;
use stakeout_core::time::{Second, Window};

use super::{BEGIN, Record, rules};

const GROUPS_MAX: usize = 1000;

fn window() -> Window {
    Window::new(Second(BEGIN), Second(BEGIN + 3600)).expect("an hour")
}

/// Reads the window, and again if memory does not hold it. Returns the counts of the last read, and how many there were.
fn read(records: &[&Record], values_max: usize) -> (WindowCounts, usize) {
    let (key, limits) = (HashKey([7; 16]), Limits { groups_max: GROUPS_MAX, values_max, ..Limits::default() });
    let mut first = fold::open(rules(), window(), false, key, limits);
    records.iter().for_each(|record| first.observe(&record.observation()));
    let first = first.count();
    let Some(largest) = first.largest_groups() else { return (first, 1) };
    let mut second = fold::open_largest(rules(), window(), false, largest, key, limits);
    records.iter().for_each(|record| second.observe(&record.observation()));
    let second = second.count();
    assert!(second.largest_groups().is_none(), "nothing is read three times");
    (second, 2)
}

/// Returns the requests of each group that is counted.
fn sizes(counts: &WindowCounts) -> BTreeMap<CountKey, usize> {
    let mut sizes = BTreeMap::new();
    counts.keys().for_each(|key| *sizes.entry(key.clone()).or_default() += 1);
    sizes
}

/// Single refused requests of `strangers` addresses all over the hour, and a scan of 30 minutes: refused lists by one address
/// once a minute, which more rules count.
fn flood(strangers: usize) -> Vec<Record> {
    let single = |request: usize| Record {
        request,
        address: [20, 0, u8::try_from(request / 256).expect("few"), u8::try_from(request % 256).expect("a byte")],
        code: 403,
        verb: "get",
        path: 1,
        at: BEGIN + i64::try_from(request % 3600).expect("small"),
    };
    let scan = |minute: usize| Record {
        request: 1_000_000 + minute,
        address: [91, 10, 20, 30],
        code: 403,
        verb: "list",
        path: 2,
        at: BEGIN + 1800 + 60 * i64::try_from(minute).expect("small"),
    };
    (0..strangers).map(single).chain((0..30).map(scan)).collect()
}

#[test]
fn the_order_of_a_flood_decides_nothing() {
    let records = flood(5_000);
    let in_order: Vec<&Record> = records.iter().collect();
    let last_first: Vec<&Record> = records.iter().rev().collect();
    let mut by_address = in_order.clone();
    by_address.sort_by_key(|record| (record.address[3], record.request));
    let of_the_scan = |sizes: &BTreeMap<CountKey, usize>| {
        sizes
            .iter()
            .filter(|(key, _)| key.group.source_ip().is_some_and(|source| source.to_string() == "91.10.20.30"))
            .map(|(_, n)| *n)
            .collect::<Vec<_>>()
    };
    let (expected, reads) = read(&in_order, 1000);
    assert_eq!(reads, 1);
    let expected_sizes = sizes(&expected);
    assert_eq!(of_the_scan(&expected_sizes), [30, 30], "each rule counts the whole scan");
    assert!((GROUPS_MAX / 2..=GROUPS_MAX).contains(&expected_sizes.len()), "{} groups", expected_sizes.len());
    for order in [in_order, last_first, by_address] {
        for (values_max, expected_reads) in [(1000, 1), (1, 2)] {
            let (counts, reads) = read(&order, values_max);
            assert_eq!(reads, expected_reads);
            assert_eq!(sizes(&counts), expected_sizes);
            assert_eq!(counts.counts(), expected.counts());
        }
    }
}

#[test]
fn a_window_that_fits_is_read_once() {
    let records = flood(300);
    let (counts, reads) = read(&records.iter().collect::<Vec<_>>(), 1000);
    assert_eq!((reads, counts.counts().over_limit, counts.counts().matched), (1, 0, 330));
}
