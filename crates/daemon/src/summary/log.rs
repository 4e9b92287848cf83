//! The progress of a log, for people and scripts: all times in RFC 3339.

use std::fmt;

use serde::Serialize;
use stakeout_core::progress::Progress;
use stakeout_core::text::{counted, visible};
use stakeout_core::time::Window;

/// How far a log is read, and what else is due of it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct LogProgress {
    log: String,
    /// Everything before it was read or is a recorded gap.
    cursor: String,
    failing: Option<Failure>,
    /// Windows in a row without a record.
    silent_windows: u32,
    rereads: Vec<Reread>,
    gaps: Vec<Gap>,
    follow_ups: Vec<FollowUp>,
    context_queries: Vec<ContextQuery>,
}

/// A window that is read again and again until it succeeds.
#[derive(Clone, Debug, Serialize)]
struct Failure {
    since: String,
    reason: String,
}

/// A half-open span of time.
#[derive(Clone, Debug, Serialize)]
struct Span {
    earliest: String,
    latest: String,
}

#[derive(Clone, Debug, Serialize)]
struct Reread {
    window: Span,
    due: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
struct Gap {
    window: Span,
    reason: String,
}

/// A search for later requests of some sources.
#[derive(Clone, Debug, Serialize)]
struct FollowUp {
    sources: Vec<String>,
    window: Option<Span>,
    failures: u32,
}

#[derive(Clone, Debug, Serialize)]
struct ContextQuery {
    /// The uid of the finding.
    finding: String,
    source: String,
    window: Span,
}

impl Span {
    fn of(window: Window) -> Span {
        Span { earliest: window.earliest().to_string(), latest: window.latest().to_string() }
    }
}

impl LogProgress {
    /// Returns the stored progress of a log.
    pub(super) fn of(progress: &Progress) -> LogProgress {
        let failing = progress.failing.as_ref();
        LogProgress {
            log: progress.log.0.clone(),
            cursor: progress.cursor.to_string(),
            failing: failing
                .map(|failing| Failure { since: failing.since.to_string(), reason: failing.reason.clone() }),
            silent_windows: progress.silent_windows,
            rereads: progress.rereads.iter().map(Reread::of).collect(),
            gaps: progress
                .gaps
                .iter()
                .map(|gap| Gap { window: Span::of(gap.window), reason: gap.reason.clone() })
                .collect(),
            follow_ups: progress.follow_ups.iter().map(FollowUp::of).collect(),
            context_queries: progress.context_queries.iter().map(ContextQuery::of).collect(),
        }
    }
}

impl Reread {
    fn of(reread: &stakeout_core::progress::Reread) -> Reread {
        let latest = reread.window.latest();
        let due = reread.after_seconds.iter().map(|after| latest.plus(*after).to_string());
        Reread { window: Span::of(reread.window), due: due.collect() }
    }
}

impl FollowUp {
    fn of(follow_up: &stakeout_core::follow_up::FollowUp) -> FollowUp {
        FollowUp {
            sources: follow_up.sources.iter().map(|(source, _)| source.to_string()).collect(),
            window: follow_up.window().map(Span::of),
            failures: follow_up.failures,
        }
    }
}

impl ContextQuery {
    fn of(query: &stakeout_core::context_query::ContextQuery) -> ContextQuery {
        ContextQuery {
            finding: query.finding.to_string(),
            source: query.source.to_string(),
            window: Span::of(query.window),
        }
    }
}

/// Writes the text form.
impl fmt::Display for LogProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  {}: read until {}", visible(&self.log), self.cursor)?;
        if let Some(failing) = &self.failing {
            writeln!(f, "    failing since {}: {}", failing.since, visible(&failing.reason))?;
        }
        if self.silent_windows > 0 {
            writeln!(f, "    no record in the last {}", counted(self.silent_windows, "window"))?;
        }
        for Reread { window, due } in &self.rereads {
            writeln!(f, "    reread of {window} due at {}", due.join(", "))?;
        }
        for Gap { window, reason } in &self.gaps {
            writeln!(f, "    GAP {window}: {}", visible(reason))?;
        }
        Ok(())
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {})", self.earliest, self.latest)
    }
}
