//! The texts and the level of a notice, which reports a problem of Stakeout itself. Equal for all destinations.

use siphasher::sip128::{Hasher128, SipHasher24};
use std::hash::Hasher;

use stakeout_core::day_report::DayReport;
use stakeout_core::delivery::Activity;
use stakeout_core::notice::{Notice, NoticeKind};
use stakeout_core::rule::Level;
use stakeout_core::text::counted;

use crate::text::{period, utc};

/// Returns the problem in a few words.
#[must_use]
pub fn title(notice: &Notice) -> &'static str {
    match notice.kind {
        NoticeKind::Gap { .. } => "Audit log gap",
        NoticeKind::PartialGap { .. } => "Audit log read in part",
        NoticeKind::GapFilled => "Audit log gap closed",
        NoticeKind::Silent { .. } => "No audit records",
        NoticeKind::SilenceOver => "Audit records are back",
        NoticeKind::Overflow { .. } => "Too many groups in one window",
        NoticeKind::TooManyFindings { .. } => "Too many findings in one window",
        NoticeKind::TooManyPending { .. } => "Too many messages are pending",
        NoticeKind::NotFollowedUp { .. } => "Follow-up incomplete",
        NoticeKind::ClockWasAhead => "The system clock was ahead",
        NoticeKind::StateGone => "The state is gone",
        NoticeKind::StateRestored { .. } => "The state was damaged",
        NoticeKind::HiddenProxy { .. } => "A proxy seems to hide all clients",
        NoticeKind::Day(_) => "Daily summary",
        NoticeKind::Vanished => "A cluster vanished",
        NoticeKind::AuditOff { .. } => "An audit log is switched off",
        NoticeKind::Returned => "A cluster is back",
        NoticeKind::DiscoveryFailed { .. } => "Clusters cannot be discovered",
        NoticeKind::DiscoveryRecovered => "Clusters are discovered again",
    }
}

/// Returns what it means and what to do, as raw text with names from the config.
///
/// It leaves out the reason of a gap and the sources of an overflow, which each destination shows in its own way.
#[must_use]
pub fn explanation(notice: &Notice) -> String {
    let source = &notice.source;
    let cluster = &notice.cluster;
    let from = utc(notice.window.earliest());
    let to = utc(notice.window.latest());
    let period = period(notice.window.earliest(), notice.window.latest());
    match &notice.kind {
        NoticeKind::Gap { .. } => format!(
            "Stakeout could not read source {source} (cluster {cluster}) {period}. No rule has seen these records. \
             The next reread tries again."
        ),
        NoticeKind::PartialGap { .. } => format!(
            "Stakeout could not read all of source {source} (cluster {cluster}) {period}. No rule has seen the records that \
             are missing. The next reread tries again. `stakeout doctor` prints what to do."
        ),
        NoticeKind::GapFilled => {
            format!("Stakeout has now read source {source} (cluster {cluster}) {period}. The gap is closed.")
        }
        NoticeKind::Silent { windows } => format!(
            "Source {source} (cluster {cluster}) had no audit records in {}, up to {to}. \
             Check that audit logging is enabled and that the log still exists.",
            counted(*windows, "consecutive window")
        ),
        NoticeKind::SilenceOver => {
            format!("Source {source} (cluster {cluster}) has audit records again, since {from}.")
        }
        NoticeKind::Overflow { rows, requests, .. } => format!(
            "Source {source} (cluster {cluster}) had more groups {period} than one window can store. Counts of the \
             largest groups are exact. Of {}, Stakeout knows only the sum: {}.",
            counted(*rows, "other row"),
            counted(*requests, "request")
        ),
        NoticeKind::TooManyFindings { findings, requests, rules, .. } => format!(
            "In source {source} (cluster {cluster}), too many groups crossed a threshold {period}. The most severe and the \
             largest have findings. Left out: {} with {}. By rule: {}.",
            counted(*findings, "group"),
            counted(*requests, "request"),
            rules.iter().map(|(rule, findings)| format!("{rule} {findings}")).collect::<Vec<_>>().join(", ")
        ),
        NoticeKind::TooManyPending { destination, pending } => format!(
            "{pending} messages to {destination} are pending. Until it accepts some of them, it will not hear of findings \
             below level medium, later of none. No finding is lost: run `stakeout findings list`, and check the \
             destination."
        ),
        NoticeKind::NotFollowedUp { sources, .. } => format!(
            "Stakeout could not follow up on {} in source {source} (cluster {cluster}) after {from}. If one of them was \
             denied first and allowed later, no finding reports it.",
            counted(*sources, "address")
        ),
        NoticeKind::ClockWasAhead => format!(
            "Source {source} (cluster {cluster}) was read up to {to}, which had not happened yet: the clock of the machine \
             that runs Stakeout was ahead. It is read again {period}. Findings of that time may be reported a second time, \
             with the same uid."
        ),
        NoticeKind::StateGone => format!(
            "There was a state in Stakeout's directory, and its files are gone: somebody removed them, or the disk lost them. \
             Stakeout begins anew, with source {source} (cluster {cluster}) {period}. Findings may be reported again, and \
             requests before {from} count for no rule."
        ),
        NoticeKind::StateRestored { from: copied } => format!(
            "The files of Stakeout's state were damaged: the disk lost or changed something. Stakeout goes on with its copy of {}, \
             reads from there again, and reports findings since then a second time, with the same uid. The damaged files are kept \
             beside the state. Check the disk.",
            utc(*copied)
        ),
        NoticeKind::HiddenProxy { addresses } => format!(
            "Nearly all requests in source {source} (cluster {cluster}) {period} seem to come from {}, and name public \
             addresses before. If these are your load balancers or proxies, add them to `trusted_proxies`: until then, \
             they are the source of everything. If they are not, somebody there forges addresses.",
            addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        ),
        NoticeKind::Day(report) => {
            let date = from.split(' ').next().unwrap_or_default();
            format!("{date}: {}", day(report))
        }
        NoticeKind::Vanished => format!(
            "Nothing writes to the log of source {source} (cluster {cluster}) any more, or the log is gone: the cluster was \
             probably deleted. Stakeout reads what is delivered late, and then stops reading it. If the cluster exists, \
             check its logging."
        ),
        NoticeKind::AuditOff { command } => format!(
            "Source {source} (cluster {cluster}) writes other logs of the control plane, and no audit log: Stakeout is blind \
             there. If nobody of you switched it off, somebody else did. This command switches it on: {command}"
        ),
        NoticeKind::Returned => {
            format!("The audit log of source {source} (cluster {cluster}) is written and read again.")
        }
        NoticeKind::DiscoveryFailed { .. } => format!(
            "Discovery {source} could not list all logs of {cluster}. Stakeout goes on reading the logs that it knows, and \
             finds no new cluster. `stakeout doctor` prints what to do."
        ),
        NoticeKind::DiscoveryRecovered => format!("Discovery {source} lists the logs of {cluster} again."),
    }
}

