//! Batching settles everything that is pending exactly once, and never in more messages than people can read.

use std::collections::{BTreeSet, HashMap, HashSet};

use proptest::collection::vec;
use proptest::prelude::*;
use stakeout_core::delivery::{Activity, Delivery, DeliveryId, Entry, Settlement, Subject};
use stakeout_core::finding::{Finding, FindingKey};
use stakeout_core::incident::{Incident, IncidentKey};
use stakeout_core::notice::{Notice, NoticeKind};
use stakeout_core::rule::Level;
use stakeout_core::time::{Second, Window};
use stakeout_notify::{DeliveryMode, MessageBody, Notification, plan};

use crate::{incidents, strategy};

fn batch<'a>(
    mode: DeliveryMode,
    pending: &'a [Delivery],
    findings: &'a HashMap<FindingKey, Finding>,
) -> Vec<Notification<'a>> {
    batch_with(mode, pending, findings, Box::leak(Box::default())).0
}

/// Returns the notifications, and what needs none.
fn batch_with<'a>(
    mode: DeliveryMode,
    pending: &'a [Delivery],
    findings: &'a HashMap<FindingKey, Finding>,
    incidents: &'a HashMap<IncidentKey, Incident>,
) -> (Vec<Notification<'a>>, Settlement) {
    let planned = plan(mode, pending).leak();
    let mut unsent = Settlement::default();
    let limits = Box::leak(Box::default());
    let shown = HashMap::new();
    let batches =
        mode.parts(planned).map(|part| stakeout_notify::batch(mode, part, findings, incidents, &shown, limits));
    let notifications = batches.flat_map(|batch| {
        unsent.add(&batch.unsent);
        batch.notifications
    });
    (notifications.collect(), unsent)
}

const SLACK: DeliveryMode = DeliveryMode::Digest { max_messages: 10 };

fn entry(key: u128, activity: Activity) -> Entry {
    Entry { finding: FindingKey(key), incident: None, activity }
}

