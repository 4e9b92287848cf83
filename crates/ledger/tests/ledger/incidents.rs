//! What incidents need of the ledger: the findings of their actors, and deliveries that are held.

use std::collections::BTreeSet;
use std::sync::Arc;

use stakeout_core::address::SourceIp;
use stakeout_core::commit::Commit;
use stakeout_core::delivery::{Delivery, DeliveryId, Entry, Settlement};
use stakeout_core::distinct::Distinct;
use stakeout_core::evidence::Evidence;
use stakeout_core::finding::{Finding, FindingKey};
use stakeout_core::group::{GroupKey, GroupValue};
use stakeout_core::incident::{Actor, IncidentKey};
use stakeout_core::rule::RuleHead;
use stakeout_core::source::SourceId;
use stakeout_core::time::Second;

use crate::place::Place;
use crate::samples;

/// Incidents find the findings of an actor, and those of accounts that list an address among few.
#[test]
fn findings_are_found_by_the_actors_of_incidents() {
    for place in &Place::each() {
        let ledger = place.open().expect("a new ledger");
        let source = |host: u8| SourceIp::of([192, 0, 2, host].into());
        let mut finding = samples::finding(0, 0);
        let mut head = RuleHead::clone(&finding.rule);
        head.group_by = vec!["user.username".to_owned()];
        finding.rule = Arc::new(head);
        finding.group = GroupKey(vec![GroupValue::Text("jane".to_owned())]);
        finding.sources = Distinct::default();
        let of = |hosts: std::ops::RangeInclusive<u8>| {
            let mut finding = finding.clone();
            hosts.for_each(|host| {
                finding.sources.add(source(host));
            });
            finding
        };
        let write = |findings: Vec<Finding>, archived: Vec<FindingKey>| {
            let next = samples::commit(SourceId(0), samples::log(0), 61, ledger.next_delivery());
            ledger.commit_window(&mut Commit { findings, archived, ..next }, &[]).expect("written");
        };
        let found = |actor| ledger.findings_of_actors(&BTreeSet::from([actor])).expect("read");
        let jane = || Actor::Account { cluster: None, name: "jane".to_owned() };

        write(vec![of(1..=2)], Vec::new());
        assert_eq!([found(jane()), found(Actor::Address(source(2)))], [vec![of(1..=2)], vec![of(1..=2)]]);
        assert_eq!(found(Actor::Address(source(3))), []);
        let bare = ledger.findings_of_actors_without_evidence(&BTreeSet::from([jane()])).expect("read");
        assert_eq!(bare, [Finding { evidence: Evidence::default(), context: None, ..of(1..=2) }]);
        assert_ne!(bare, found(jane()), "there was evidence");
        write(vec![of(2..=3)], Vec::new());
        assert_eq!(found(Actor::Address(source(1))), [], "it lists another one now");
        assert_eq!(found(Actor::Address(source(3))), [of(2..=3)]);
        write(vec![of(1..=17)], Vec::new());
        assert_eq!(found(Actor::Address(source(3))), [], "an exit of many people");
        write(vec![of(2..=3)], Vec::new());
        write(Vec::new(), vec![finding.key]);
        assert_eq!([found(jane()), found(Actor::Address(source(3)))], [vec![], vec![]]);
        let left = ledger.live_bytes().expect("read").into_iter().find(|(kind, ..)| kind == "findings by incident");
        assert_eq!(left, None, "no key is left");
    }
}

/// What is held for the digest of a day is not pending before the day is over.
#[test]
fn a_held_delivery_is_not_pending_before_its_time() {
    for place in &Place::each() {
        let entry = Entry { incident: Some(IncidentKey(7)), ..samples::entry(1) };
        let held = Delivery { held_until: Some(Second(100)), entries: vec![entry], ..samples::delivery(0, 0, 0) };
        let next = samples::commit(SourceId(0), samples::log(0), 61, DeliveryId(0));
        let commit = Commit { deliveries: vec![held.clone()], next_delivery: DeliveryId(1), ..next };
        let ledger = place.open().expect("a new ledger");
        ledger.commit_window(&mut commit.clone(), &[]).expect("written");
        drop(ledger);
        let ledger = place.open().expect("it opens again");
        let pending = |now| ledger.deliveries(samples::DESTINATION, Second(now)).expect("read");
        assert_eq!([pending(99), pending(100)], [vec![], vec![held]]);
        let known = || ledger.stored().expect("read").held[samples::DESTINATION].len();
        assert_eq!((known(), ledger.is_reported(entry.finding).expect("read")), (1, false));
        let settlement = Settlement { entries: vec![(DeliveryId(0), entry)], ..Settlement::default() };
        ledger.settle_delivery(&settlement, &[]).expect("settled");
        assert_eq!((known(), pending(100), ledger.is_reported(entry.finding).expect("read")), (0, vec![], true));
    }
}
