//! What a full disk or a kill leaves half-written of the engine's own files, and how it is put right before opening.
//!
//! sled 0.34.7 writes two files beside its log, and opens neither again when they are incomplete. Both can be made from
//! what is whole, so discarding them loses nothing. The log itself is never touched here.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use crate::directory::{CONF, SNAP};
use crate::error::{LedgerError, Result};

/// The name of a snapshot of the log ends with this until it is whole (sled's `write_snapshot` renames it then). sled
/// takes such a file for the newest snapshot, and refuses to open.
const UNFINISHED: &str = ".generating";
/// The settings of the engine, as sled writes them for the way in which it is opened here; its checksum follows.
const SETTINGS: &[u8] = b"segment_size: 524288\nuse_compression: false\nversion: 0.34\n";
/// The length of the checksum.
const CHECKSUM_BYTES: usize = 4;

/// Discards what is half-written of the engine's own files in `dir`: sled makes it again when it opens.
///
/// Fails where the directory cannot be read or changed.
pub(crate) fn discard(dir: &Path) -> Result<()> {
    let cannot_list = |error| LedgerError::of_io(format!("list the directory {}", dir.display()), error);
    for entry in fs::read_dir(dir).map_err(cannot_list)? {
        let entry = entry.map_err(cannot_list)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(SNAP) && name.ends_with(UNFINISHED) {
            remove(&entry.path())?;
        }
    }
    let conf = dir.join(CONF);
    match fs::read(&conf) {
        Ok(settings) if is_half_written(&settings) => remove(&conf),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(LedgerError::of_io(format!("read {}", conf.display()), error)),
    }
}

fn remove(path: &Path) -> Result<()> {
    tracing::warn!(file = %path.display(), "discarding an unfinished file of the database; it is made again");
    let removed: io::Result<()> = fs::remove_file(path);
    removed.map_err(|error| LedgerError::of_io(format!("remove {}", path.display()), error))
}

/// Returns whether these are our settings, cut off or ending in zeros, as a kill, a full disk or a power cut leaves them.
/// Other settings were chosen by somebody: sled says what is wrong with them.
fn is_half_written(settings: &[u8]) -> bool {
    let written = settings.len() - settings.iter().rev().take_while(|byte| **byte == 0).count();
    let text = written.min(SETTINGS.len());
    settings[..text] == SETTINGS[..text] && written < SETTINGS.len() + CHECKSUM_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_still_writes_these_settings() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        drop(crate::engine::Engine::open(dir.path()).expect("a new database"));
        let settings = fs::read(dir.path().join(CONF)).expect("settings");
        assert_eq!(settings.strip_prefix(SETTINGS).map(<[u8]>::len), Some(CHECKSUM_BYTES));
        assert!(!is_half_written(&settings));
    }
}
