//! One window, whatever the order of its records and however often each comes: the same commit, samples included.

use proptest::collection::vec;
use proptest::prelude::*;
use stakeout_core::fold::Limits;

use super::{Record, close, records};

/// Records, and the same ones in another order, some of them again, with the same time or a later one.
fn reordered() -> impl Strategy<Value = (Vec<Record>, Vec<Record>)> {
    records(1..120, 3500).prop_flat_map(|records| {
        let again = vec((any::<prop::sample::Index>(), prop_oneof![2 => Just(0_i64), 1 => 1_i64..90]), 0..40);
        (Just(records), again).prop_flat_map(|(records, again)| {
            let copies = again.iter().map(|(index, later)| {
                let record = index.get(&records);
                Record { at: record.at + later, ..record.clone() }
            });
            let more: Vec<Record> = records.iter().cloned().chain(copies).collect();
            (Just(records), Just(more).prop_shuffle())
        })
    })
}

proptest! {
    #![proptest_config(crate::cases(300))]

    #[test]
    fn neither_order_nor_repetition_changes_a_commit((records, reordered) in reordered()) {
        let (one, other) = (close(&records, Limits::default()), close(&reordered, Limits::default()));
        prop_assert_eq!(&one.commit, &other.commit);
        prop_assert_eq!(one.counts().matched, other.counts().matched);
        prop_assert_eq!(other.counts().observed, reordered.len() as u64);
    }

    /// Where there are more rows than may be stored, the same ones are left out.
    #[test]
    fn neither_changes_which_rows_are_left_out((records, reordered) in reordered(), rows_max in 1_usize..20) {
        let limits = Limits { rows_max, ..Limits::default() };
        let (one, other) = (close(&records, limits), close(&reordered, limits));
        prop_assert_eq!(&one.commit, &other.commit);
        prop_assert!(one.notices().eq(other.notices()));
    }
}
