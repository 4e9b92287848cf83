//! Plans settle all that is owed, each thing once, and never in more messages than people can read.

use std::collections::{BTreeSet, HashMap, HashSet};

use proptest::collection::vec;
use proptest::prelude::*;
use stakeout_core::delivery::{Activity, Delivery, DeliveryId, Entry};
use stakeout_core::finding::{Finding, FindingKey};
use stakeout_core::notice::{Notice, NoticeKind};
use stakeout_core::rule::Level;
use stakeout_core::time::{Second, Window};
use stakeout_notify::{Body, Parcel, Style, plan};

use crate::strategy;

const SLACK: Style = Style::Slack { max_messages: 10 };

fn entry(key: u128, activity: Activity) -> Entry {
    Entry { finding: FindingKey(key), activity }
}

fn delivery(id: u64, entries: Vec<Entry>, notices: Vec<Notice>) -> Delivery {
    Delivery { id: DeliveryId(id), destination: "secops".to_owned(), entries, notices }
}

fn notice(hour: i64) -> Notice {
    Notice {
        source: "prod-eks".to_owned(),
        cluster: "prod".to_owned(),
        window: Window::new(Second(hour * 3_600), Second(hour * 3_600 + 3_600)).expect("an hour"),
        kind: NoticeKind::GapFilled,
    }
}

fn stored(keys: impl IntoIterator<Item = u128>) -> HashMap<FindingKey, Finding> {
    keys.into_iter().map(|key| (FindingKey(key), strategy::plain_finding(key, Level::Low, 1))).collect()
}

/// Returns up to 12 deliveries over up to 20 findings, at most one entry for each finding in each.
fn owed() -> impl Strategy<Value = Vec<Delivery>> {
    let entries = vec((0..20u128, strategy::activity()), 0..8).prop_map(|drawn| {
        let unique: HashMap<u128, Activity> = drawn.into_iter().collect();
        unique.into_iter().map(|(key, activity)| entry(key, activity)).collect::<Vec<_>>()
    });
    let notices = proptest::collection::btree_set(0..50i64, 0..3)
        .prop_map(|hours| hours.into_iter().map(notice).collect::<Vec<_>>());
    vec((entries, notices), 0..12).prop_map(|drawn| {
        let numbered = drawn.into_iter().zip(1..);
        numbered.map(|((entries, notices), id)| delivery(id, entries, notices)).collect()
    })
}

