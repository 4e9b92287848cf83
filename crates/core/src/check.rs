//! Checks: what `doctor` finds out about a log, each with the fix.
//!
//! Provider crates run the checks; the daemon prints them and chooses the exit code.

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// As it should be.
    Good,
    /// It works, but misses something, or costs more than it needs to.
    Doubtful,
    /// The log cannot be read, or does not record reads.
    Bad,
    /// The check could not be run.
    Unknown,
}

/// One check of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// The subject, in a word or two: `credentials`, `permission`, `log`, `scans`, `newest event`, `quota`.
    pub subject: &'static str,
    /// The result.
    pub status: Status,
    /// What was found, in one sentence.
    pub finding: String,
    /// The exact command or console step that fixes it; `None` where nothing needs fixing.
    pub fix: Option<String>,
}

impl Check {
    /// Returns a check that needs no fix.
    #[must_use]
    pub fn good(subject: &'static str, finding: impl Into<String>) -> Check {
        Check { subject, status: Status::Good, finding: finding.into(), fix: None }
    }

    /// Returns a check with its fix.
    #[must_use]
    pub fn of(subject: &'static str, status: Status, finding: impl Into<String>, fix: impl Into<String>) -> Check {
        Check { subject, status, finding: finding.into(), fix: Some(fix.into()) }
    }
}
