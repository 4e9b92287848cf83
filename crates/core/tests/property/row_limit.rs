//! The limits of groups and requests: the largest groups are counted exactly, and the sums of the rest are right.

use std::collections::BTreeMap;

use proptest::prelude::*;
use stakeout_core::fold::{Closed, Limits};
use stakeout_core::group::{CountKey, RuleKey};
use stakeout_core::notice::NoticeKind;

use super::{BEGIN, Record, close, records};

/// Returns what a closed window left out: rows, requests and the largest sources.
fn left_out(closed: &Closed) -> (u64, u64, Vec<(String, u64)>) {
    let mut overflows = closed.notices().map(|notice| match &notice.kind {
        NoticeKind::Overflow { rows, requests, top } => (*rows, *requests, top.clone()),
        other => panic!("unexpected notice {other:?}"),
    });
    let overflow = overflows.next().unwrap_or_default();
    assert_eq!(overflows.next(), None, "one notice");
    overflow
}

/// Returns (requests, rows) of each group that is stored.
fn stored(closed: &Closed) -> BTreeMap<CountKey, (u64, u64)> {
    let mut groups: BTreeMap<CountKey, (u64, u64)> = BTreeMap::new();
    for (key, tally) in closed.commit.logs[0].minutes.iter().flat_map(|(_, rows)| rows) {
        let group = groups.entry(key.clone()).or_default();
        *group = (group.0 + tally.total(), group.1 + 1);
    }
    groups
}

fn sums<'a>(groups: impl Iterator<Item = &'a (u64, u64)>) -> (u64, u64) {
    groups.fold((0, 0), |sum, group| (sum.0 + group.0, sum.1 + group.1))
}

proptest! {
    #![proptest_config(crate::cases(300))]

    #[test]
    fn the_largest_group_is_kept_and_the_sums_are_right(records in records(1..200, 3600), rows_max in 1_usize..120) {
        let all = stored(&close(&records, Limits::default()));
        let capped = close(&records, Limits { rows_max, ..Limits::default() });
        let kept = stored(&capped);
        let (rows, requests, top) = left_out(&capped);
        let (all_sums, kept_sums) = (sums(all.values()), sums(kept.values()));
        prop_assert!(kept_sums.1 <= rows_max as u64);
        prop_assert_eq!((kept_sums.0 + requests, kept_sums.1 + rows), all_sums);
        for (key, group) in &kept {
            prop_assert_eq!(group, &all[key], "a group is kept whole or not at all");
        }
        let mut of_rules: BTreeMap<RuleKey, Vec<(&CountKey, u64, u64)>> = BTreeMap::new();
        all.iter().for_each(|(key, (n, rows))| of_rules.entry(key.rule).or_default().push((key, *n, *rows)));
        let share = (rows_max / of_rules.len().max(1)) as u64;
        for groups in of_rules.values() {
            let rows: u64 = groups.iter().map(|(.., rows)| rows).sum();
            let largest = groups.iter().max_by_key(|(key, n, _)| (*n, std::cmp::Reverse(*key)));
            if let Some((key, ..)) = largest.filter(|(.., rows)| *rows <= share) {
                prop_assert!(kept.contains_key(*key), "the largest group of each rule is kept");
            }
            prop_assert!(rows > share || groups.iter().all(|(key, ..)| kept.contains_key(*key)), "a share is its rule's own");
        }
        let mut by_source: BTreeMap<String, u64> = BTreeMap::new();
        for (key, group) in all.iter().filter(|(key, _)| !kept.contains_key(*key)) {
            *by_source.entry(key.group.0[0].to_string()).or_default() += group.0;
        }
        prop_assert_eq!(top.len(), by_source.len().min(10));
        prop_assert!(top.is_sorted_by(|left, right| left.1 >= right.1));
        prop_assert_eq!(top.first().map(|(_, n)| *n), by_source.values().max().copied());
        for (source, n) in &top {
            prop_assert_eq!(Some(n), by_source.get(source));
        }
    }

    #[test]
    fn requests_over_the_limit_are_reported_as_a_sum(records in records(1..200, 3600), requests_max in 0_usize..150) {
        let all = close(&records, Limits::default());
        let capped = close(&records, Limits { requests_max, ..Limits::default() });
        prop_assert_eq!(capped.counts().matched, all.counts().matched.min(requests_max as u64));
        prop_assert_eq!(capped.counts().matched + capped.counts().over_limit, all.counts().matched);
        prop_assert_eq!(left_out(&capped).1, capped.counts().over_limit);
    }
}

/// Over the limit only a thousand sources are tracked, and the largest one is always among them.
#[test]
fn the_top_attacker_is_named_among_more_sources_than_are_tracked() {
    let mut records = Vec::new();
    for request in 0..6_000_usize {
        let [.., high, low] = request.to_be_bytes();
        let is_attacker = request % 50 == 49;
        let address = if is_attacker { [203, 0, 113, 9] } else { [10, 0, high, low] };
        let at = BEGIN + i64::try_from(request % 3600).expect("small");
        records.push(Record { request, address, code: 403, verb: "get", path: 1, at });
    }
    let closed = close(&records, Limits { requests_max: 10, ..Limits::default() });
    let (_, requests, top) = left_out(&closed);
    assert_eq!(requests, 5_990);
    let (name, n) = top.first().expect("the notice names a source");
    assert_eq!(name, "203.0.113.9");
    assert!((120..=130).contains(n), "it sent 120, and the notice says {n}");
}
