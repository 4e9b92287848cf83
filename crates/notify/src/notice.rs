//! The words and the weight of a notice: what is wrong with the watch itself, for every destination alike.

use siphasher::sip128::{Hasher128, SipHasher24};
use std::hash::Hasher;

use stakeout_core::delivery::Activity;
use stakeout_core::notice::{Notice, NoticeKind};
use stakeout_core::rule::Level;

use crate::notification::counted;
use crate::text::{counted_requests, utc};

/// Returns what happened, in a few words.
#[must_use]
pub fn title(notice: &Notice) -> &'static str {
    match notice.kind {
        NoticeKind::Gap { .. } => "Gap: a window could not be read",
        NoticeKind::GapFilled => "Gap filled",
        NoticeKind::Silent { .. } => "No audit records",
        NoticeKind::SilenceOver => "Audit records again",
        NoticeKind::Overflow { .. } => "More sources than a window may store",
        NoticeKind::TooManyFindings { .. } => "More findings than a window may open",
        NoticeKind::NotFollowedUp { .. } => "Sources that were not followed up",
    }
}

/// Returns what it means and what to do, as raw text: the names in it come from the config, the rest is ours.
///
/// The reason of a gap and the sources of an overflow are not in it; a destination shows them its own way.
#[must_use]
pub fn explanation(notice: &Notice) -> String {
    let source = &notice.source;
    let cluster = &notice.cluster;
    let from = utc(notice.window.earliest());
    let to = utc(notice.window.latest());
    match &notice.kind {
        NoticeKind::Gap { .. } => format!(
            "Source {source} (cluster {cluster}) could not be read from {from} to {to}. Nothing in it was \
             evaluated; it is tried again with the re-reads."
        ),
        NoticeKind::GapFilled => format!("Source {source} (cluster {cluster}) was read after all from {from} to {to}."),
        NoticeKind::Silent { windows } => format!(
            "Source {source} (cluster {cluster}) held no record at all in {windows} windows in a row, up to {to}. \
             Check that audit logging is on and that the log still exists."
        ),
        NoticeKind::SilenceOver => format!("Source {source} (cluster {cluster}) has records again, from {from} on."),
        NoticeKind::Overflow { rows, requests, .. } => format!(
            "Source {source} (cluster {cluster}) had more groups from {from} to {to} than one window may store: {rows} \
             rows with {} are known as a sum only. The largest groups are counted exactly.",
            counted_requests(*requests)
        ),
        NoticeKind::TooManyFindings { findings, requests, .. } => format!(
            "In source {source} (cluster {cluster}) so many groups crossed a threshold from {from} to {to} that {findings} \
             of them, with {}, have no finding of their own. The largest have one.",
            counted_requests(*requests)
        ),
        NoticeKind::NotFollowedUp { sources, .. } => format!(
            "Source {source} (cluster {cluster}) was not searched for what {} did after {from}: whether somebody who was \
             denied was let in later is not known of them.",
            counted(*sources, "sender")
        ),
    }
}

/// Returns why a window or a follow-up was not read, raw.
#[must_use]
pub fn reason(notice: &Notice) -> Option<&str> {
    match &notice.kind {
        NoticeKind::Gap { reason } | NoticeKind::NotFollowedUp { reason, .. } => Some(reason),
        _ => None,
    }
}

/// Returns the largest sources of what is told as a sum, with their requests, raw.
#[must_use]
pub fn top(notice: &Notice) -> &[(String, u64)] {
    match &notice.kind {
        NoticeKind::Overflow { top, .. } | NoticeKind::TooManyFindings { top, .. } => top,
        _ => &[],
    }
}

/// Returns how much it matters: what blinds the watch is medium, good news is context.
#[must_use]
pub fn level(notice: &Notice) -> Level {
    match notice.kind {
        NoticeKind::Gap { .. }
        | NoticeKind::Silent { .. }
        | NoticeKind::Overflow { .. }
        | NoticeKind::TooManyFindings { .. }
        | NoticeKind::NotFollowedUp { .. } => Level::Medium,
        NoticeKind::GapFilled | NoticeKind::SilenceOver => Level::Informational,
    }
}

/// Returns whether it begins a trouble or ends one.
#[must_use]
pub fn activity(notice: &Notice) -> Activity {
    match notice.kind {
        NoticeKind::Gap { .. }
        | NoticeKind::Silent { .. }
        | NoticeKind::Overflow { .. }
        | NoticeKind::TooManyFindings { .. }
        | NoticeKind::NotFollowedUp { .. } => Activity::Create,
        NoticeKind::GapFilled | NoticeKind::SilenceOver => Activity::Close,
    }
}

/// Returns the word for its kind that machines read.
#[must_use]
pub fn kind(notice: &Notice) -> &'static str {
    match notice.kind {
        NoticeKind::Gap { .. } => "gap",
        NoticeKind::GapFilled => "gap_filled",
        NoticeKind::Silent { .. } => "silent",
        NoticeKind::SilenceOver => "silence_over",
        NoticeKind::Overflow { .. } => "overflow",
        NoticeKind::TooManyFindings { .. } => "too_many_findings",
        NoticeKind::NotFollowedUp { .. } => "not_followed_up",
    }
}

/// Returns the uid of the trouble, which the notice that ends it shares with the one that began it.
///
/// A gap is its window's. A source is silent or not, so its silence has one uid, however often it comes back.
#[must_use]
pub fn uid(notice: &Notice) -> String {
    let window = match notice.kind {
        NoticeKind::Silent { .. } | NoticeKind::SilenceOver => None,
        _ => Some(notice.window),
    };
    let trouble = match notice.kind {
        NoticeKind::Gap { .. } | NoticeKind::GapFilled => "gap",
        NoticeKind::Silent { .. } | NoticeKind::SilenceOver => "silence",
        NoticeKind::Overflow { .. } => "overflow",
        NoticeKind::TooManyFindings { .. } => "too_many_findings",
        NoticeKind::NotFollowedUp { .. } => "not_followed_up",
    };
    let spelled =
        serde_json::to_vec(&(trouble, &notice.source, window)).expect("texts and numbers always spell as JSON");
    let mut hasher = SipHasher24::new();
    hasher.write(&spelled);
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
    fn what_ends_a_trouble_has_its_uid() {
        let gap = |reason: &str, at| notice(NoticeKind::Gap { reason: reason.to_owned() }, at);
        assert_eq!(uid(&gap("denied", 0)), uid(&notice(NoticeKind::GapFilled, 0)));
        assert_ne!(uid(&gap("denied", 0)), uid(&gap("denied", 3600)));
        assert_eq!(uid(&notice(NoticeKind::Silent { windows: 3 }, 0)), uid(&notice(NoticeKind::SilenceOver, 7200)));
        assert_eq!(activity(&notice(NoticeKind::SilenceOver, 0)), Activity::Close);
    }

    #[test]
    fn a_gap_says_what_was_not_seen() {
        assert_eq!(
            explanation(&notice(NoticeKind::Gap { reason: "denied".to_owned() }, 0)),
            "Source prod-eks (cluster prod) could not be read from 1970-01-01 00:00:00 UTC to 1970-01-01 01:00:00 UTC. \
             Nothing in it was evaluated; it is tried again with the re-reads."
        );
    }
}
