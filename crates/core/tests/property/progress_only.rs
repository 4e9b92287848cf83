//! A commit without a window: the same as that of a window in which no request came.

use proptest::prelude::*;
use stakeout_core::fold::{self, CloseInput, Limits};
use stakeout_core::hash::HashKey;
use stakeout_core::tally::StoredMinute;
use stakeout_core::time::{Second, Window};

use super::{BEGIN, close, records, rules, source};

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
        let minutes: Vec<StoredMinute> = before
            .minutes
            .into_iter()
            .map(|(minute, rows)| StoredMinute { source: before.source, minute, rows })
            .collect();
        let input = CloseInput {
            expired: minutes[..expired.min(minutes.len())].to_vec(),
            minutes,
            findings,
            ..CloseInput::nothing(source().log, Second(BEGIN + read_until))
        };
        let (limits, now) = (Limits::default(), jiff::Timestamp::UNIX_EPOCH);
        let window = Window::new(Second(BEGIN + 3600), Second(BEGIN + 7200)).expect("not empty");
        let empty = fold::open(rules(), window, false, HashKey([7; 16]), limits);
        let empty = empty.close(&source(), input.clone(), now);
        let progress = fold::close_progress(&rules(), &limits, &source(), input, now);
        prop_assert_eq!(empty.commit, progress.commit);
        prop_assert_eq!(empty.changes, progress.changes);
    }
}
