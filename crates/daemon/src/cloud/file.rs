//! The audit log of a self-managed cluster: a file on this machine, or a copy of one. How such a file is followed over
//! its rotations is in `file_log`.

use std::path::{Path, PathBuf};

use glob::Pattern;
use ipnet::IpNet;
use stakeout_core::diagnostic::Diagnostic;
use stakeout_core::yaml::At;
use stakeout_notify::console::Service;

use super::Export;
use crate::file_log::FileLog;
use crate::section::{SectionReader, keys};

/// An audit log file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// The current file. Rotated files are followed beside it.
    pub(crate) path: PathBuf,
    /// A glob of rotated files that are not beside it, or have names of their own.
    pub(crate) rotated: Option<String>,
}

/// Records are audit events.
pub(super) const EXPORT: Export =
    Export { envelope: None, is_translated: false, own_needles: None, optional_members: &[] };

impl Settings {
    /// Reads `file`.
    pub(super) fn read(at: &At<'_>, reader: &SectionReader<'_>) -> Result<Settings, Diagnostic> {
        let map = keys(at, &["path", "rotated"])?;
        let at = map.need("path", "add the path of the audit log")?;
        if at.text()?.contains(['*', '?']) {
            return Err(at.error(
                "a pattern where one file is needed",
                "name the current file: rotated files beside it are read too, and `rotated` takes a pattern of others",
            ));
        }
        let rotated = map.get("rotated").map(|at| pattern(&at, reader)).transpose()?;
        Ok(Settings { path: reader.path(&at)?, rotated })
    }

    /// Returns nothing: a file is searched where it is.
    #[expect(clippy::unused_self, reason = "every cloud is asked in the same way")]
    pub(super) fn console(&self) -> Option<Service> {
        None
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
        FileLog::new(self.path.clone(), self.rotated.clone())
    }
}

/// Returns the pattern at `at`. A relative one starts at the config's directory, whose own name is no pattern.
fn pattern(at: &At<'_>, reader: &SectionReader<'_>) -> Result<String, Diagnostic> {
    let text = at.text()?;
    if text.ends_with('/') {
        return Err(at.error("a directory where files are needed", format!("write `{text}*` for all files in it")));
    }
    if text.split('/').any(|part| part == "**") {
        return Err(at.error("`**` would search whole trees", "write `*` for each directory"));
    }
    Pattern::new(text)
        .map_err(|error| at.error(format!("not a glob: {}", error.msg), "write `[[]` for a bracket in a name"))?;
    let base = Pattern::escape(&reader.base().to_string_lossy());
    Ok(Path::new(&base).join(text).to_string_lossy().into_owned())
}
