//! The audit log of a self-managed cluster: a file on this machine, or a copy of one. How such a file is followed over
//! its rotations is in `file_log`.

use std::path::PathBuf;

use ipnet::IpNet;
use stakeout_core::diagnostic::Diagnostic;
use stakeout_core::yaml::At;

use super::Export;
use crate::file_log::FileLog;
use crate::section::{SectionReader, keys};

/// An audit log file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// The current file. Its rotated siblings are in the same directory.
    pub(crate) path: PathBuf,
}

/// Records are audit events.
pub(super) const EXPORT: Export =
    Export { envelope: None, is_translated: false, own_needles: None, optional_members: &[] };

impl Settings {
    /// Reads `file`.
    pub(super) fn read(at: &At<'_>, reader: &SectionReader<'_>) -> Result<Settings, Diagnostic> {
        let map = keys(at, &["path"])?;
        let at = map.need("path", "add the path of the audit log")?;
        if at.text()?.contains(['*', '?']) {
            return Err(at.error(
                "a pattern where one file is needed",
                "name the current file: its rotated siblings are read too",
            ));
        }
        Ok(Settings { path: reader.path(&at)? })
    }

    /// Returns which log this is.
    pub(super) fn log(&self) -> String {
        format!("file/{}", self.path.display())
    }

    /// Returns nothing: a path does not contain the name of a cluster.
    #[expect(clippy::unused_self, reason = "every cloud is asked in the same way")]
    pub(super) fn cluster(&self) -> Option<&str> {
        None
    }

    /// Returns nothing: requests come to the API server as they are.
    #[expect(clippy::unused_self, reason = "every cloud is asked in the same way")]
    pub(super) fn control_plane_proxies(&self) -> Vec<IpNet> {
        Vec::new()
    }

    /// Returns the log.
    pub(super) fn open(&self) -> FileLog {
        FileLog::new(self.path.clone())
    }
}