fn delivery(id: u64, entries: Vec<Entry>, notices: Vec<Notice>) -> Delivery {
    Delivery { id: DeliveryId(id), destination: "secops".to_owned(), held_until: None, entries, notices }
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

/// Returns incidents, every third of them a part of another one.
fn stored_incidents(keys: impl IntoIterator<Item = u128>) -> HashMap<IncidentKey, Incident> {
    let incident = |key: u128| {
        let parent = (key % 3 == 2).then_some(IncidentKey(100));
        let level = Level::ALL[key as usize % 5];
        (IncidentKey(key), Incident { parent, ..incidents::incident(u32::try_from(key).expect("small"), level) })
    };
    keys.into_iter().map(incident).collect()
}

/// Returns up to 12 deliveries over up to 20 findings and 20 incidents, at most one entry for each of them in each. Some are
/// held for the digest of a day.
fn pending() -> impl Strategy<Value = Vec<Delivery>> {
    let entries = vec((0..20u32, any::<bool>(), strategy::activity()), 0..8).prop_map(|drawn| {
        let unique: HashMap<(u32, bool), Activity> =
            drawn.into_iter().map(|(key, is_incident, activity)| ((key, is_incident), activity)).collect();
        let entry = |((key, is_incident), activity)| {
            if is_incident { incidents::entry(key, activity) } else { entry(key.into(), activity) }
        };
        unique.into_iter().map(entry).collect::<Vec<_>>()
    });
    let entries = (entries, proptest::bool::weighted(0.2));
    let notices = proptest::collection::btree_set(0..50i64, 0..3)
        // Gaps that follow each other would be one message.
        .prop_map(|hours| hours.into_iter().map(|hour| notice(2 * hour)).collect::<Vec<_>>());
    vec((entries, notices), 0..12).prop_map(|drawn| {
        let numbered = drawn.into_iter().zip(1..);
        let held = |is_held: bool| is_held.then_some(Second(86_400));
        let deliveries = numbered.map(|(((entries, is_held), notices), id)| Delivery {
            held_until: held(is_held),
            ..delivery(id, entries, notices)
        });
        deliveries.collect()
    })
}

fn ids<'a>(notifications: &'a [Notification<'_>]) -> Vec<&'a str> {
    notifications.iter().map(|notification| notification.message.id.as_str()).collect()
}

#[test]
fn slack_joins_the_entries_of_a_finding() {
    let pending = [
        delivery(1, vec![entry(1, Activity::Create), entry(2, Activity::Update)], Vec::new()),
        delivery(2, vec![entry(1, Activity::Update), entry(2, Activity::Close)], Vec::new()),
    ];
    let findings = stored([1, 2]);
    let notifications = batch(SLACK, &pending, &findings);
    assert_eq!(
        ids(&notifications),
        ["1-2-00000000000000000000000000000001-1", "1-2-00000000000000000000000000000002-3"]
    );
    assert_eq!(
        notifications[0].settles.entries,
        [(DeliveryId(1), entry(1, Activity::Create)), (DeliveryId(2), entry(1, Activity::Update))]
    );
}

/// Returns the activities of the messages about one finding, with the deliveries in their ids.
fn reported(mode: DeliveryMode, activities: &[Activity]) -> Vec<(String, Activity)> {
    let pending: Vec<Delivery> =
        (1..).zip(activities).map(|(id, activity)| delivery(id, vec![entry(7, *activity)], Vec::new())).collect();
    let findings = stored([7]);
    let notifications = batch(mode, &pending, &findings);
    let reported = notifications.iter().map(|notification| match notification.message.body {
        MessageBody::Finding { activity, .. } => {
            let (deliveries, _) = notification.message.id.split_once("-0").expect("the uid follows");
            (deliveries.to_owned(), activity)
        }
        _ => panic!("not about a finding: {notification:?}"),
    });
    reported.collect()
}

#[test]
fn all_that_is_pending_of_a_finding_is_one_message_and_its_end_another() {
    use Activity::{Close, Create, Update};
    for (pending, expected) in [
        (&[Create][..], &[("1", Create)][..]),
        (&[Create, Update, Update], &[("1-3", Create)]),
        (&[Update, Update], &[("1-2", Update)]),
        (&[Update, Close], &[("1-2", Close)]),
        (&[Create, Close], &[("1", Create), ("2", Close)]),
        (&[Create, Update, Close, Close], &[("1-2", Create), ("3-4", Close)]),
        // It was over, and went on.
        (&[Close, Update], &[("1-2", Update)]),
        (&[Create, Close, Update], &[("1-3", Create)]),
        (&[Create, Close, Update, Close], &[("1-3", Create), ("4", Close)]),
        (&[Close, Update, Close], &[("1-3", Close)]),
    ] {
        let expected: Vec<(String, Activity)> =
            expected.iter().map(|(deliveries, activity)| ((*deliveries).to_owned(), *activity)).collect();
        assert_eq!(reported(DeliveryMode::Each, pending), expected, "{pending:?}");
        assert_eq!(reported(SLACK, pending).len(), 1, "{pending:?}");
    }
}

#[test]
fn eleven_become_one_digest_and_ten_do_not() {
    let findings = stored(0..11);
    let pending = |number| [delivery(1, (0..number).map(|key| entry(key, Activity::Create)).collect(), Vec::new())];
    assert_eq!(batch(SLACK, &pending(10), &findings).len(), 10);
    let eleven = pending(11);
    let notifications = batch(SLACK, &eleven, &findings);
    assert_eq!(ids(&notifications), ["1-digest-1"]);
    assert_eq!(notifications[0].settles.entries.len(), 11);
}

#[test]
fn findings_that_are_no_longer_stored_are_listed_by_uid() {
    let pending = [delivery(
        4,
        vec![entry(8, Activity::Create), entry(1, Activity::Create), entry(7, Activity::Close)],
        Vec::new(),
    )];
    let findings = stored([1]);
    for mode in [SLACK, DeliveryMode::Each] {
        let notifications = batch(mode, &pending, &findings);
        assert_eq!(notifications.len(), 2);
        assert_eq!(ids(&notifications)[0], "4-00000000000000000000000000000001-1");
        assert!(ids(&notifications)[1].starts_with("4-forgotten-4-"), "{:?}", ids(&notifications));
        assert_eq!(
            notifications[1].message.body,
            MessageBody::Forgotten([7, 8].map(|key| Subject::Finding(FindingKey(key))).to_vec())
        );
    }
}

proptest! {
    #[test]
    fn every_entry_and_notice_is_settled_once(pending in pending(), known in proptest::collection::btree_set(0..20u128, 0..20), max_messages in 0..15usize) {
        let incidents = stored_incidents(known.iter().copied());
        let findings = stored(known);
        for mode in [DeliveryMode::Each, DeliveryMode::Digest { max_messages }] {
            let (notifications, unsent) = batch_with(mode, &pending, &findings, &incidents);
            prop_assert!(mode != DeliveryMode::Each || unsent.is_empty());
            let of_messages = notifications.iter().flat_map(|notification| notification.settles.entries.iter().copied());
            let settled: Vec<_> = of_messages.chain(unsent.entries).collect();
            let due: Vec<_> = pending.iter().flat_map(|delivery| delivery.entries.iter().map(|entry| (delivery.id, *entry))).collect();
            prop_assert_eq!(settled.len(), due.len());
            prop_assert_eq!(settled.into_iter().collect::<HashSet<_>>(), due.into_iter().collect::<HashSet<_>>());
            let settled: Vec<_> = notifications.iter().flat_map(|notification| notification.settles.notices.iter().cloned()).collect();
            let due: Vec<_> = pending.iter().flat_map(|delivery| delivery.notices.iter().map(|notice| (delivery.id, notice.clone()))).collect();
            prop_assert_eq!(settled.len(), due.len());
            prop_assert_eq!(settled.into_iter().collect::<HashSet<_>>(), due.into_iter().collect::<HashSet<_>>());
            prop_assert!(notifications.iter().all(|notification| !notification.settles.is_empty()));
        }
    }

    #[test]
    fn slack_gets_few_messages_and_ids_are_unique(pending in pending(), max_messages in 0..15usize) {
        let (findings, incidents) = (stored(0..20), stored_incidents(0..20));
        let (notifications, _) = batch_with(DeliveryMode::Digest { max_messages }, &pending, &findings, &incidents);
        prop_assert!(notifications.len() <= max_messages.max(1));
        let subjects = |wanted: fn(&Subject) -> bool| -> HashSet<Subject> {
            pending.iter().flat_map(|delivery| &delivery.entries).map(Entry::subject).filter(wanted).collect()
        };
        let of_incidents = subjects(|subject| matches!(subject, Subject::Incident(key) if key.0 % 3 != 2)).len();
        let others = subjects(|subject| matches!(subject, Subject::Finding(_))).len()
            + pending.iter().map(|delivery| delivery.notices.len()).sum::<usize>();
        let digest = notifications.iter().find_map(|notification| match &notification.message.body {
            MessageBody::Digest(digest) => Some(digest),
            _ => None,
        });
        match digest {
            // Everything has a message of its own, but for what grew during a day.
            Some(digest) if digest.is_of_the_day() => {
                prop_assert_eq!(notifications.len() - 1 + digest.grown.len(), of_incidents + others);
            }
            None => prop_assert_eq!(notifications.len(), of_incidents + others),
            // Every incident and finding is in it or has a message, and no incident in it is more important than one that has.
            Some(digest) => {
                prop_assert_eq!(digest.findings.len() + digest.notices.len(), others);
                let in_digest = digest.incidents.len() + digest.grown.len();
                prop_assert_eq!(notifications.len() - 1 + in_digest, of_incidents);
                let levels = notifications.iter().filter_map(|notification| match notification.message.body {
                    MessageBody::Incident(report) => Some(report.incident.level),
                    _ => None,
                });
                let highest = digest.incidents.iter().map(|report| report.incident.level).max();
                prop_assert!(levels.min().is_none_or(|lowest| highest <= Some(lowest)));
            }
        }
        for mode in [DeliveryMode::Each, DeliveryMode::Digest { max_messages }] {
            let (notifications, _) = batch_with(mode, &pending, &findings, &incidents);
            let unique: BTreeSet<&str> = ids(&notifications).into_iter().collect();
            prop_assert_eq!(unique.len(), notifications.len());
            prop_assert!(unique.iter().all(|id| id.len() <= 128 && id.bytes().all(|byte| byte.is_ascii_graphic())));
        }
    }

    #[test]
    fn batching_is_deterministic(pending in pending()) {
        let findings = stored(0..10);
        prop_assert_eq!(batch(SLACK, &pending, &findings), batch(SLACK, &pending, &findings));
    }

    /// A process dies after some messages, and more is pending by the time of the next one: whatever was settled, all is reported
    /// in the end, each finding's beginning included, and no id stands for two contents.
    #[test]
    fn a_crash_between_messages_loses_nothing(pending in pending(), sent in 0..12usize, known in 1..12usize) {
        let (findings, incidents) = (stored(0..20), stored_incidents(0..20));
        let mut contents: HashMap<String, Vec<(DeliveryId, Entry)>> = HashMap::new();
        let mut left: Vec<Delivery> = Vec::new();
        let mut reported: HashSet<(Subject, bool)> = HashSet::new();
        let known = known.min(pending.len());
        for (more, sent) in [(&pending[..known], sent), (&pending[known..], usize::MAX)] {
            left.extend(more.iter().cloned());
            let now = left.clone();
            for (number, notification) in batch_with(DeliveryMode::Each, &now, &findings, &incidents).0.into_iter().enumerate() {
                let entries = &notification.settles.entries;
                let before = contents.entry(notification.message.id.clone()).or_insert_with(|| entries.clone());
                prop_assert_eq!(&*before, entries);
                match notification.message.body {
                    MessageBody::Finding { finding, activity } => {
                        reported.insert((Subject::Finding(finding.key), activity == Activity::Create));
                    }
                    // That it is over says all of an incident that became a part of another.
                    MessageBody::Incident(report) => {
                        let is_create = report.activity == Activity::Create || report.merged_into().is_some();
                        reported.insert((Subject::Incident(report.uid), is_create));
                    }
                    _ => {}
                }
                // The message after the last settled one was sent too, but nobody noted that.
                if number < sent {
                    for delivery in &mut left {
                        delivery.entries.retain(|entry| !entries.contains(&(delivery.id, *entry)));
                        delivery.notices.retain(|notice| !notification.settles.notices.contains(&(delivery.id, notice.clone())));
                    }
                }
            }
        }
        prop_assert!(left.iter().all(|delivery| delivery.entries.is_empty() && delivery.notices.is_empty()));
        for entry in pending.iter().flat_map(|delivery| &delivery.entries) {
            let is_create = entry.activity == Activity::Create;
            prop_assert!(reported.contains(&(entry.subject(), is_create)) || (!is_create && reported.contains(&(entry.subject(), true))));
        }
    }
}

/// The rereads of a day that could not be read close a gap each.
#[test]
fn closed_gaps_that_follow_each_other_are_one_message_for_people() {
    let other = Notice { source: "prod-gke".to_owned(), ..notice(2) };
    let gap = Notice { kind: NoticeKind::Gap { reason: "denied".to_owned() }, ..notice(3) };
    let pending = [
        delivery(1, Vec::new(), vec![notice(0)]),
        delivery(2, Vec::new(), vec![notice(1), other.clone()]),
        delivery(3, Vec::new(), vec![gap.clone()]),
        delivery(4, Vec::new(), vec![notice(2), notice(5)]),
    ];
    let findings = HashMap::new();
    let notices = |mode| -> Vec<(Notice, usize)> {
        let notifications = batch(mode, &pending, &findings).into_iter();
        notifications
            .map(|one| match one.message.body {
                MessageBody::Notice(notice) => (notice.clone(), one.settles.notices.len()),
                other => panic!("{other:?}"),
            })
            .collect()
    };
    let day = Notice { window: notice(0).window.and(notice(2).window), ..notice(0) };
    assert_eq!(notices(SLACK), [(day, 3), (other, 1), (gap, 1), (notice(5), 1)]);
    assert_eq!(notices(DeliveryMode::Each).len(), 6, "a machine knows each gap by its window");
}

#[test]
fn the_sums_of_a_window_that_was_committed_in_parts_are_one_message() {
    let too_many = |findings, rules: &[(&str, u64)], top: &[(&str, u64)]| {
        let named = |list: &[(&str, u64)]| list.iter().map(|(what, n)| ((*what).to_owned(), *n)).collect();
        let (rules, top) = (named(rules), named(top));
        Notice { kind: NoticeKind::TooManyFindings { findings, requests: 10 * findings, rules, top }, ..notice(0) }
    };
    let first = too_many(3, &[("scan", 2), ("probe", 1)], &[("9.9.9.9", 12)]);
    let second = too_many(5, &[("scan", 5)], &[("9.9.9.1", 30), ("9.9.9.2", 12)]);
    let sum = too_many(8, &[("scan", 7), ("probe", 1)], &[("9.9.9.1", 30), ("9.9.9.2", 12), ("9.9.9.9", 12)]);
    let later = Notice { window: notice(1).window, ..first.clone() };
    let other = Notice { source: "prod-gke".to_owned(), ..first.clone() };
    let overflow = Notice { kind: NoticeKind::Overflow { rows: 1, requests: 2, top: Vec::new() }, ..notice(0) };
    let pending = vec![
        delivery(1, Vec::new(), vec![first]),
        delivery(2, Vec::new(), vec![later.clone(), other.clone()]),
        delivery(3, Vec::new(), vec![second, overflow.clone()]),
    ];
    for mode in [SLACK, DeliveryMode::Each] {
        let findings = HashMap::new();
        let notifications = batch(mode, &pending, &findings);
        let notices: Vec<(&str, &Notice, usize)> = notifications
            .iter()
            .map(|one| match &one.message.body {
                MessageBody::Notice(notice) => (&one.message.id[..4], *notice, one.settles.notices.len()),
                other => panic!("{other:?}"),
            })
            .collect();
        let expected = [("1-3-", &sum, 2), ("2-no", &later, 1), ("2-no", &other, 1), ("3-no", &overflow, 1)];
        assert_eq!(notices, expected);
    }
}