/// Returns a day in a line.
fn day(report: &DayReport) -> String {
    let DayReport { windows_scheduled, windows_due, windows_read, .. } = *report;
    let windows = match report.is_whole() {
        // Each log had as many.
        true if windows_due == report.logs * windows_scheduled => counted(windows_scheduled, "window"),
        true => counted(windows_due, "window"),
        false => format!("{windows_read} of {}", counted(windows_due, "window")),
    };
    let mut parts = vec![format!("{windows} of {} read", counted(report.clusters, "cluster"))];
    if report.windows_late > 0 {
        parts.push(format!("{} of them late", report.windows_late));
    }
    if report.windows_silent > 0 {
        let logs = counted(report.logs_silent, "log");
        parts.push(format!("{} without a record in {logs}", counted(report.windows_silent, "window")));
    }
    parts.push(incidents(report));
    let gaps =
        [(report.gaps, "gap"), (report.partial_gaps, "partial gap")].into_iter().filter(|(number, _)| *number > 0);
    let gaps: Vec<String> = gaps.map(|(number, noun)| counted(number, noun)).collect();
    parts.push(if gaps.is_empty() { "no gaps".to_owned() } else { gaps.join(" and ") });
    if report.notices > 0 {
        parts.push(format!("{} about the watch", counted(report.notices, "notice")));
    }
    let mut line = parts.join(", ") + ".";
    if !report.unread.is_empty() {
        let more = if report.unread_more > 0 { format!(" and {} more", report.unread_more) } else { String::new() };
        line.push_str(&format!(" Not read to the end of the day: {}{more}.", report.unread.join(", ")));
    }
    line
}

fn incidents(report: &DayReport) -> String {
    let begun = report.incidents_begun();
    if begun == 0 {
        return "no incidents".to_owned();
    }
    let mut levels: Vec<String> = report.incidents.iter().map(|(level, number)| format!("{number} {level}")).collect();
    if report.incidents_silenced > 0 {
        levels.push(format!("{} silenced", report.incidents_silenced));
    }
    format!("{} ({})", counted(begun, "incident"), levels.join(", "))
}

/// Returns why Stakeout did not read a window or a follow-up, as raw text.
#[must_use]
pub fn reason(notice: &Notice) -> Option<&str> {
    match &notice.kind {
        NoticeKind::Gap { reason }
        | NoticeKind::PartialGap { reason }
        | NoticeKind::NotFollowedUp { reason, .. }
        | NoticeKind::DiscoveryFailed { reason } => Some(reason),
        _ => None,
    }
}

