//! After any commits and settlements the ledger holds what a map would, before and after it is opened again.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use proptest::prelude::*;
use stakeout_core::commit::{Commit, WaitingGroup};
use stakeout_core::delivery::{Delivery, DeliveryId, Settlement};
use stakeout_core::finding::{Finding, FindingKey, FindingStatus};
use stakeout_core::incident::IncidentKey;
use stakeout_core::novelty::{SeenChange, SeenDays, SeenKey};
use stakeout_core::progress::Progress;
use stakeout_core::shown::{ShownChange, ShownIncident};
use stakeout_core::source::SourceId;
use stakeout_core::tally::{Rows, StoredMinute};
use stakeout_core::time::{Minute, Second, Window};
use stakeout_ledger::{Ledger, NeededRows};

use crate::place::Place;
use crate::samples;

/// Incidents that the destination shows.
const INCIDENTS: std::ops::Range<u128> = 0..12;

/// All that a ledger holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Contents {
    minutes: BTreeMap<(Minute, SourceId), Rows>,
    progresses: BTreeMap<SourceId, Progress>,
    findings: BTreeMap<FindingKey, Finding>,
    /// Oldest first.
    archived: Vec<Finding>,
    deliveries: BTreeMap<DeliveryId, Delivery>,
    next_delivery: u64,
    waiting: BTreeSet<WaitingGroup>,
    seen: BTreeMap<SeenKey, SeenDays>,
    /// What the destination shows of few incidents.
    shown: BTreeMap<IncidentKey, ShownIncident>,
}

impl Contents {
    pub(crate) fn of(ledger: &Ledger) -> Contents {
        let stored = samples::stored_rows(ledger).expect("read");
        let progresses = ledger.progresses().expect("read");
        for (source, progress) in &progresses {
            let one = ledger.progress(&progress.log).expect("read");
            assert_eq!(one, Some((*source, progress.clone())));
            assert_eq!(ledger.source_id(&progress.log), Some(*source));
        }
        let findings = samples::stored_findings(ledger).expect("read");
        let stored_now = ledger.stored().expect("read");
        assert_eq!(stored_now.rows, stored.iter().map(|minute| minute.rows.len()).sum::<usize>());
        assert_eq!(stored_now.findings, findings.len());
        let open = findings.iter().filter(|finding| finding.is_open()).count();
        assert_eq!(ledger.findings_open().expect("read"), open);
        for finding in &findings {
            let one = ledger.finding(&finding.key).expect("read");
            assert_eq!(one.as_ref(), Some(finding));
        }
        Contents {
            minutes: stored.into_iter().map(|one| ((one.minute, one.source), one.rows)).collect(),
            progresses: progresses.into_iter().collect(),
            findings: findings.into_iter().map(|one| (one.key, one)).collect(),
            archived: samples::archived_findings(ledger).expect("read").into_iter().rev().collect(),
            deliveries: ledger
                .deliveries(samples::DESTINATION, Second(0))
                .expect("read")
                .into_iter()
                .map(|one| (one.id, one))
                .collect(),
            next_delivery: ledger.next_delivery().0,
            waiting: ledger.waiting(Second(i64::MAX), usize::MAX).expect("read").into_iter().collect(),
            seen: ledger.seen().expect("read").days().map(|(key, days)| (*key, *days)).collect(),
            shown: ledger.shown(samples::DESTINATION, INCIDENTS.map(IncidentKey)).expect("read").into_iter().collect(),
        }
    }

