//! A commit without a window: the same as that of a window in which no request came.

use proptest::prelude::*;
use stakeout_core::fold::{self, CloseInput, Limits};
use stakeout_core::hash::HashKey;
use stakeout_core::time::{Second, Window};

use super::{BEGIN, close, close_input, records, rules, source, stored};

proptest! {
    #![proptest_config(crate::cases(300))]

    #[test]
    fn progress_closes_as_a_window_without_requests_does(
        records in records(1..120, 3500),
        reported in 0_usize..120,
        expired in 0_usize..60,
        read_until in 0_i64..7200,
    ) {
        let before = close(&records, Limits::default()).commit;
        // Some findings lag behind the stored minutes: they must catch up before their minutes expire.
        let findings = close(&records[..reported.min(records.len())], Limits::default()).commit.findings;
        let minutes = stored(&before);
        let window = Window::new(Second(BEGIN + 3600), Second(BEGIN + 7200)).expect("not empty");
        let input = |window| CloseInput {
            expired: minutes[..expired.min(minutes.len())].to_vec(),
            findings: findings.clone(),
            ..CloseInput::alone(source(), window, minutes.clone(), Second(BEGIN + read_until))
        };
        let empty = fold::open(rules(), window, false, HashKey([7; 16]), Limits::default()).count();
        let empty = close_input(input(Some(empty)), Limits::default());
        let progress = close_input(input(None), Limits::default());
        prop_assert_eq!(&empty.commit, &progress.commit);
        prop_assert_eq!(empty.changes, progress.changes);
    }
}
