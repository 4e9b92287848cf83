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

use super::expand::{CREDENTIALS_DIRECTORY, expand_text};
use super::{SectionReader, io_problem, path};

/// No URL or token comes near this; a larger file was named by mistake.
const FILE_BYTES_MAX: u64 = 64 * 1024;
const READABLE_BY_ALL: u32 = 0o004;

/// The keys of secrets, without those of their files.
const SECRET_KEYS: [&str; 6] = ["webhook_url", "bot_token", "routing_key", "url", "token", "client_secret"];

/// What a verb does about the secrets of a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SecretPolicy {
    /// It uses them.
    Read,
    /// It checks those that are readable outside of the service.
    Check,
    /// It uses those that it can read, and does without the others.
    Try,
    /// It does not need them.
    Skip,
}

/// What a verb does about the secrets of the sources and of the destinations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SecretScope<'a> {
    /// About those of `sources`.
    pub(crate) sources: SecretPolicy,
    /// About those of `notify`.
    notify: SecretPolicy,
    /// The only destination whose secrets it needs, if not all.
    destination: Option<&'a str>,
    /// About that of `heartbeat`.
    pub(crate) heartbeat: SecretPolicy,
    /// About that of `state`.
    pub(crate) state: SecretPolicy,
}

impl<'a> SecretScope<'a> {
    /// It reads logs and sends messages.
    pub(crate) const ALL: SecretScope<'static> =
        SecretScope { state: SecretPolicy::Read, ..SecretScope::of(SecretPolicy::Read, SecretPolicy::Read) };
    /// It reads logs only.
    pub(crate) const SOURCES: SecretScope<'static> = SecretScope::of(SecretPolicy::Read, SecretPolicy::Skip);
    /// It reads logs, and checks the heartbeat and bots where it may.
    pub(crate) const DOCTOR: SecretScope<'static> = SecretScope {
        heartbeat: SecretPolicy::Check,
        notify: SecretPolicy::Try,
        state: SecretPolicy::Try,
        ..SecretScope::SOURCES
    };
    /// It checks the config.
    pub(crate) const CHECK: SecretScope<'static> =
        SecretScope { state: SecretPolicy::Check, ..SecretScope::of(SecretPolicy::Check, SecretPolicy::Check) };
    /// It does neither, but may read the state.
    pub(crate) const NONE: SecretScope<'static> =
        SecretScope { state: SecretPolicy::Try, ..SecretScope::of(SecretPolicy::Skip, SecretPolicy::Skip) };

    const fn of(sources: SecretPolicy, notify: SecretPolicy) -> SecretScope<'static> {
        SecretScope { sources, notify, destination: None, heartbeat: notify, state: SecretPolicy::Skip }
    }

    /// Returns the scope of a verb that sends messages to one destination, or to all.
    pub(crate) fn notify(destination: Option<&'a str>) -> SecretScope<'a> {
        SecretScope {
            sources: SecretPolicy::Skip,
            notify: SecretPolicy::Read,
            destination,
            heartbeat: SecretPolicy::Skip,
            state: SecretPolicy::Skip,
        }
    }

    /// Returns what the verb does about the secrets of a destination.
    pub(crate) fn of_destination(self, name: &str) -> SecretPolicy {
        if self.destination.is_none_or(|only| only == name) { self.notify } else { SecretPolicy::Skip }
    }
}

/// A secret, and where faults in it are reported.
pub(crate) struct Secret<'a> {
    /// The key that brought it.
    pub(crate) at: At<'a>,
    /// The secret; `None` if the verb does not need it.
    pub(crate) value: Option<SecretString>,
}

/// Returns whether the value of this key is a secret, or the path of one.
pub(super) fn is_secret(key: &str) -> bool {
    SECRET_KEYS.contains(&key.strip_suffix("_file").unwrap_or(key))
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
        let value = expanded(&at, reader)?.map(|text| trimmed(&at, &text, reader)).transpose()?;
        return Ok(Secret { at, value });
    };
    if map.get(key).is_some() {
        return Err(at.error(format!("both `{key}` and `{file_key}` are set"), "keep one of the two"));
    }
    let value = match expanded(&at, reader)?.map(|path| from_file(&at, &path, reader)).transpose() {
        Err(_) if reader.secrets == SecretPolicy::Try => None,
        read => read?,
    };
    Ok(Secret { at, value })
}

/// Returns the text at `at` with its variables replaced, or `None` if the verb does not need it.
fn expanded(at: &At<'_>, reader: &mut SectionReader<'_>) -> Result<Option<String>, Diagnostic> {
    let text = at.text()?;
    let is_of_service = text.contains(&format!("${{{CREDENTIALS_DIRECTORY}}}"));
    match (reader.secrets, expand_text(at, text, reader.environment)) {
        (SecretPolicy::Skip, _) | (SecretPolicy::Try, Err(_)) => Ok(None),
        (SecretPolicy::Check, Err(error)) if is_of_service => {
            let problem = format!("the secret is not checked: {}", error.problem);
            let fix = error.fix;
            reader.warn(at.error(problem, fix));
            Ok(None)
        }
        (_, expanded) => expanded.map(Some),
    }
}

/// Returns a secret without the blanks and line breaks around it, which tools and editors add.
fn trimmed(at: &At<'_>, text: &str, reader: &mut SectionReader<'_>) -> Result<SecretString, Diagnostic> {
    let secret = text.trim();
    if secret.is_empty() {
        return Err(at.error("the secret is empty", "write the secret into it"));
    }
    // Every editor ends a file with one line break.
    let line = text.strip_suffix('\n').unwrap_or(text);
    if line.strip_suffix('\r').unwrap_or(line) != secret {
        reader.warn(at.error("there are blanks or line breaks around the secret, which are left out", "remove them"));
    }
    Ok(SecretString::from(secret))
}

fn from_file(at: &At<'_>, shown: &str, reader: &mut SectionReader<'_>) -> Result<SecretString, Diagnostic> {
    let file = path(at, shown, reader.base)?;
    let cannot_read = |error: std::io::Error| {
        at.error(
            io_problem(&error, &shown),
            "create the file, or correct the path: a relative one begins at the config's directory",
        )
    };
    let metadata = fs::metadata(&file).map_err(cannot_read)?;
    if !metadata.is_file() {
        return Err(at.error(format!("`{shown}` is not a regular file"), "name a file that holds only the secret"));
    }
    let text = read_bounded(&file).map_err(cannot_read)?;
    let Some(text) = text else {
        return Err(at.error(
            format!("`{shown}` is larger than {FILE_BYTES_MAX} bytes"),
            "name a file that holds only the secret",
        ));
    };
    if text.trim().is_empty() {
        return Err(at.error(format!("`{shown}` is empty"), "write the secret into it"));
    }
    if metadata.permissions().mode() & READABLE_BY_ALL != 0 {
        reader.warn(at.error(
            format!("`{shown}` may be read by every user of this machine"),
            format!("take the right away: chmod o-r {shown}"),
        ));
    }
    trimmed(at, &text, reader)
}

/// Returns the file's text, or `None` where it is too large.
fn read_bounded(path: &Path) -> std::io::Result<Option<String>> {
    let mut text = String::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    let size = u64::try_from(text.len()).unwrap_or(u64::MAX);
    Ok((size <= FILE_BYTES_MAX).then_some(text))
}
