//! The audit log of a self-managed cluster: a file on this machine, or a copy of one. How such a file is followed over
//! its rotations is in `file_log`.

use std::path::{Path, PathBuf};

use glob::Pattern;
use ipnet::IpNet;
use stakeout_core::diagnostic::Diagnostic;
use stakeout_core::yaml::{At, Map};
use stakeout_notify::console::Service;

use super::Export;
use crate::file_log::FileLog;
use crate::section::{SectionReader, keys};

/// DNS allows no longer name.
const HOST_BYTES_MAX: usize = 253;

/// An audit log file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// The current file. Rotated files are followed beside it.
    pub(crate) path: PathBuf,
    /// A glob of rotated files that are not beside it, or have names of their own.
    pub(crate) rotated: Option<String>,
    /// The only host whose replica reads it; `None` where there is one process.
    pub(crate) host: Option<String>,
}

/// Records are audit events.
pub(super) const EXPORT: Export =
    Export { envelope: None, is_translated: false, own_needles: None, optional_members: &[] };

impl Settings {
    /// Reads `file`.
    pub(super) fn read(at: &At<'_>, reader: &mut SectionReader<'_>) -> Result<Settings, Diagnostic> {
        let map = keys(at, &["path", "rotated", "host"])?;
        let at = map.need("path", "add the path of the audit log")?;
        if at.text()?.contains(['*', '?']) {
            return Err(at.error(
                "a pattern where one file is needed",
                "name the current file: rotated files beside it are read too, and `rotated` takes a pattern of others",
            ));
        }
        let rotated = map.get("rotated").map(|at| pattern(&at, reader)).transpose()?;
        let path = reader.path(&at)?;
        Ok(Settings { path, rotated, host: host(&map, reader)? })
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

/// Returns the host whose replica reads the file. Several replicas need it: which of them has the file, they cannot know.
fn host(map: &Map<'_>, reader: &mut SectionReader<'_>) -> Result<Option<String>, Diagnostic> {
    let Some(at) = map.get("host") else {
        if reader.has_replicas() {
            let fix =
                "add `host:` with the name of the machine or pod that has the file, as `hostname` prints it there";
            return Err(map.at().error("replicas share this state, and a file is on one of them", fix));
        }
        return Ok(None);
    };
    let host = at.text()?;
    if host.is_empty() || host.len() > HOST_BYTES_MAX || host.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(at.error("not the name of a host", "write what `hostname` prints on the machine that has the file"));
    }
    if !reader.has_replicas() {
        reader.warn(at.error("there is one process, so `host` has no effect", "remove it, or see `state.postgres`"));
    }
    Ok(Some(host.to_owned()))
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
