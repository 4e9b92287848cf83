//! What `doctor` finds out about a log: one answer to one question, with the mend.
//!
//! Provider crates ask, and say it in these words; what it means for the exit code and how it looks is the daemon's.

/// How good an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
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
pub struct Checkup {
    /// What was looked at, in a word or two: `credentials`, `permission`, `log`, `scans`, `newest event`, `quota`.
    pub subject: &'static str,
    /// How good it is.
    pub verdict: Verdict,
    /// What was found, in one sentence.
    pub finding: String,
    /// The exact command or console step that mends it; `None` where nothing needs mending.
    pub mend: Option<String>,
}

impl Checkup {
    /// Returns an answer that needs no mending.
    #[must_use]
    pub fn good(subject: &'static str, finding: impl Into<String>) -> Checkup {
        Checkup { subject, verdict: Verdict::Good, finding: finding.into(), mend: None }
    }

    /// Returns an answer with its mend.
    #[must_use]
    pub fn of(subject: &'static str, verdict: Verdict, finding: impl Into<String>, mend: impl Into<String>) -> Checkup {
        Checkup { subject, verdict, finding: finding.into(), mend: Some(mend.into()) }
    }
}