fn ids<'a>(parcels: &'a [Parcel<'_>]) -> Vec<&'a str> {
    parcels.iter().map(|parcel| parcel.message.id.as_str()).collect()
}

#[test]
fn slack_joins_what_is_owed_of_a_finding() {
    let owed = [
        delivery(1, vec![entry(1, Activity::Create), entry(2, Activity::Update)], Vec::new()),
        delivery(2, vec![entry(1, Activity::Update), entry(2, Activity::Close)], Vec::new()),
    ];
    let findings = stored([1, 2]);
    let parcels = plan(SLACK, &owed, &findings);
    assert_eq!(ids(&parcels), ["1-00000000000000000000000000000001-1", "1-00000000000000000000000000000002-3"]);
    assert_eq!(
        parcels[0].settles.entries,
        [(DeliveryId(1), entry(1, Activity::Create)), (DeliveryId(2), entry(1, Activity::Update))]
    );
}

#[test]
fn machines_get_every_entry_in_order() {
    let owed = [
        delivery(1, vec![entry(1, Activity::Create)], vec![notice(0)]),
        delivery(2, vec![entry(1, Activity::Update), entry(1, Activity::Close)], Vec::new()),
    ];
    let findings = stored([1]);
    let parcels = plan(Style::Each, &owed, &findings);
    let told: Vec<_> = parcels
        .iter()
        .map(|parcel| match parcel.message.body {
            Body::Finding { activity, .. } => Some(activity),
            _ => None,
        })
        .collect();
    assert_eq!(told, [Some(Activity::Create), None, Some(Activity::Update), Some(Activity::Close)]);
}

#[test]
fn eleven_become_one_digest_and_ten_do_not() {
    let findings = stored(0..11);
    let owed = |number| [delivery(1, (0..number).map(|key| entry(key, Activity::Create)).collect(), Vec::new())];
    assert_eq!(plan(SLACK, &owed(10), &findings).len(), 10);
    let eleven = owed(11);
    let parcels = plan(SLACK, &eleven, &findings);
    assert_eq!(ids(&parcels), ["1-digest-1"]);
    assert_eq!(parcels[0].settles.entries.len(), 11);
}

#[test]
fn what_is_not_stored_any_more_is_told_by_uid() {
    let owed = [delivery(
        4,
        vec![entry(8, Activity::Create), entry(1, Activity::Create), entry(7, Activity::Close)],
        Vec::new(),
    )];
    let findings = stored([1]);
    for style in [SLACK, Style::Each] {
        let parcels = plan(style, &owed, &findings);
        assert_eq!(ids(&parcels), ["4-00000000000000000000000000000001-1", "4-forgotten-4"]);
        assert_eq!(parcels[1].message.body, Body::Forgotten(vec![FindingKey(7), FindingKey(8)]));
    }
}

proptest! {
    #[test]
    fn all_that_is_owed_is_settled_once(owed in owed(), known in proptest::collection::btree_set(0..20u128, 0..20), max_messages in 0..15usize) {
        let findings = stored(known);
        for style in [Style::Each, Style::Slack { max_messages }] {
            let parcels = plan(style, &owed, &findings);
            let settled: Vec<_> = parcels.iter().flat_map(|parcel| parcel.settles.entries.iter().copied()).collect();
            let due: Vec<_> = owed.iter().flat_map(|delivery| delivery.entries.iter().map(|entry| (delivery.id, *entry))).collect();
            prop_assert_eq!(settled.len(), due.len());
            prop_assert_eq!(settled.into_iter().collect::<HashSet<_>>(), due.into_iter().collect::<HashSet<_>>());
            let settled: Vec<_> = parcels.iter().flat_map(|parcel| parcel.settles.notices.iter().cloned()).collect();
            let due: Vec<_> = owed.iter().flat_map(|delivery| delivery.notices.iter().map(|notice| (delivery.id, notice.clone()))).collect();
            prop_assert_eq!(settled.len(), due.len());
            prop_assert_eq!(settled.into_iter().collect::<HashSet<_>>(), due.into_iter().collect::<HashSet<_>>());
            prop_assert!(parcels.iter().all(|parcel| !parcel.settles.is_empty()));
        }
    }

    #[test]
    fn slack_gets_few_messages_and_ids_are_unique(owed in owed(), max_messages in 0..15usize) {
        let findings = stored(0..20);
        let parcels = plan(Style::Slack { max_messages }, &owed, &findings);
        let things = owed.iter().flat_map(|delivery| &delivery.entries).map(|entry| entry.finding).collect::<HashSet<_>>().len()
            + owed.iter().map(|delivery| delivery.notices.len()).sum::<usize>();
        let is_digest = matches!(parcels.first().map(|parcel| &parcel.message.body), Some(Body::Digest(_)));
        prop_assert_eq!(is_digest, things > max_messages);
        prop_assert_eq!(parcels.len(), if is_digest { 1 } else { things });
        for style in [Style::Each, Style::Slack { max_messages }] {
            let parcels = plan(style, &owed, &findings);
            let unique: BTreeSet<&str> = ids(&parcels).into_iter().collect();
            prop_assert_eq!(unique.len(), parcels.len());
            prop_assert!(unique.iter().all(|id| id.len() <= 128 && id.bytes().all(|byte| byte.is_ascii_graphic())));
        }
    }

    #[test]
    fn a_plan_is_the_same_when_it_is_made_again(owed in owed()) {
        let findings = stored(0..10);
        prop_assert_eq!(plan(SLACK, &owed, &findings), plan(SLACK, &owed, &findings));
    }
    #[test]
    fn part_by_part_the_same_is_told(owed in owed()) {
        let findings = stored(0..20);
        for style in [Style::Each, SLACK] {
            let parts = style.parts(&owed).flat_map(|part| plan(style, part, &findings));
            prop_assert_eq!(parts.collect::<Vec<_>>(), plan(style, &owed, &findings));
        }
        prop_assert_eq!(Style::Each.parts(&owed).count(), owed.len());
    }
}
