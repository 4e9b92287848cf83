//! Commits the line of a day: the day and the pending deliveries of its line are one batch, so no kill sends it twice or loses it.

use stakeout_core::commit::Commit;
use stakeout_core::day_report::DayReport;
use stakeout_core::delivery::{Delivery, DeliveryId};
use stakeout_core::notice::{Notice, NoticeKind};
use stakeout_ledger::{Ledger, LedgerError};

use super::DayLine;

/// Commits the line, unless this day or a later one was reported. Returns whether it did.
pub(super) fn report(ledger: &Ledger, line: DayLine) -> Result<bool, LedgerError> {
    ledger.alone(|ledger| report_alone(ledger, line))
}

fn report_alone(ledger: &Ledger, line: DayLine) -> Result<bool, LedgerError> {
    let DayLine { day, report, destinations } = line;
    let (reported, notices) = ledger.day_reported()?;
    if reported >= Some(day) {
        return Ok(false);
    }
    let kind = NoticeKind::Day(DayReport { notices, ..report });
    let notice = Notice { source: String::new(), cluster: String::new(), window: day.window(), kind };
    let first = ledger.next_delivery();
    let delivery = |(id, destination)| Delivery {
        id: DeliveryId(id),
        destination,
        held_until: None,
        entries: Vec::new(),
        notices: vec![notice.clone()],
    };
    let deliveries: Vec<Delivery> = (first.0..).zip(destinations).map(delivery).collect();
    let next = DeliveryId(first.0 + deliveries.len() as u64);
    ledger.commit_window(&mut Commit { deliveries, day_reported: Some(day), ..Commit::empty(next) }, &[])?;
    Ok(true)
}
