//! What a destination accepted is no longer pending; the rest is.

use stakeout_core::commit::Commit;
use stakeout_core::delivery::{Delivery, DeliveryId, Settlement};
use stakeout_core::finding::Finding;
use stakeout_core::incident::{Actor, IncidentKey};
use stakeout_core::incident_key::IncidentPart;
use stakeout_core::shown::{SHOWN_SECONDS_MAX, ShownChange};
use stakeout_core::source::SourceId;
use stakeout_core::time::Second;
use stakeout_ledger::Ledger;

use crate::place::Place;
use crate::samples;

#[test]
fn a_delivery_is_settled_piece_by_piece_and_then_deleted() {
    for place in &Place::each() {
        let ledger = place.open().expect("a new ledger");
        ledger.commit_window(&mut samples::full_commit(), &[]).expect("written");
        let other = samples::delivery(1, 100, 0);

        let one_entry = Settlement {
            entries: vec![(DeliveryId(0), samples::entry(0))],
            notices: vec![(DeliveryId(0), samples::notice(44))],
            ..Settlement::default()
        };
        ledger.settle_delivery(&one_entry, &[]).expect("written");
        let left = Delivery { entries: vec![samples::entry(1)], ..samples::delivery(0, 2, 1) };
        let pending = || ledger.deliveries(samples::DESTINATION, Second(0)).expect("read");
        assert_eq!(pending(), [left.clone(), other.clone()]);

        ledger.settle_delivery(&one_entry, &[]).expect("settled twice is settled");
        assert_eq!(pending(), [left, other.clone()]);

        let rest = Settlement {
            entries: vec![(DeliveryId(0), samples::entry(1))],
            notices: vec![(DeliveryId(0), samples::notice(0))],
            ..Settlement::default()
        };
        ledger.settle_delivery(&rest, &[]).expect("written");
        assert_eq!(pending(), [other]);
        ledger.settle_delivery(&Settlement::default(), &[]).expect("nothing to do");
        ledger.settle_delivery(&rest, &[]).expect("unknown is settled");
        assert_eq!(ledger.next_delivery(), DeliveryId(2));
    }
}

/// What is shown of an incident is known until its findings go to the archive, however often they are written.
#[test]
fn what_is_shown_leaves_with_the_findings_of_the_incident() {
    for place in &Place::each() {
        let ledger = place.open().expect("a new ledger");
        let part = IncidentPart { opening: Second(7), quiet_since: Second(9) };
        let finding = Finding { incident: Some(part), ..samples::finding(1, 0) };
        let incident = Actor::incident_of(&finding).expect("it is a part of one");
        let write = |findings: Vec<Finding>, archived| {
            let next = samples::commit(SourceId(0), samples::log(0), 61, ledger.next_delivery());
            ledger.commit_window(&mut Commit { findings, archived, ..next }, &[]).expect("written");
        };
        let known = |destination| ledger.shown(destination, [incident]).expect("read").remove(&incident);
        write(vec![finding.clone()], Vec::new());
        let shown = ShownChange { incident, ..samples::shown_change(1, 5) };
        let others = ShownChange { destination: "bus".to_owned(), ..shown.clone() };
        settle_shown(&ledger, vec![shown.clone(), others.clone()]);
        write(vec![finding.clone()], Vec::new());
        assert_eq!(
            [known(samples::DESTINATION), known("bus"), known("other")],
            [shown.shown.clone(), others.shown, None]
        );

        ledger.move_pending("bus", "other").expect("moved");
        assert_eq!([known("bus"), known("other")], [None, shown.shown]);
        write(Vec::new(), vec![finding.key]);
        assert_eq!([known(samples::DESTINATION), known("other")], [None, None]);
        let left = ledger.live_bytes().expect("read").into_iter().find(|(kind, ..)| kind == "shown incidents");
        assert_eq!(left, None, "no key is left");
    }
}

/// What nothing deletes is deleted when it is old, by the records that are written later.
#[test]
fn what_is_shown_does_not_grow_forever() {
    for place in &Place::each() {
        let ledger = place.open().expect("a new ledger");
        let days = |n: u64| i64::try_from(n).expect("few") * 86_400;
        for n in 0..600 {
            settle_shown(&ledger, vec![samples::shown_change(n, days(n))]);
        }
        let known = ledger.shown(samples::DESTINATION, (0..600).map(IncidentKey)).expect("read");
        let kept = u64::try_from(SHOWN_SECONDS_MAX / 86_400).expect("few");
        let recent = (600 - kept - 1..600).filter(|n| known.contains_key(&IncidentKey((*n).into()))).count();
        assert_eq!(recent as u64, kept + 1, "what is recent stays");
        assert!(known.len() < 150, "{} records for {kept} days", known.len());
    }
}

fn settle_shown(ledger: &Ledger, shown: Vec<ShownChange>) {
    ledger.settle_delivery(&Settlement { shown, ..Settlement::default() }, &[]).expect("written");
}
