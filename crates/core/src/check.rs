//! What `doctor` finds out about a log: one answer to one question, with the fix.
//!
//! Provider crates ask, and say it in these words; what it means for the exit code and how it looks is the daemon's.

/// How good an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// As it should be.
    Good,
    /// It works, but something will not be seen, or will cost more than it needs to.
    Doubtful,
    /// The log cannot be read, or shows no scans.
    Bad,
    /// Nobody could tell.
    Unknown,
}

/// One answer to one question about a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was looked at, in a word or two: `credentials`, `permission`, `log`, `scans`, `newest event`, `quota`.
    pub subject: &'static str,
    /// How good it is.
    pub status: Status,
    /// What was found, in one sentence.
    pub finding: String,
    /// The exact command or console step that fixes it; `None` where nothing needs fixing.
    pub fix: Option<String>,
}

impl Check {
    /// Returns an answer that needs no fixing.
    #[must_use]
    pub fn good(subject: &'static str, finding: impl Into<String>) -> Check {
        Check { subject, status: Status::Good, finding: finding.into(), fix: None }
    }

    /// Returns an answer with its fix.
    #[must_use]
    pub fn of(subject: &'static str, status: Status, finding: impl Into<String>, fix: impl Into<String>) -> Check {
        Check { subject, status, finding: finding.into(), fix: Some(fix.into()) }
    }
}