    fn commit(&mut self, commit: &Commit) {
        for stored in &commit.expired {
            if let Some(rows) = self.minutes.get_mut(&(stored.minute, stored.source)) {
                rows.retain(|key, _| !stored.rows.contains_key(key));
            }
        }
        for log in &commit.logs {
            for (minute, rows) in &log.minutes {
                self.minutes.entry((*minute, log.source)).or_default().extend(rows.clone());
            }
            self.progresses.insert(log.source, log.progress.clone());
        }
        self.minutes.retain(|_, rows| !rows.is_empty());
        let archived = commit.archived.iter().filter_map(|key| self.findings.remove(key));
        self.archived.extend(archived);
        for finding in &commit.findings {
            self.findings.insert(finding.key, finding.clone());
        }
        for delivery in &commit.deliveries {
            self.deliveries.insert(delivery.id, delivery.clone());
        }
        self.drop_settled();
        self.next_delivery = commit.next_delivery.0;
        self.waiting.retain(|group| !commit.judged.contains(group));
        self.waiting.extend(commit.waiting.iter().cloned());
        self.seen.retain(|key, _| !commit.seen.forgotten.contains(key));
        self.seen.extend(commit.seen.days.iter().copied());
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
        for change in &settlement.shown {
            match &change.shown {
                Some(shown) => drop(self.shown.insert(change.incident, shown.clone())),
                None => drop(self.shown.remove(&change.incident)),
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
    expired: Vec<(u32, i64, Rows)>,
    findings: BTreeMap<u64, u64>,
    archived: Vec<u64>,
    deliveries: Vec<(u64, u64)>,
    waiting: Vec<(i64, u64)>,
    judged: Vec<(i64, u64)>,
    /// The last day of each group, or `None` where it is forgotten.
    seen: BTreeMap<u64, Option<i64>>,
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
        let archived = self.archived.into_iter().filter(|n| !self.findings.contains_key(n));
        let archived = archived.collect::<BTreeSet<u64>>().into_iter().map(samples::finding_key).collect();
        let findings = self.findings.into_iter().map(|(n, s)| samples::finding(n, s)).collect();
        let expired = self.expired.into_iter().map(|(source, minute, rows)| StoredMinute {
            source: SourceId(source),
            minute: Minute(minute),
            rows,
        });
        // What a commit writes is never among what it deletes.
        let expired = expired.filter(|one| one.source != source || !self.minutes.contains_key(&one.minute.0));
        let expired = expired.collect();
        let minutes = self.minutes.into_iter().map(|(m, r)| (Minute(m), r));
        let commit = samples::with_rows(samples::commit(source, log, self.cursor, next), minutes);
        let group = |(until, n)| WaitingGroup { until: Second(until), key: samples::count_key(n) };
        let waiting = self.waiting.into_iter().map(group).collect();
        let judged = self.judged.into_iter().map(group).collect();
        let mut seen = SeenChange::default();
        for (n, last) in self.seen {
            match last {
                Some(last) => seen.days.push((SeenKey(n), samples::seen_days(last))),
                None => seen.forgotten.push(SeenKey(n)),
            }
        }
        Commit { expired, findings, archived, deliveries, waiting, judged, seen, ..commit }
    }
}

fn some_rows() -> impl Strategy<Value = Rows> {
    (0_u16..6, 0_u64..5, prop_oneof![3 => Just(0_u64), 1 => 1_u64..20])
        .prop_map(|(n, count, texts)| samples::rows(n.into(), count, texts))
}

fn commits() -> impl Strategy<Value = UnnumberedCommit> {
    // Around the end of an hour.
    let minutes = proptest::collection::btree_map(47_i64..53, some_rows(), 0..4);
    let expired = proptest::collection::vec((0_u32..3, 47_i64..53, some_rows()), 0..3);
    let findings = proptest::collection::btree_map(0_u64..6, 0_u64..20, 0..3);
    let archived = proptest::collection::vec(0_u64..6, 0..2);
    let deliveries = proptest::collection::vec((prop_oneof![0_u64..3, 0_u64..150], 0_u64..3), 0..3);
    let groups = || proptest::collection::vec((-3_i64..3, 0_u64..3), 0..3);
    let seen = proptest::collection::btree_map(0_u64..5, proptest::option::weighted(0.7, 0_i64..5), 0..3);
    (0_u32..3, -500_i64..500, minutes, expired, findings, archived, deliveries, groups(), groups(), seen).prop_map(
        |(log, cursor, minutes, expired, findings, archived, deliveries, waiting, judged, seen)| UnnumberedCommit {
            log,
            cursor,
            minutes,
            expired,
            findings,
            archived,
            deliveries,
            waiting,
            judged,
            seen,
        },
    )
}

fn settlements() -> impl Strategy<Value = Settlement> {
    let entries = proptest::collection::vec((0_u64..12, 0_u64..4), 0..8);
    let notices = proptest::collection::vec((0_u64..12, 0_u64..3), 0..8);
    let shown = proptest::collection::vec((0_u64..12, 0_i64..3, proptest::bool::weighted(0.7)), 0..4);
    let shown_change = |(n, at, is_known)| match samples::shown_change(n, at) {
        change if is_known => change,
        change => ShownChange { shown: None, ..change },
    };
    (entries, notices, shown).prop_map(move |(entries, notices, shown)| Settlement {
        entries: entries.into_iter().map(|(id, n)| (DeliveryId(id), samples::entry(n))).collect(),
        notices: notices.into_iter().map(|(id, n)| (DeliveryId(id), samples::notice(n))).collect(),
        shown: shown.into_iter().map(shown_change).collect(),
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
        for place in &Place::each() {
            let mut ledger = place.open().expect("a new ledger");
            let mut model = Contents::default();
            for step in steps.clone() {
                match step {
                    Step::Commit(commit) => {
                        let mut commit = commit.into_commit(&ledger);
                        model.commit(&commit);
                        ledger.commit_window(&mut commit, &[]).expect("written");
                    }
                    Step::Settle(settlement) => {
                        ledger.settle_delivery(&settlement, &[]).expect("written");
                        model.settle(&settlement);
                    }
                    Step::Reopen => {
                        drop(ledger);
                        ledger = place.open().expect("free again");
                    }
                }
                prop_assert_eq!(&Contents::of(&ledger), &model);
            }
            drop(ledger);
            let ledger = place.open().expect("free again");
            prop_assert_eq!(&Contents::of(&ledger), &model);
            prop_assert_eq!(ledger.blobs().expect("listed"), 0);
        }
    }
}

/// Returns the rows of group `n`, of all rules and sources, in the minutes.
fn kept(ledger: &Ledger, earliest: i64, latest: i64, n: u64) -> Vec<StoredMinute> {
    let key = samples::count_key(n);
    let span = Window::new(Minute(earliest).start(), Minute(latest).start()).expect("not empty");
    ledger.rows_of_groups(&HashSet::from([&key]), &HashMap::from([(key.rule, span)])).expect("read")
}

#[test]
fn only_the_rows_that_are_asked_for_are_returned_in_order() {
    for place in &Place::each() {
        let ledger = place.open().expect("a new ledger");
        ledger.commit_window(&mut samples::full_commit(), &[]).expect("written");
        let second = samples::log(1);
        let source = ledger.source_id_for(&second).expect("an id is free");
        let commit = samples::commit(source, second, 1, ledger.next_delivery());
        ledger
            .commit_window(&mut samples::with_rows(commit, [(Minute(0), samples::rows(9, 1, 0))]), &[])
            .expect("written");

        let only = |minute, source, n, key, texts| StoredMinute {
            source: SourceId(source),
            minute: Minute(minute),
            rows: Rows::from([(samples::count_key(key), samples::tally(n, texts))]),
        };
        let first = [only(-1, 0, 1, 0, 0), only(0, 0, 2, 0, 1), only(0, 1, 9, 0, 0), only(1, 0, 3, 0, 20)];
        assert_eq!(kept(&ledger, -5, 5, 0), first);
        assert_eq!(kept(&ledger, 0, 1, 0), first[1..3]);
        assert_eq!(kept(&ledger, -5, 5, 2), [only(0, 0, 2, 2, 1)]);
        assert_eq!(kept(&ledger, i64::MIN / 60, i64::MAX / 60, 77), []);
        let of_source = |source, earliest, latest| {
            ledger
                .rows_of_source(SourceId(source), Minute(earliest), Minute(latest), |key| *key == samples::count_key(0))
                .expect("read")
        };
        assert_eq!(of_source(0, -5, 5), [first[0].clone(), first[1].clone(), first[3].clone()]);
        assert_eq!(of_source(1, -5, 5), first[2..3]);
        assert_eq!(of_source(0, 1, 1), []);
    }
}

#[test]
fn the_oldest_rows_come_in_whole_hours_where_that_is_possible() {
    for place in &Place::each() {
        let ledger = place.open().expect("a new ledger");
        // Hours begin at minute 50.
        let minutes = [-11, -10, 49, 50].map(|minute| (Minute(minute), samples::rows(1, 2, 0)));
        let commit = samples::commit(SourceId(0), samples::log(0), 60, DeliveryId(0));
        ledger.commit_window(&mut samples::with_rows(commit, minutes), &[]).expect("written");
        let oldest = |before, rows_max| {
            let needed = NeededRows { all_from: Minute(before), near_from: Minute(before), far_rules: &HashSet::new() };
            let oldest = ledger.oldest_rows(&needed, rows_max).expect("read");
            let rows = oldest.minutes.iter().map(|one| (one.minute.0, one.rows.len())).collect::<Vec<_>>();
            (rows, oldest.others_from.0)
        };
        assert_eq!(oldest(110, 100), (vec![(-11, 2), (-10, 2), (49, 2), (50, 2)], 110));
        assert_eq!(oldest(109, 100), (vec![(-11, 2), (-10, 2), (49, 2)], 50));
        assert_eq!(oldest(110, 3), (vec![(-11, 2)], -10));
        assert_eq!(oldest(110, 1), (vec![(-11, 1)], -70));
        assert_eq!(oldest(-11, 100), (Vec::new(), -70));
    }
}

/// One rule that counts over days does not keep the rows of the others.
#[test]
fn rows_of_rules_that_reach_far_stay_when_the_others_leave() {
    for place in &Place::each() {
        let ledger = place.open().expect("a new ledger");
        let all = samples::rows(1, 3, 0);
        let far_rule = all.keys().next().expect("a row").rule;
        let far_rules = HashSet::from([far_rule]);
        let far = all.keys().filter(|key| key.rule == far_rule).count();
        assert!(far < all.len(), "rows of several rules");
        let minutes = [0, 60, 120].map(|minute| (Minute(minute), all.clone()));
        let commit = samples::commit(SourceId(0), samples::log(0), 60, DeliveryId(0));
        ledger.commit_window(&mut samples::with_rows(commit, minutes), &[]).expect("written");
        let expire = |all_from, near_from| {
            let needed = NeededRows { all_from: Minute(all_from), near_from: Minute(near_from), far_rules: &far_rules };
            let oldest = ledger.oldest_rows(&needed, 100).expect("read");
            let rows: Vec<(i64, usize)> = oldest.minutes.iter().map(|one| (one.minute.0, one.rows.len())).collect();
            let next = samples::commit(SourceId(0), samples::log(0), 61, ledger.next_delivery());
            let mut commit = Commit { expired: oldest.minutes, near_rows_from: oldest.near_from, ..next };
            ledger.commit_window(&mut commit, &[]).expect("written");
            (rows, oldest.others_from.0, oldest.near_from.0)
        };
        assert_eq!(expire(-100, 110), (vec![(0, all.len() - far), (60, all.len() - far)], -100, 110));
        assert_eq!(expire(-100, 110), (vec![], -100, 110));
        assert_eq!(expire(50, 170), (vec![(0, far), (120, all.len() - far)], 50, 170));

        // What a late read writes before that is found again.
        let late = samples::commit(SourceId(0), samples::log(0), 62, ledger.next_delivery());
        ledger.commit_window(&mut samples::with_rows(late, [(Minute(60), all.clone())]), &[]).expect("written");
        assert_eq!(expire(50, 170), (vec![(60, all.len() - far)], 50, 170));
        assert_eq!(expire(170, 170), (vec![(60, far), (120, far)], 170, 170));

        // Where a commit says that none are left, none are looked for.
        let again = samples::commit(SourceId(0), samples::log(0), 63, ledger.next_delivery());
        ledger.commit_window(&mut samples::with_rows(again, [(Minute(60), all.clone())]), &[]).expect("written");
        let none_left = samples::commit(SourceId(0), samples::log(0), 64, ledger.next_delivery());
        ledger.commit_window(&mut Commit { near_rows_from: Minute(110), ..none_left }, &[]).expect("written");
        assert_eq!(expire(-100, 110), (vec![], -100, 110));
    }
}

/// Findings are found by their groups and sources, by the end of their quiet time, and not in the archive.
#[test]
fn findings_are_found_by_group_and_by_their_end() {
    for place in &Place::each() {
        let ledger = place.open().expect("a new ledger");
        let finding = |n: u64, last: i64, is_open: bool| {
            let mut finding = samples::finding(n, 0);
            finding.episode.last = Second(last);
            finding.quiet_seconds = 10;
            finding.status = if is_open { FindingStatus::Open } else { FindingStatus::Quiet };
            finding
        };
        let findings = vec![finding(0, 100, true), finding(1, 50, true), finding(2, 30, false), finding(3, 40, false)];
        let full = samples::full_commit();
        ledger
            .commit_window(&mut Commit { findings: findings.clone(), deliveries: Vec::new(), ..full }, &[])
            .expect("written");
        let quiet = |before, max| {
            let found = ledger.findings_quiet(Second(before), max).expect("read");
            found.iter().map(|one| one.episode.last.0).collect::<Vec<_>>()
        };
        assert_eq!((quiet(60, 9), quiet(61, 9)), (vec![], vec![50]));
        assert_eq!((quiet(111, 9).len(), quiet(111, 1)), (2, vec![50]));
        let over = |before| ledger.findings_over(Second(before), 9, |_| true).expect("read");
        assert_eq!((over(30), over(31), over(41)), (vec![], findings[2..3].to_vec(), findings[2..].to_vec()));
        let group = findings[1].group.clone();
        assert_eq!(ledger.findings_of_groups(&HashSet::from([&group]), 9).expect("read"), findings[1..2]);

        // It goes on: its end is another one, and nothing remains of the old one.
        let later = finding(1, 70, true);
        let next = samples::commit(SourceId(0), samples::log(0), 61, ledger.next_delivery());
        let commit = Commit { findings: vec![later], archived: vec![findings[2].key], ..next };
        ledger.commit_window(&mut commit.clone(), &[]).expect("written");
        assert_eq!((quiet(80, 9), quiet(81, 9)), (vec![], vec![70]));
        assert_eq!(over(41), findings[3..]);
        assert_eq!(samples::archived_findings(&ledger).expect("read"), findings[2..3]);
        assert_eq!(ledger.finding(&findings[2].key).expect("read"), None);
    }
}

/// Groups wait until a second, the longest first, and those that wait for the same second beside each other.
#[test]
fn waiting_groups_are_found_by_their_end() {
    for place in &Place::each() {
        let ledger = place.open().expect("a new ledger");
        let group = |until, n| WaitingGroup { until: Second(until), key: samples::count_key(n) };
        let waiting = vec![group(-60, 1), group(100, 2), group(100, 3), group(i64::MAX - 1, 1)];
        ledger.commit_window(&mut Commit { waiting: waiting.clone(), ..samples::full_commit() }, &[]).expect("written");
        let due = |until, max| ledger.waiting(Second(until), max).expect("read");
        assert_eq!((due(-61, 9), due(-60, 9), due(99, 9)), (vec![], waiting[..1].to_vec(), waiting[..1].to_vec()));
        assert_eq!(due(100, 9).into_iter().collect::<BTreeSet<_>>(), waiting[..3].iter().cloned().collect());
        assert_eq!(due(i64::MAX, 2).len(), 2);
        assert_eq!(due(i64::MAX, 9).len(), 4);

        // One of two that wait for the same second is judged. One that is judged and waits again stays.
        let judged = vec![waiting[0].clone(), waiting[1].clone()];
        let next = samples::commit(SourceId(0), samples::log(0), 61, ledger.next_delivery());
        ledger.commit_window(&mut Commit { judged, waiting: waiting[..1].to_vec(), ..next }, &[]).expect("written");
        assert_eq!(due(100, 9), [waiting[0].clone(), waiting[2].clone()]);
    }
}

/// A server is asked for so many values at once, and no more.
#[test]
fn what_one_question_does_not_ask_for_comes_too() {
    const FINDINGS: u64 = 1_300;
    for place in &Place::each() {
        let ledger = place.open().expect("a new ledger");
        let findings: Vec<Finding> = (0..FINDINGS).map(|n| samples::finding(n, 0)).collect();
        let minutes = [(Minute(0), samples::rows(1, FINDINGS, 0))];
        let full = samples::full_commit();
        let commit = Commit { findings: findings.clone(), deliveries: Vec::new(), ..full };
        ledger.commit_window(&mut samples::with_rows(commit, minutes), &[]).expect("written");
        let mut found = Vec::new();
        ledger.each_finding_after(None, usize::MAX, |finding| found.push(finding)).expect("read");
        found.sort_by_key(|finding| finding.key);
        let expected: Vec<Finding> = findings.iter().rev().cloned().collect();
        assert_eq!(found, expected, "a range");
        let groups: HashSet<_> = findings.iter().map(|finding| &finding.group).collect();
        assert_eq!(ledger.findings_of_groups(&groups, 9).expect("read"), expected, "many ranges and many keys");
        assert_eq!(ledger.findings_quiet(Second(i64::MAX), 700).expect("read").len(), 700);

        // They leave, and their keys with them.
        let archived = findings.iter().map(|finding| finding.key).collect();
        let next = samples::commit(SourceId(0), samples::log(0), 61, ledger.next_delivery());
        ledger.commit_window(&mut Commit { archived, ..next }, &[]).expect("written");
        assert_eq!(ledger.findings_of_groups(&groups, 9).expect("read"), []);
        assert_eq!(samples::archived_findings(&ledger).expect("read"), expected);
    }
}
