//! What the daemon counts, by the names that Prometheus sees. No label ever holds text from an event.

use std::collections::HashMap;

use metrics::{counter, describe_counter, describe_gauge, gauge};
use stakeout_core::delivery::Activity;
use stakeout_core::finding::FindingKey;
use stakeout_core::fold::Closed;
use stakeout_core::notice::{Notice, NoticeKind};
use stakeout_core::progress::Progress;
use stakeout_notify::destination::Destination;

use crate::scan::Cost;

/// Says what each metric means.
pub(crate) fn describe() {
    describe_counter!("stakeout_windows_total", "Windows that were read and committed.");
    describe_counter!("stakeout_windows_failed_total", "Attempts to read a window that failed.");
    describe_counter!("stakeout_gaps_total", "Windows that could not be read and were passed over.");
    describe_counter!("stakeout_pages_total", "Pages that providers answered.");
    describe_counter!("stakeout_records_total", "Records that providers returned.");
    describe_counter!("stakeout_record_bytes_total", "Bytes of record text.");
    describe_counter!("stakeout_throttled_total", "Answers that asked for fewer requests.");
    describe_counter!("stakeout_retried_total", "Requests that failed and were tried again.");
    describe_counter!("stakeout_window_splits_total", "Parts of windows that were halved for a whole answer.");
    describe_counter!("stakeout_records_undecodable_total", "Records that are no audit event.");
    describe_counter!("stakeout_records_truncated_total", "Records that were cut off or damaged.");
    describe_counter!("stakeout_requests_matched_total", "Requests that some rule counted.");
    describe_counter!("stakeout_requests_unattributed_total", "Requests that fit a rule but name no address.");
    describe_counter!("stakeout_requests_over_limit_total", "Requests beyond the limits, told as a sum only.");
    describe_counter!("stakeout_rows_retained_total", "Stored counts that a re-read found fewer requests for.");
    describe_counter!("stakeout_findings_total", "Findings by rule and activity.");
    describe_counter!("stakeout_messages_total", "Messages by destination and outcome.");
    describe_counter!("stakeout_reloads_total", "Reloads of the config by outcome.");
    describe_gauge!("stakeout_cursor_timestamp_seconds", "All before it was read, or is a recorded gap.");
    describe_gauge!("stakeout_silent_windows", "Windows in a row without any record.");
    describe_gauge!("stakeout_messages_pending", "Messages that a destination is still owed.");
    describe_gauge!("stakeout_state_bytes", "Bytes of the state on the disk.");
    describe_gauge!("stakeout_state_blobs", "Values that the state put aside into files; it must stay 0.");
    describe_gauge!("stakeout_build_info", "The version that runs.");
    gauge!("stakeout_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1);
}

/// Counts a window that was committed.
pub(crate) fn window(source: &str, cost: &Cost, closed: &Closed) {
    let source = source.to_owned();
    let counts = &closed.counts;
    for (name, n) in [
        ("stakeout_windows_total", 1),
        ("stakeout_pages_total", cost.pages),
        ("stakeout_records_total", cost.records),
        ("stakeout_record_bytes_total", cost.bytes),
        ("stakeout_throttled_total", cost.throttled),
        ("stakeout_retried_total", cost.retried),
        ("stakeout_window_splits_total", cost.halved),
        ("stakeout_records_undecodable_total", cost.undecodable),
        ("stakeout_records_truncated_total", cost.truncated),
        ("stakeout_requests_matched_total", counts.matched),
        ("stakeout_requests_unattributed_total", counts.unattributed),
        ("stakeout_requests_over_limit_total", counts.beyond_limit),
        ("stakeout_rows_retained_total", closed.rows_retained),
    ] {
        counter!(name, "source" => source.clone()).increment(n);
    }
    let changes: HashMap<FindingKey, Activity> = closed.changes.iter().copied().collect();
    for finding in &closed.commit.findings {
        let activity = match changes.get(&finding.key) {
            Some(Activity::Create) => "create",
            Some(Activity::Update) => "update",
            Some(Activity::Close) => "close",
            None => continue,
        };
        counter!("stakeout_findings_total", "rule" => finding.rule.name.clone(), "activity" => activity).increment(1);
    }
}

/// Shows how far a source was read.
pub(crate) fn progress(source: &str, progress: &Progress) {
    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are far below 2^52")]
    gauge!("stakeout_cursor_timestamp_seconds", "source" => source.to_owned()).set(progress.cursor.0 as f64);
    gauge!("stakeout_silent_windows", "source" => source.to_owned()).set(progress.silent_windows);
}

/// Shows how large the state is.
#[expect(clippy::cast_precision_loss, reason = "a state of 2^52 bytes is not expected")]
pub(crate) fn state(bytes: u64, blobs: usize) {
    gauge!("stakeout_state_bytes").set(bytes as f64);
    gauge!("stakeout_state_blobs").set(blobs as f64);
}

/// Counts a window that could not be read.
pub(crate) fn failed(source: &str) {
    counter!("stakeout_windows_failed_total", "source" => source.to_owned()).increment(1);
}

/// Counts what there is to tell of the watch itself.
pub(crate) fn notice(notice: &Notice) {
    if let NoticeKind::Gap { .. } = notice.kind {
        counter!("stakeout_gaps_total", "source" => notice.source.clone()).increment(1);
    }
}

/// Counts a message.
pub(crate) fn delivery(destination: &Destination, taken: bool) {
    let outcome = if taken { "taken" } else { "failed" };
    counter!("stakeout_messages_total", "destination" => destination.name().to_owned(), "outcome" => outcome)
        .increment(1);
}

/// Shows how many messages a destination is still owed.
pub(crate) fn owed(destination: &Destination, messages: usize) {
    let messages = u32::try_from(messages).unwrap_or(u32::MAX);
    gauge!("stakeout_messages_pending", "destination" => destination.name().to_owned()).set(messages);
}

/// Counts a reload of the config.
pub(crate) fn reload(done: bool) {
    let outcome = if done { "done" } else { "refused" };
    counter!("stakeout_reloads_total", "outcome" => outcome).increment(1);
}
