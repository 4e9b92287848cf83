//! The metrics of the daemon, with their Prometheus names. A label never holds text from an event.

use std::collections::{HashMap, HashSet};

use metrics::{counter, describe_counter, describe_gauge, gauge};
use stakeout_core::delivery::Activity;
use stakeout_core::finding::FindingKey;
use stakeout_core::fold::{Closed, FoldCounts, Stored};
use stakeout_core::notice::{Notice, NoticeKind};
use stakeout_core::progress::Progress;
use stakeout_notify::destination::Destination;

use crate::config::Config;
use crate::scan::ScanCost;
use crate::stranded::Stranded;

/// Describes each metric.
pub(crate) fn describe() {
    describe_counter!("stakeout_windows_total", "Windows that were read and committed.");
    describe_counter!("stakeout_windows_failed_total", "Failed attempts to read a window.");
    describe_counter!(
        "stakeout_gaps_total",
        "Windows that could not be read and were skipped, or that were read without some files or seconds."
    );
    describe_counter!("stakeout_pages_total", "Pages that providers returned.");
    describe_counter!("stakeout_records_total", "Records that providers returned.");
    describe_counter!("stakeout_record_bytes_total", "Bytes of record text that providers returned.");
    describe_counter!("stakeout_throttled_total", "Requests that a provider throttled.");
    describe_counter!("stakeout_retried_total", "Failed requests that were retried.");
    describe_counter!(
        "stakeout_window_splits_total",
        "Number of times a window was split because the provider truncated its answer."
    );
    describe_counter!("stakeout_records_undecodable_total", "Records that are not audit events.");
    describe_counter!("stakeout_records_truncated_total", "Records that were cut off or damaged.");
    describe_counter!("stakeout_requests_matched_total", "Requests that at least one rule counted.");
    describe_counter!("stakeout_requests_unattributed_total", "Requests that match a rule but have no source address.");
    describe_counter!(
        "stakeout_requests_over_limit_total",
        "Requests over the limits of a window, which are reported only as a total."
    );
    describe_counter!(
        "stakeout_rows_retained_total",
        "Stored rows for which a reread found fewer requests; the larger count stays."
    );
    describe_counter!("stakeout_findings_total", "Changes of findings, by rule and activity.");
    describe_counter!("stakeout_messages_total", "Messages, by destination and outcome.");
    describe_counter!("stakeout_heartbeats_total", "Signals of the heartbeat, by signal and outcome.");
    describe_counter!("stakeout_reloads_total", "Reloads of the config, by outcome.");
    describe_counter!(
        "stakeout_admin_connections_closed_total",
        "Connections to the admin page that the daemon closed because too many were open or their time was over."
    );
    describe_gauge!(
        "stakeout_cursor_timestamp_seconds",
        "Time up to which a log is read; everything earlier is read or a recorded gap."
    );
    describe_gauge!("stakeout_clusters", "Clusters that write to a log of several clusters, by source.");
    describe_gauge!("stakeout_logs_found", "Logs that a discovery found and that are read, by discovery.");
    describe_counter!(
        "stakeout_discoveries_failed_total",
        "Failed attempts to list the logs of an account and region, by discovery."
    );
    describe_gauge!("stakeout_silent_windows", "Windows in a row without a record.");
    describe_gauge!("stakeout_messages_pending", "Messages that are not sent yet, by destination.");
    describe_gauge!(
        "stakeout_messages_stranded",
        "Pending findings and notices for a destination that the config does not have, by destination."
    );
    describe_gauge!("stakeout_state_bytes", "Size of the state on the disk in bytes.");
    describe_gauge!(
        "stakeout_state_blobs",
        "Values that the state engine moved into separate files; always 0 in a healthy state."
    );
    describe_gauge!("stakeout_state_findings", "Stored findings outside of the archive.");
    describe_gauge!("stakeout_state_rows", "Stored rows (rule, group, minute).");
    describe_gauge!("stakeout_state_pending", "Pending findings, incidents and notices in the state, by destination.");
    describe_gauge!("stakeout_state_held", "Incidents that wait for the digest of the day, by destination.");
    describe_counter!("stakeout_findings_archived_total", "Findings that went to the archive.");
    describe_counter!(
        "stakeout_messages_silenced_total",
        "Changes of findings and incidents that a destination does not get because they are silenced, by destination."
    );
    describe_gauge!("stakeout_silences", "Silences in force.");
    describe_gauge!("stakeout_silences_bad", "1 while the file with silences is bad, else 0.");
    describe_counter!(
        "stakeout_messages_left_out_total",
        "Findings and notices that a destination does not get because too many are pending, by destination."
    );
    describe_gauge!("stakeout_leases", "Leases of logs and destinations that this replica holds.");
    describe_gauge!("stakeout_replicas", "Replicas that share the state and are alive, this one included.");
    describe_counter!(
        "stakeout_fenced_total",
        "Commits and settlements that were not written because another replica had taken over."
    );
    describe_gauge!("stakeout_build_info", "The running version.");
    gauge!("stakeout_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1);
}

/// Counts a committed window.
pub(crate) fn window(source: &str, cost: &ScanCost, counts: &FoldCounts, rows_retained: u64) {
    let source = source.to_owned();
    for (name, n) in [
        ("stakeout_windows_total", 1),
        ("stakeout_pages_total", cost.pages),
        ("stakeout_records_total", cost.records),
        ("stakeout_record_bytes_total", cost.bytes),
        ("stakeout_throttled_total", cost.throttled),
        ("stakeout_retried_total", cost.retried),
        ("stakeout_window_splits_total", cost.splits),
        ("stakeout_records_undecodable_total", cost.undecodable),
        ("stakeout_records_truncated_total", cost.truncated),
        ("stakeout_requests_matched_total", counts.matched),
        ("stakeout_requests_unattributed_total", counts.unattributed),
        ("stakeout_requests_over_limit_total", counts.over_limit),
        ("stakeout_rows_retained_total", rows_retained),
    ] {
        counter!(name, "source" => source.clone()).increment(n);
    }
}

/// Counts what a commit changed.
pub(crate) fn commit(closed: &Closed) {
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
    counter!("stakeout_findings_archived_total").increment(closed.commit.archived.len() as u64);
    for (destination, messages) in &closed.left_out {
        counter!("stakeout_messages_left_out_total", "destination" => destination.clone()).increment(*messages as u64);
    }
}

/// Updates the progress of a source.
pub(crate) fn progress(source: &str, progress: &Progress) {
    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are far below 2^52")]
    let cursor = progress.cursor.0 as f64;
    // No alert compares a number with what is not one: a log that is over is no log that lags.
    let cursor = if progress.retired.is_none() { cursor } else { f64::NAN };
    gauge!("stakeout_cursor_timestamp_seconds", "source" => source.to_owned()).set(cursor);
    gauge!("stakeout_silent_windows", "source" => source.to_owned()).set(progress.silent_windows);
    if !progress.clusters.is_empty() {
        let writing = progress.clusters.iter().filter(|(_, cluster)| cluster.retired.is_none()).count();
        let writing = u32::try_from(writing).unwrap_or(u32::MAX);
        gauge!("stakeout_clusters", "source" => source.to_owned()).set(writing);
    }
}

/// Updates the size of the state.
#[expect(clippy::cast_precision_loss, reason = "a state of 2^52 bytes is not expected")]
pub(crate) fn state(bytes: u64, blobs: usize, stored: &Stored) {
    gauge!("stakeout_state_bytes").set(bytes as f64);
    gauge!("stakeout_state_blobs").set(blobs as f64);
    gauge!("stakeout_state_findings").set(stored.findings as f64);
    gauge!("stakeout_state_rows").set(stored.rows as f64);
    for (destination, pending) in &stored.pending {
        let held = stored.held.get(destination).map_or(0, HashSet::len);
        gauge!("stakeout_state_pending", "destination" => destination.clone()).set(pending.saturating_sub(held) as f64);
        gauge!("stakeout_state_held", "destination" => destination.clone()).set(held as f64);
    }
}

/// Updates how many logs of a discovery are read.
pub(crate) fn logs_found(discovery: &str, logs: usize) {
    let logs = u32::try_from(logs).unwrap_or(u32::MAX);
    gauge!("stakeout_logs_found", "discovery" => discovery.to_owned()).set(logs);
}

/// Counts a failed attempt to list logs.
pub(crate) fn discovery_failed(discovery: &str) {
    counter!("stakeout_discoveries_failed_total", "discovery" => discovery.to_owned()).increment(1);
}

/// Counts a failed attempt to read a window.
pub(crate) fn window_failed(source: &str) {
    counter!("stakeout_windows_failed_total", "source" => source.to_owned()).increment(1);
}

/// Counts a notice.
pub(crate) fn notice(notice: &Notice) {
    if let NoticeKind::Gap { .. } | NoticeKind::PartialGap { .. } = notice.kind {
        counter!("stakeout_gaps_total", "source" => notice.source.clone()).increment(1);
    }
}

/// Counts messages that were sent or failed.
pub(crate) fn messages(destination: &Destination, messages: usize, is_sent: bool) {
    let outcome = if is_sent { "sent" } else { "failed" };
    counter!("stakeout_messages_total", "destination" => destination.name().to_owned(), "outcome" => outcome)
        .increment(messages as u64);
}

/// Counts changes of findings and incidents that are silenced.
pub(crate) fn messages_silenced(destination: &Destination, changes: usize) {
    let destination = destination.name().to_owned();
    counter!("stakeout_messages_silenced_total", "destination" => destination).increment(changes as u64);
}

/// Updates how many silences are in force, and whether their file is bad.
pub(crate) fn silences(in_force: usize, is_bad: bool) {
    gauge!("stakeout_silences").set(u32::try_from(in_force).unwrap_or(u32::MAX));
    gauge!("stakeout_silences_bad").set(if is_bad { 1.0 } else { 0.0 });
}

/// Updates the number of pending messages of a destination.
pub(crate) fn messages_pending(destination: &Destination, messages: usize) {
    let messages = u32::try_from(messages).unwrap_or(u32::MAX);
    gauge!("stakeout_messages_pending", "destination" => destination.name().to_owned()).set(messages);
}

/// Updates the number of stranded messages of each destination that has any, and of those in the config, which have none.
pub(crate) fn messages_stranded(config: &Config, stranded: &[Stranded]) {
    let none = config.notify.iter().map(|destination| (&destination.name, 0));
    for (destination, messages) in none.chain(stranded.iter().map(|one| (&one.destination, one.messages))) {
        let messages = u32::try_from(messages).unwrap_or(u32::MAX);
        gauge!("stakeout_messages_stranded", "destination" => destination.clone()).set(messages);
    }
}

/// Counts a signal of the heartbeat.
pub(crate) fn heartbeat(signal: &'static str, is_sent: bool) {
    let outcome = if is_sent { "sent" } else { "failed" };
    counter!("stakeout_heartbeats_total", "signal" => signal, "outcome" => outcome).increment(1);
}

/// Counts a reload of the config.
pub(crate) fn reload(done: bool) {
    let outcome = if done { "done" } else { "refused" };
    counter!("stakeout_reloads_total", "outcome" => outcome).increment(1);
}

/// Sets the number of leases of this replica, and of the replicas that are alive.
pub(crate) fn leases(held: usize, alive: usize) {
    gauge!("stakeout_leases").set(u32::try_from(held).unwrap_or(u32::MAX));
    gauge!("stakeout_replicas").set(u32::try_from(alive).unwrap_or(u32::MAX));
}

/// Counts a write that was not done because another replica had taken over.
pub(crate) fn fenced() {
    counter!("stakeout_fenced_total").increment(1);
}

/// Counts a connection to the admin page that was closed before its client was done.
pub(crate) fn admin_connection_closed() {
    counter!("stakeout_admin_connections_closed_total").increment(1);
}
