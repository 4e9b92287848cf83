//! Secrets: written inline (also as `${NAME}`), or kept in a file of their own that `KEY_file` names.
//!
//! What is read here goes straight into a `SecretString`; no fault and no warning repeats a part of it.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use secrecy::SecretString;
use stakeout_core::diagnostic::Diagnostic;
use stakeout_core::yaml::{At, Map};

use super::{SectionReader, io_problem};

/// No URL or token comes near this; a larger file was named by mistake.
const FILE_BYTES_MAX: u64 = 64 * 1024;
const READABLE_BY_ALL: u32 = 0o004;

/// A secret, and where faults in it are reported.
pub(crate) struct Secret<'a> {
    /// The key that brought it.
    pub(crate) at: At<'a>,
    /// The secret.
    pub(crate) value: SecretString,
}

/// Reads the secret under `key`, or out of the file under `key` + `_file`; `what` says in words what is missing.
pub(crate) fn need<'a>(
    map: &Map<'a>,
    key: &str,
    what: &str,
    reader: &mut SectionReader<'_>,
) -> Result<Secret<'a>, Diagnostic> {
    let file_key = format!("{key}_file");
    let Some(at) = map.get(&file_key) else {
        let fix = format!("add {what}, or `{file_key}` with the path of a file that holds it");
        let at = map.need(key, &fix)?;
        let value = SecretString::from(at.text()?);
        return Ok(Secret { at, value });
    };
    if map.get(key).is_some() {
        return Err(at.error(format!("both `{key}` and `{file_key}` are set"), "keep one of the two"));
    }
    let value = from_file(&at, reader)?;
    Ok(Secret { at, value })
}

fn from_file(at: &At<'_>, reader: &mut SectionReader<'_>) -> Result<SecretString, Diagnostic> {
    let shown = at.text()?;
    let path = reader.path(at)?;
    let cannot_read = |error: std::io::Error| {
        at.error(
            io_problem(&error, &shown),
            "create the file, or correct the path: a relative one begins at the config's directory",
        )
    };
    let metadata = fs::metadata(&path).map_err(cannot_read)?;
    if !metadata.is_file() {
        return Err(at.error(format!("`{shown}` is not a regular file"), "name a file that holds only the secret"));
    }
    let text = read_bounded(&path).map_err(cannot_read)?;
    let Some(text) = text else {
        return Err(at.error(
            format!("`{shown}` is larger than {FILE_BYTES_MAX} bytes"),
            "name a file that holds only the secret",
        ));
    };
    let secret = text.strip_suffix('\n').unwrap_or(&text);
    let secret = secret.strip_suffix('\r').unwrap_or(secret);
    if secret.is_empty() {
        return Err(at.error(format!("`{shown}` is empty"), "write the secret into it"));
    }
    if metadata.permissions().mode() & READABLE_BY_ALL != 0 {
        reader.warn(at.error(
            format!("`{shown}` may be read by every user of this machine"),
            format!("take the right away: chmod o-r {shown}"),
        ));
    }
    Ok(SecretString::from(secret))
}

/// Returns the file's text, or `None` where it is too large.
fn read_bounded(path: &Path) -> std::io::Result<Option<String>> {
    let mut text = String::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    let size = u64::try_from(text.len()).unwrap_or(u64::MAX);
    Ok((size <= FILE_BYTES_MAX).then_some(text))
}
