//! What can go wrong with the state, by what the caller may do about it.

use std::io::{self, ErrorKind};
use std::path::PathBuf;

/// What gets over damage, whatever was damaged, and over another format: findings that were told may be told again.
const REPAIR: &str = "set the directory aside and start anew; `schedule: {start: -24h}` then reads the last day again";

/// An error of the ledger. None of them means that something acknowledged was lost, except [`LedgerError::Damaged`].
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Somebody else holds the state: try later.
    #[error("the state in {} is in use by another process", dir.display())]
    Locked {
        /// The directory of the state.
        dir: PathBuf,
    },
    /// There is no room: make some, then open the ledger again. All that was acknowledged is still there.
    #[error("no room on the disk of the state: {source}")]
    DiskFull {
        /// What the system said.
        source: io::Error,
    },
    /// What is stored cannot be read: do what `fix` says.
    #[error("the state is damaged: {reason}; {fix}")]
    Damaged {
        /// What is wrong.
        reason: String,
        /// What brings it back.
        fix: &'static str,
    },
    /// Another version of Stakeout wrote the state: start that one, or do what `fix` says.
    #[error("the state has format {found}, this version knows {known}: start the version that wrote it, or {fix}")]
    Format {
        /// The format of the state.
        found: u32,
        /// The format that this version reads and writes.
        known: u32,
        /// What gets over it.
        fix: &'static str,
    },
    /// The directory belongs to something else: configure another. Nothing was changed in it.
    #[error("{} is not a state directory of stakeout: it holds {found}", dir.display())]
    Foreign {
        /// The directory.
        dir: PathBuf,
        /// Something in it that is not of a ledger.
        found: String,
    },
    /// What was to be written contradicts itself or the ledger: a fault of the caller. Nothing was written.
    #[error("the ledger refuses the write: {reason}")]
    Refused {
        /// The contradiction.
        reason: String,
    },
    /// An earlier write failed, so that nobody knows what of it is on the disk: open the ledger again.
    #[error("an earlier write failed: the state must be opened again")]
    Reopen,
    /// The system refused something: a permission, a read-only disk, a broken one.
    #[error("cannot {action}: {source}")]
    Failed {
        /// What was tried.
        action: String,
        /// What the system said.
        source: io::Error,
    },
}

pub(crate) type Result<T> = std::result::Result<T, LedgerError>;

impl LedgerError {
    pub(crate) fn damaged(reason: impl Into<String>) -> LedgerError {
        LedgerError::Damaged { reason: reason.into(), fix: REPAIR }
    }

    pub(crate) fn format(found: u32, known: u32) -> LedgerError {
        LedgerError::Format { found, known, fix: REPAIR }
    }

    pub(crate) fn refused(reason: impl Into<String>) -> LedgerError {
        LedgerError::Refused { reason: reason.into() }
    }

    /// Returns the error for what the system said when `action` was tried.
    ///
    /// A file that may not grow (a quota, `ulimit -f`) is a full disk to the caller: more room is what fixes it.
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

    /// Returns the error for what the engine said when `action` was tried.
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
