//! Episodes against a counter by hand, and what more and fewer minutes do to them.

use proptest::collection::vec;
use proptest::prelude::*;
use stakeout_core::episode::{Episode, Known, PrunedSpan};
use stakeout_core::rule::Threshold;
use stakeout_core::threshold::ThresholdKind;
use stakeout_core::time::Second;
use stakeout_core::timeline::Timeline;

use crate::by_hand::count_by_hand;

/// Requests by second and a threshold, so small that edges occur often.
fn cases() -> impl Strategy<Value = (Vec<(Second, u64)>, Threshold)> {
    let threshold = (1_u64..6, 1_i64..30, 0_i64..30).prop_map(|(count, timespan_seconds, more)| Threshold {
        count,
        timespan_seconds,
        quiet_seconds: timespan_seconds + more,
        repeat: None,
        new_for_days: None,
    });
    threshold.prop_flat_map(|threshold| {
        let (timespan, quiet) = (threshold.timespan_seconds, threshold.quiet_seconds);
        let gap = prop_oneof![1_i64..4, timespan - 1..=timespan + 1, quiet - 1..=quiet + 1, 1_i64..60];
        (vec((gap, 1_u64..4), 0..40), Just(threshold)).prop_map(|(steps, threshold)| {
            let mut at = 0;
            let seconds = steps.into_iter().map(|(gap, n)| {
                at += gap.max(1);
                (Second(at), n)
            });
            (seconds.collect(), threshold)
        })
    })
}

fn episodes(seconds: &[(Second, u64)], pruned: &[PrunedSpan], threshold: &Threshold) -> Vec<Episode> {
    let timeline = Timeline::of_requests(seconds.iter().copied());
    let kind = ThresholdKind::EventCount(threshold.count);
    stakeout_core::episode::episodes(&timeline, pruned, threshold, &kind, &Known::ALL).found
}

fn by_hand(seconds: &[(Second, u64)], threshold: &Threshold) -> Vec<Episode> {
    let times: Vec<i64> = seconds.iter().flat_map(|(at, n)| vec![at.0; usize::try_from(*n).expect("small")]).collect();
    let counted = count_by_hand(&times, threshold.count, threshold.timespan_seconds, threshold.quiet_seconds);
    let episode = |(first, last, count)| Episode { first: Second(first), last: Second(last), count };
    counted.into_iter().map(episode).collect()
}

fn sum(seconds: &[(Second, u64)], within: &Episode) -> u64 {
    seconds.iter().filter(|(at, _)| within.first <= *at && *at <= within.last).map(|(_, n)| n).sum()
}

/// The threshold of a rule may have risen since the episode was reported.
#[test]
fn a_reported_beginning_goes_on_whatever_the_threshold_is_now() {
    let threshold = Threshold { count: 9, timespan_seconds: 30, quiet_seconds: 60, repeat: None, new_for_days: None };
    let episode = |first, last, count| Episode { first: Second(first), last: Second(last), count };
    let seconds = [(Second(110), 1), (Second(171), 1)];
    assert_eq!(episodes(&seconds, &[episode(0, 50, 2)], &threshold), [episode(0, 110, 3)]);
}

proptest! {
    #![proptest_config(crate::cases(2_500))]

    #[test]
    fn episodes_equal_a_count_by_hand((seconds, threshold) in cases()) {
        prop_assert_eq!(episodes(&seconds, &[], &threshold), by_hand(&seconds, &threshold));
    }

    /// Reported episodes stay true: each is inside one of the episodes that more requests give.
    #[test]
    fn more_requests_make_episodes_longer_earlier_or_joined(
        (seconds, threshold) in cases(),
        late in vec((0_i64..400, 1_u64..4), 1..5),
    ) {
        let mut more: std::collections::BTreeMap<Second, u64> = seconds.iter().copied().collect();
        for (at, n) in late {
            *more.entry(Second(at)).or_default() += n;
        }
        let more: Vec<(Second, u64)> = more.into_iter().collect();
        let after = episodes(&more, &[], &threshold);
        for episode in episodes(&seconds, &[], &threshold) {
            let holding = after.iter().filter(|wider| wider.first <= episode.first && episode.last <= wider.last);
            prop_assert_eq!(holding.count(), 1, "{:?} in {:?}", episode, &after);
        }
    }

    /// The beginning of a reported episode may be deleted, and so may requests that no span can reach any more.
    #[test]
    fn deleted_beginnings_change_nothing((seconds, threshold) in cases(), cut in 0_i64..400) {
        let all = episodes(&seconds, &[], &threshold);
        let is_in = |at: Second| all.iter().any(|episode| episode.first <= at && at <= episode.last);
        let (gone, kept): (Vec<_>, Vec<_>) = seconds.iter().copied().partition(|(at, _)| {
            at.0 < cut && (is_in(*at) || at.0 < cut - threshold.timespan_seconds)
        });
        let pruned: Vec<Episode> = all
            .iter()
            .filter_map(|episode| {
                let last = gone.iter().rfind(|(at, _)| *at <= episode.last && episode.first <= *at)?.0;
                let count = sum(&gone, episode);
                Some(Episode { first: episode.first, last, count })
            })
            .collect();
        prop_assert_eq!(episodes(&kept, &pruned, &threshold), all);
    }
}
