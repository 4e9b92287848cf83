//! What a destination accepted is no longer pending; the rest is.

use stakeout_core::delivery::{Delivery, DeliveryId, Settlement};
use stakeout_core::time::Second;
use stakeout_ledger::Ledger;

use crate::samples;

#[test]
fn a_delivery_is_settled_piece_by_piece_and_then_deleted() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let ledger = Ledger::open(dir.path()).expect("a new ledger");
    ledger.commit_window(&mut samples::full_commit()).expect("written");
    let other = samples::delivery(1, 100, 0);

    let one_entry = Settlement {
        entries: vec![(DeliveryId(0), samples::entry(0))],
        notices: vec![(DeliveryId(0), samples::notice(44))],
    };
    ledger.settle_delivery(&one_entry).expect("written");
    let left = Delivery { entries: vec![samples::entry(1)], ..samples::delivery(0, 2, 1) };
    let pending = || ledger.deliveries(samples::DESTINATION, Second(0)).expect("read");
    assert_eq!(pending(), [left.clone(), other.clone()]);

    ledger.settle_delivery(&one_entry).expect("settled twice is settled");
    assert_eq!(pending(), [left, other.clone()]);

    let rest = Settlement {
        entries: vec![(DeliveryId(0), samples::entry(1))],
        notices: vec![(DeliveryId(0), samples::notice(0))],
    };
    ledger.settle_delivery(&rest).expect("written");
    assert_eq!(pending(), [other]);
    ledger.settle_delivery(&Settlement::default()).expect("nothing to do");
    ledger.settle_delivery(&rest).expect("unknown is settled");
    assert_eq!(ledger.next_delivery(), DeliveryId(2));
}
