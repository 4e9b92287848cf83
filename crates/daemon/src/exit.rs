//! The outcomes and failures of verbs, with one table of exit codes for all of them.

use std::io::{self, ErrorKind};
use std::process::ExitCode;

use anyhow::Context;
use stakeout_core::diagnostic::Diagnostic;
use stakeout_core::text::counted;
use thiserror::Error;

/// Most errors of config and rules that are printed at once. More come from a file that is something else.
const ERRORS_SHOWN_MAX: usize = 1_000;

/// The outcome of a verb that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// The verb did everything.
    Done,
    /// The verb ran to its end, but something failed or is still pending.
    Incomplete,
    /// There are findings, and the caller asked for an exit code that says so.
    Findings,
    /// The input has no records, or too few of them are audit events. It is not what the caller meant, or it is damaged.
    Unusable,
}

/// Why a verb failed.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    /// The command line asks for something impossible.
    #[error("{0}")]
    Usage(String),
    /// The config or a rule has these errors.
    #[error("{}", lines(.0))]
    Config(Vec<Diagnostic>),
    /// Another process holds the state, or the disk is full.
    #[error("{0}")]
    TryLater(String),
    /// Anything else.
    #[error("{0:#}")]
    Failed(#[from] anyhow::Error),
}

/// Returns the failure of a verb that wrote its result to standard output. A reader that closed the pipe, as `head` does, has
/// what it wanted.
pub(crate) fn written(result: io::Result<()>) -> anyhow::Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result.context("cannot write the result to standard output"),
    }
}

fn lines(errors: &[Diagnostic]) -> String {
    let mut lines: Vec<String> = errors.iter().take(ERRORS_SHOWN_MAX).map(Diagnostic::to_string).collect();
    if errors.len() > ERRORS_SHOWN_MAX {
        lines.push(format!("and {}", counted(errors.len() - ERRORS_SHOWN_MAX, "more error")));
    }
    lines.join("\n")
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Done => 0,
            Exit::Incomplete => 1,
            Exit::Findings => 3,
            Exit::Unusable => 65,
        })
    }
}

impl From<&Failure> for ExitCode {
    fn from(failure: &Failure) -> ExitCode {
        ExitCode::from(match failure {
            Failure::Failed(_) => 1,
            Failure::Usage(_) => 2,
            Failure::TryLater(_) => 75,
            Failure::Config(_) => 78,
        })
    }
}
