//! How a verb ends: one table of exit codes for all of them, and the two kinds of failure.

use std::process::ExitCode;

use stakeout_core::diagnostic::Diagnostic;
use thiserror::Error;

/// How a verb ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything was done.
    Done,
    /// Something is still owed.
    Owed,
    /// There are findings, and the caller asked to be told by the exit code.
    Findings,
}

/// Why a verb failed.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    /// The command line asks for something that cannot be.
    #[error("{0}")]
    Usage(String),
    /// The config or a rule is wrong: every fault that was found.
    #[error("{}", lines(.0))]
    Config(Vec<Diagnostic>),
    /// The state is held by another process, or the disk is full.
    #[error("{0}")]
    TryLater(String),
    /// Anything else.
    #[error("{0:#}")]
    Failed(#[from] anyhow::Error),
}

fn lines(faults: &[Diagnostic]) -> String {
    let lines: Vec<String> = faults.iter().map(Diagnostic::to_string).collect();
    lines.join("\n")
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Done => 0,
            Exit::Owed => 1,
            Exit::Findings => 3,
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
