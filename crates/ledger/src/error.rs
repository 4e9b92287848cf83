//! The errors of the state, named after what the caller may do.

use std::io::{self, ErrorKind};
use std::path::PathBuf;

/// The fix for any damage: once a day that happens by itself.
const REPAIR: &str = "`stakeout state repair` puts the last whole copy in its place; without a copy, and in PostgreSQL without a \
                      back-up of the database, begin anew in another directory or schema: `schedule: {start: -24h}` then reads the last day again";
/// The fix for another format. Findings that were reported may be reported again.
const BEGIN_ANEW: &str = "move the directory away (or name another `schema`) and start again; `schedule: {start: -24h}` then reads the last day again";

/// An error of the ledger. None of them means that something acknowledged was lost, except [`LedgerError::Damaged`].
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Another process holds the state: try later.
    #[error("another process uses the state in {}", dir.display())]
    Locked {
        /// The directory of the state.
        dir: PathBuf,
    },
    /// The disk is full: free some space, then open the ledger again. All acknowledged writes are still there.
    #[error("the disk of the state is full: {source}")]
    DiskFull {
        /// The error of the system.
        source: io::Error,
    },
    /// The state cannot be read: apply `fix`.
    #[error("the state is damaged: {reason}; {fix}")]
    Damaged {
        /// What is wrong.
        reason: String,
        /// What the operator must do.
        fix: &'static str,
    },
    /// Another version of Stakeout wrote the state: start that version, or apply `fix`.
    #[error("the state has format {found}, this version reads {known}: start the version that wrote it, or {fix}")]
    Format {
        /// The format of the state.
        found: u32,
        /// The format that this version reads and writes.
        known: u32,
        /// What the operator must do otherwise.
        fix: &'static str,
    },
    /// The directory holds foreign files: configure another. Nothing in it was changed.
    #[error("{} is not a state directory of Stakeout: it holds {found}; set `state.path` to another directory", dir.display())]
    Foreign {
        /// The directory.
        dir: PathBuf,
        /// A file in it that does not belong to a ledger.
        found: String,
    },
    /// The write contradicts itself or the ledger: a bug in the caller. Nothing was written.
    #[error("the ledger refuses the write: {reason}")]
    Refused {
        /// The contradiction.
        reason: String,
    },
    /// The database cannot be reached, or does not take writes now: try later. Whether a commit that waited for its answer was
    /// written is not known.
    #[error("the database of the state cannot be used now: {reason}; {fix}")]
    Unavailable {
        /// What failed.
        reason: String,
        /// Where the operator should look.
        fix: &'static str,
    },
    /// Another write was faster: nothing was written, try again at once.
    #[error("another write to the state was faster: {reason}")]
    Conflict {
        /// What failed.
        reason: String,
    },
    /// The database refuses, and will refuse again: apply `fix`.
    #[error("the database of the state refuses: {reason}; {fix}")]
    Rejected {
        /// What failed.
        reason: String,
        /// What the operator must do.
        fix: &'static str,
    },
    /// An import into this place was not finished: delete what is there, and import again.
    #[error("an import into this state was not finished: delete the directory or the schema, and import again")]
    Unfinished,
    /// What is to be imported is damaged, not whole, or of another version: `reason` says which.
    #[error("it cannot be imported: {reason}")]
    Stream {
        /// What is wrong with it.
        reason: String,
    },
    /// Another replica has taken over what this write is about: nothing was written, drop the work.
    #[error("another replica has taken over {lease}")]
    Fenced {
        /// The name of the lease.
        lease: String,
    },
    /// An earlier write failed, and the disk may hold any part of it: open the ledger again.
    #[error("an earlier write failed: open the state again")]
    Reopen,
    /// The system refused an operation: a missing permission, a read-only or broken disk.
    #[error("cannot {action}: {source}")]
    Failed {
        /// What was tried.
        action: String,
        /// The error of the system.
        source: io::Error,
    },
}

pub(crate) type Result<T> = std::result::Result<T, LedgerError>;

impl LedgerError {
    pub(crate) fn damaged(reason: impl Into<String>) -> LedgerError {
        LedgerError::Damaged { reason: reason.into(), fix: REPAIR }
    }

    pub(crate) fn format(found: u32, known: u32) -> LedgerError {
        LedgerError::Format { found, known, fix: BEGIN_ANEW }
    }

    pub(crate) fn refused(reason: impl Into<String>) -> LedgerError {
        LedgerError::Refused { reason: reason.into() }
    }

    /// Returns the error for a failed `action`.
    ///
    /// A file that may not grow (a quota, `ulimit -f`) is a full disk to the caller: more space fixes it.
    pub(crate) fn of_io(action: impl Into<String>, source: io::Error) -> LedgerError {
        match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                LedgerError::DiskFull { source }
            }
            ErrorKind::UnexpectedEof | ErrorKind::InvalidData => {
                LedgerError::damaged(format!("cannot {}: {source}", action.into()))
            }
            _ => LedgerError::Failed { action: action.into(), source },
        }
    }

    /// Returns the error for an `action` that failed in the engine.
    pub(crate) fn of_engine(action: &str, error: sled::Error) -> LedgerError {
        match error {
            sled::Error::Io(source) => LedgerError::of_io(action, source),
            other => LedgerError::damaged(format!("cannot {action}: {other}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_may_not_grow_is_a_full_disk() {
        for code in [28, 122, 27] {
            let error = LedgerError::of_io("write", io::Error::from_raw_os_error(code));
            assert!(matches!(error, LedgerError::DiskFull { .. }), "{code}: {error}");
        }
        let error = LedgerError::of_io("write", io::Error::from_raw_os_error(13));
        assert!(matches!(error, LedgerError::Failed { .. }), "{error}");
    }
}