/// Returns the largest sources behind a sum, with their requests, as raw text.
#[must_use]
pub fn top(notice: &Notice) -> &[(String, u64)] {
    match &notice.kind {
        NoticeKind::Overflow { top, .. } | NoticeKind::TooManyFindings { top, .. } => top,
        _ => &[],
    }
}

/// Returns its level: `medium` for a loss of visibility, `informational` for its end.
#[must_use]
pub fn level(notice: &Notice) -> Level {
    match notice.kind {
        NoticeKind::Gap { .. }
        | NoticeKind::PartialGap { .. }
        | NoticeKind::Silent { .. }
        | NoticeKind::Overflow { .. }
        | NoticeKind::TooManyFindings { .. }
        | NoticeKind::TooManyPending { .. }
        | NoticeKind::NotFollowedUp { .. }
        | NoticeKind::ClockWasAhead
        | NoticeKind::StateGone
        | NoticeKind::StateRestored { .. }
        | NoticeKind::HiddenProxy { .. }
        | NoticeKind::AuditOff { .. }
        | NoticeKind::DiscoveryFailed { .. } => Level::Medium,
        NoticeKind::GapFilled
        | NoticeKind::Day(_)
        | NoticeKind::SilenceOver
        | NoticeKind::Vanished
        | NoticeKind::Returned
        | NoticeKind::DiscoveryRecovered => Level::Informational,
    }
}

/// Returns whether a problem begins or ends.
#[must_use]
pub fn activity(notice: &Notice) -> Activity {
    match notice.kind {
        NoticeKind::Gap { .. }
        | NoticeKind::PartialGap { .. }
        | NoticeKind::Silent { .. }
        | NoticeKind::Overflow { .. }
        | NoticeKind::TooManyFindings { .. }
        | NoticeKind::TooManyPending { .. }
        | NoticeKind::NotFollowedUp { .. }
        | NoticeKind::ClockWasAhead
        | NoticeKind::StateGone
        | NoticeKind::StateRestored { .. }
        | NoticeKind::HiddenProxy { .. }
        | NoticeKind::Day(_)
        | NoticeKind::Vanished
        | NoticeKind::AuditOff { .. }
        | NoticeKind::DiscoveryFailed { .. } => Activity::Create,
        NoticeKind::GapFilled | NoticeKind::SilenceOver | NoticeKind::Returned | NoticeKind::DiscoveryRecovered => {
            Activity::Close
        }
    }
}

/// Returns the machine-readable name of its kind.
#[must_use]
pub fn kind(notice: &Notice) -> &'static str {
    match notice.kind {
        NoticeKind::Gap { .. } => "gap",
        NoticeKind::PartialGap { .. } => "partial_gap",
        NoticeKind::GapFilled => "gap_filled",
        NoticeKind::Silent { .. } => "silent",
        NoticeKind::SilenceOver => "silence_over",
        NoticeKind::Overflow { .. } => "overflow",
        NoticeKind::TooManyFindings { .. } => "too_many_findings",
        NoticeKind::TooManyPending { .. } => "too_many_pending",
        NoticeKind::NotFollowedUp { .. } => "not_followed_up",
        NoticeKind::ClockWasAhead => "clock_was_ahead",
        NoticeKind::StateGone => "state_gone",
        NoticeKind::StateRestored { .. } => "state_restored",
        NoticeKind::HiddenProxy { .. } => "hidden_proxy",
        NoticeKind::Day(_) => "day",
        NoticeKind::Vanished => "vanished",
        NoticeKind::AuditOff { .. } => "audit_off",
        NoticeKind::Returned => "returned",
        NoticeKind::DiscoveryFailed { .. } => "discovery_failed",
        NoticeKind::DiscoveryRecovered => "discovery_recovered",
    }
}

