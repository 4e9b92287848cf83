//! The limit of findings that a commit opens: the largest groups have one, and the sum of the others is right.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use stakeout_core::delivery::Activity;
use stakeout_core::finding::{Finding, FindingKey};
use stakeout_core::fold::{self, CloseInput, Closed, Limits, Stored};
use stakeout_core::hash::HashKey;
use stakeout_core::notice::NoticeKind;
use stakeout_core::time::{Second, Window};

use super::{BEGIN, Record, close, close_input, records, rules, source, stored};

/// Returns how many findings were not opened, and their requests.
fn left_out(closed: &Closed) -> (u64, u64) {
    let sums: Vec<(u64, u64)> = closed
        .notices()
        .map(|notice| match &notice.kind {
            NoticeKind::TooManyFindings { findings, requests, .. } => (*findings, *requests),
            other => panic!("unexpected notice {other:?}"),
        })
        .collect();
    assert!(sums.len() < 2, "one notice");
    sums.first().copied().unwrap_or_default()
}

fn findings(closed: &Closed) -> BTreeMap<FindingKey, &Finding> {
    closed.commit.findings.iter().map(|finding| (finding.key, finding)).collect()
}

fn input_of(records: &[Record]) -> CloseInput {
    let window = Window::new(Second(BEGIN), Second(BEGIN + 3600)).expect("not empty");
    let mut fold = fold::open(rules(), window, false, HashKey([7; 16]), Limits::default());
    records.iter().for_each(|record| fold.observe(&record.observation()));
    CloseInput::alone(source(), Some(fold.count()), Vec::new(), window.latest())
}

/// Reads the window once more, after what was committed of it.
fn read_again(records: &[Record], before: &Closed, limits: Limits) -> Closed {
    let window = Window::new(Second(BEGIN), Second(BEGIN + 3600)).expect("not empty");
    let mut fold = fold::open(rules(), window, true, HashKey([7; 16]), limits);
    records.iter().for_each(|record| fold.observe(&record.observation()));
    let input = CloseInput::alone(source(), Some(fold.count()), stored(&before.commit), window.latest());
    close_input(CloseInput { findings: before.commit.findings.clone(), ..input }, limits)
}

proptest! {
    #![proptest_config(crate::cases(300))]

    #[test]
    fn the_largest_findings_are_opened_and_the_sum_is_right(records in records(1..200, 3600), findings_max in 1_usize..30) {
        let all = close(&records, Limits::default());
        let all = findings(&all);
        let limits = Limits { findings_max, ..Limits::default() };
        let few = close(&records, limits);
        let opened = findings(&few);
        prop_assert_eq!(opened.len(), all.len().min(findings_max));
        let requests = |findings: &BTreeMap<FindingKey, &Finding>| findings.values().map(|finding| finding.episode.count).sum::<u64>();
        let (number, sum) = left_out(&few);
        prop_assert_eq!((opened.len() as u64 + number, requests(&opened) + sum), (all.len() as u64, requests(&all)));
        let names: BTreeSet<&str> = all.values().map(|finding| finding.rule.name.as_str()).collect();
        for name in &names {
            let of_rule = |findings: &BTreeMap<FindingKey, &Finding>| {
                let mut counts: Vec<u64> = findings.values().filter(|one| one.rule.name == **name).map(|one| one.episode.count).collect();
                counts.sort_unstable_by_key(|count| std::cmp::Reverse(*count));
                counts
            };
            let (of_all, of_opened) = (of_rule(&all), of_rule(&opened));
            prop_assert_eq!(&of_opened[..], &of_all[..of_opened.len()], "the largest of {}", name);
            prop_assert!(of_opened.len() >= of_all.len().min(findings_max / names.len()), "the part of {}", name);
        }
    }

    /// A reread of the same requests opens no finding that the first read left out.
    #[test]
    fn a_window_that_is_read_again_opens_no_more(records in records(1..200, 3600), findings_max in 1_usize..10) {
        let limits = Limits { findings_max, ..Limits::default() };
        let first = close(&records, limits);
        let again = read_again(&records, &first, limits);
        prop_assert_eq!(&again.commit.logs[0].minutes, &[]);
        prop_assert!(again.changes.iter().all(|(_, activity)| *activity == Activity::Close), "{:?}", again.changes);
        prop_assert_eq!(again.notices().count(), 0);
    }

    /// The limit of stored findings holds, and what matters most finds the last room.
    #[test]
    fn stored_findings_leave_room_for_what_matters(
        records in records(50..200, 3600),
        stored_before in 0_usize..30,
        max in 1_usize..30,
    ) {
        let all = close(&records, Limits::default());
        let input = input_of(&records);
        let input = CloseInput { stored: Stored { findings: stored_before, ..Stored::default() }, ..input };
        let closed = close_input(input, Limits { findings_stored_max: max, ..Limits::default() });
        let opened = findings(&closed).len();
        // The rules have no level, so they are informational: a tenth is not for them.
        let room = (max - max / 10).saturating_sub(stored_before);
        prop_assert_eq!(opened, findings(&all).len().min(room));
        let (number, _) = left_out(&closed);
        prop_assert_eq!(opened as u64 + number, findings(&all).len() as u64);
    }
}