/// Returns the uid of the problem: the notice that ends a problem has the uid of the notice that began it.
///
/// A gap belongs to its window. A source has one uid for all its silences, and one for all times that it was not written.
#[must_use]
pub fn uid(notice: &Notice) -> String {
    let window = match notice.kind {
        NoticeKind::Silent { .. }
        | NoticeKind::SilenceOver
        | NoticeKind::Vanished
        | NoticeKind::AuditOff { .. }
        | NoticeKind::Returned
        | NoticeKind::DiscoveryFailed { .. }
        | NoticeKind::DiscoveryRecovered => None,
        _ => Some(notice.window),
    };
    let problem = match notice.kind {
        NoticeKind::Gap { .. } | NoticeKind::PartialGap { .. } | NoticeKind::GapFilled => "gap",
        NoticeKind::Silent { .. } | NoticeKind::SilenceOver => "silence",
        NoticeKind::Overflow { .. } => "overflow",
        NoticeKind::TooManyFindings { .. } => "too_many_findings",
        NoticeKind::TooManyPending { .. } => "too_many_pending",
        NoticeKind::NotFollowedUp { .. } => "not_followed_up",
        NoticeKind::ClockWasAhead => "clock_was_ahead",
        NoticeKind::StateGone => "state_gone",
        NoticeKind::StateRestored { .. } => "state_restored",
        NoticeKind::HiddenProxy { .. } => "hidden_proxy",
        NoticeKind::Day(_) => "day",
        NoticeKind::Vanished | NoticeKind::AuditOff { .. } | NoticeKind::Returned => "not_written",
        NoticeKind::DiscoveryFailed { .. } | NoticeKind::DiscoveryRecovered => "discovery",
    };
    // One discovery lists the logs of several places.
    let source = match problem {
        "discovery" => format!("{} {}", notice.source, notice.cluster),
        _ => notice.source.clone(),
    };
    let encoded = serde_json::to_vec(&(problem, source, window)).expect("texts and numbers always encode as JSON");
    let mut hasher = SipHasher24::new();
    hasher.write(&encoded);
    format!("{:032x}", hasher.finish128().as_u128())
}

#[cfg(test)]
mod tests {
    use stakeout_core::time::{Second, Window};

    use super::*;

    fn notice(kind: NoticeKind, earliest: i64) -> Notice {
        Notice {
            source: "prod-eks".to_owned(),
            cluster: "prod".to_owned(),
            window: Window::new(Second(earliest), Second(earliest + 3600)).expect("not empty"),
            kind,
        }
    }

    #[test]
    fn the_end_of_a_problem_has_its_uid() {
        let gap = |reason: &str, at| notice(NoticeKind::Gap { reason: reason.to_owned() }, at);
        assert_eq!(uid(&gap("denied", 0)), uid(&notice(NoticeKind::GapFilled, 0)));
        assert_ne!(uid(&gap("denied", 0)), uid(&gap("denied", 3600)));
        let partial = notice(NoticeKind::PartialGap { reason: "denied".to_owned() }, 0);
        assert_eq!(uid(&partial), uid(&notice(NoticeKind::GapFilled, 0)));
        assert_eq!(uid(&notice(NoticeKind::Silent { windows: 3 }, 0)), uid(&notice(NoticeKind::SilenceOver, 7200)));
        assert_eq!(activity(&notice(NoticeKind::SilenceOver, 0)), Activity::Close);
        let off = NoticeKind::AuditOff { command: "aws".to_owned() };
        assert_eq!(uid(&notice(off, 0)), uid(&notice(NoticeKind::Returned, 7200)));
        let failed = NoticeKind::DiscoveryFailed { reason: "denied".to_owned() };
        assert_eq!(uid(&notice(failed, 0)), uid(&notice(NoticeKind::DiscoveryRecovered, 7200)));
    }

    #[test]
    fn a_day_is_one_line_with_what_is_not_as_it_should_be() {
        let line = |report: DayReport| explanation(&notice(NoticeKind::Day(report), 0));
        let whole = DayReport {
            clusters: 30,
            logs: 30,
            windows_scheduled: 24,
            windows_due: 720,
            windows_read: 720,
            incidents: vec![(Level::High, 1), (Level::Low, 1)],
            ..DayReport::default()
        };
        assert_eq!(
            line(whole.clone()),
            "1970-01-01: 24 windows of 30 clusters read, 2 incidents (1 high, 1 low), no gaps."
        );
        // A log that is watched since noon.
        let first_day = DayReport { windows_due: 708, windows_read: 708, incidents: Vec::new(), ..whole.clone() };
        assert_eq!(line(first_day), "1970-01-01: 708 windows of 30 clusters read, no incidents, no gaps.");
        let bad = DayReport {
            windows_read: 700,
            windows_late: 3,
            windows_silent: 5,
            logs_silent: 2,
            gaps: 1,
            partial_gaps: 2,
            incidents_silenced: 1,
            notices: 4,
            unread: vec!["prod-eks".to_owned(), "gke".to_owned()],
            unread_more: 7,
            ..whole
        };
        assert_eq!(
            line(bad),
            "1970-01-01: 700 of 720 windows of 30 clusters read, 3 of them late, 5 windows without a record in 2 logs, \
             2 incidents (1 high, 1 low, 1 silenced), 1 gap and 2 partial gaps, 4 notices about the watch. Not read to the \
             end of the day: prod-eks, gke and 7 more."
        );
    }

    #[test]
    fn a_gap_names_the_unread_window() {
        assert_eq!(
            explanation(&notice(NoticeKind::Gap { reason: "denied".to_owned() }, 0)),
            "Stakeout could not read source prod-eks (cluster prod) from 1970-01-01 00:00:00 to 01:00:00 UTC. No rule has \
             seen these records. The next reread tries again."
        );
    }
}
