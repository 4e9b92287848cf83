//! Reading one section of the config: keys, names, numbers and paths, and below, URLs, secrets, credentials
//! and the choice of clusters.
//!
//! `config` knows which sections there are. What a section means is decided where it is used: in `cloud` and `config`.
//! A secret may be in the wrong place. So no error repeats a value where a mapping is needed, or a key that does not
//! look like one.

pub(crate) mod aws;
pub(crate) mod cluster_choice;
pub(crate) mod credential;
pub(crate) mod expand;
pub(crate) mod secret;
pub(crate) mod url;

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

use stakeout_core::diagnostic::{Diagnostic, suggestion};
use stakeout_core::text::counted;
use stakeout_core::yaml::{At, Map, Value};

use secret::SecretPolicy;

/// Looks up an environment variable.
pub(crate) type Environment<'a> = dyn Fn(&str) -> Option<String> + 'a;

const NAME_CHARS_MAX: usize = 63;
const CLUSTER_CHARS_MAX: usize = 128;
/// Unknown keys of a mapping that have an error each. A file with more is something else.
const UNKNOWN_KEYS_MAX: usize = 100;
/// A longer key may be a value without its key.
const KEY_CHARS_MAX: usize = 40;

/// Reads the sections of one config file: the base of its relative paths, where its secrets come from, and the warnings so
/// far.
pub(crate) struct SectionReader<'a> {
    base: &'a Path,
    environment: &'a Environment<'a>,
    secrets: SecretPolicy,
    /// Whether several processes may use this config at once, each on a machine of its own.
    has_replicas: bool,
    warnings: Vec<Diagnostic>,
}

impl<'a> SectionReader<'a> {
    /// Returns a reader that resolves relative paths against `base`, and variables in secrets with `environment`.
    pub(crate) fn new(base: &'a Path, environment: &'a Environment<'a>) -> SectionReader<'a> {
        SectionReader { base, environment, secrets: SecretPolicy::Read, has_replicas: false, warnings: Vec::new() }
    }

    /// Decides about the secrets of the sections that are read from now on.
    pub(crate) fn set_secrets(&mut self, policy: SecretPolicy) {
        self.secrets = policy;
    }

    /// Notes whether several processes may use this config at once, each on a machine of its own.
    pub(crate) fn set_replicas(&mut self, has_replicas: bool) {
        self.has_replicas = has_replicas;
    }

    /// Returns whether several processes may use this config at once, each on a machine of its own.
    pub(crate) fn has_replicas(&self) -> bool {
        self.has_replicas
    }

    /// Adds a warning.
    pub(crate) fn warn(&mut self, warning: Diagnostic) {
        self.warnings.push(warning);
    }

    /// Returns the warnings so far.
    pub(crate) fn into_warnings(self) -> Vec<Diagnostic> {
        self.warnings
    }

    /// Returns the path at `at` without `.` and double slashes. A relative path starts at the config's directory.
    pub(crate) fn path(&self, at: &At<'_>) -> Result<PathBuf, Diagnostic> {
        path(at, at.text()?, self.base)
    }

    /// Returns the directory at which relative paths start.
    pub(crate) fn base(&self) -> &Path {
        self.base
    }

    /// Returns the value of an environment variable that is not empty.
    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        (self.environment)(name).filter(|value| !value.is_empty())
    }
}

/// Reads the items of a list that must have some, each once.
pub(crate) fn listed(at: &At<'_>, read: fn(&At<'_>) -> Result<String, Diagnostic>) -> Result<Vec<String>, Diagnostic> {
    let mut items: Vec<String> = Vec::new();
    for at in at.list_or_one()? {
        let item = read(&at)?;
        if items.contains(&item) {
            return Err(at.error(format!("`{item}` is listed twice"), "remove one of the two"));
        }
        items.push(item);
    }
    if items.is_empty() {
        return Err(at.error("the list is empty", "name at least one, or remove the key"));
    }
    Ok(items)
}

/// Returns the path `text`, which was written at `at`, without `.` and double slashes. A relative path starts at `base`.
pub(crate) fn path(at: &At<'_>, text: &str, base: &Path) -> Result<PathBuf, Diagnostic> {
    if text.contains('\0') {
        return Err(at.error("a path with a NUL character", "write the path without it"));
    }
    Ok(base.join(text).components().collect())
}

/// Returns the mapping at `at`. A key that is not in `known` is an error with a suggestion.
pub(crate) fn keys<'a>(at: &At<'a>, known: &[&str]) -> Result<Map<'a>, Diagnostic> {
    let map = mapping(at, known)?;
    let first = unknown(&map, known).next().map(|(name, at)| unknown_key(map.at(), name, &at, known));
    first.map_or(Ok(map), Err)
}

/// Returns the mapping at `at`, whatever its keys are. Only the fix names `known`.
pub(crate) fn mapping<'a>(at: &At<'a>, known: &[&str]) -> Result<Map<'a>, Diagnostic> {
    let found = match &at.node.value {
        Value::Map(_) => return at.any_map(),
        Value::Null => "nothing",
        Value::Scalar { .. } => "one value",
        Value::List(_) => "a list",
    };
    Err(at.error(
        format!("{found} where a mapping is needed"),
        format!("write `key: value` pairs, indented below; expected keys: {}", known.join(", ")),
    ))
}

/// Returns an error for each key that is not in `known`, and one for all after [`UNKNOWN_KEYS_MAX`].
pub(crate) fn unknown_keys(map: &Map<'_>, known: &[&str]) -> Vec<Diagnostic> {
    let mut entries = unknown(map, known);
    let first = entries.by_ref().take(UNKNOWN_KEYS_MAX);
    let mut errors: Vec<Diagnostic> = first.map(|(name, at)| unknown_key(map.at(), name, &at, known)).collect();
    if let Some((_, at)) = entries.next() {
        let problem = counted(1 + entries.count(), "more unknown key");
        let error = map.at().error(problem, "check that the file is a config of Stakeout");
        errors.push(Diagnostic { line: at.line(), ..error });
    }
    errors
}

fn unknown<'m>(map: &'m Map<'_>, known: &'m [&str]) -> impl Iterator<Item = (&'m str, At<'m>)> + 'm {
    map.entries().filter(|(name, _)| !known.contains(name))
}

fn unknown_key(parent: &At<'_>, name: &str, at: &At<'_>, known: &[&str]) -> Diagnostic {
    let mut characters = name.chars();
    let is_word =
        name.len() <= KEY_CHARS_MAX && characters.all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
    if is_word {
        return at.error("unknown key", suggestion(name, known));
    }
    Diagnostic {
        line: at.line(),
        ..parent.error("unknown key", format!("put a space after each colon; expected keys: {}", known.join(", ")))
    }
}

/// Returns the name of a source or destination, which messages show and metrics have as a label.
pub(crate) fn name(at: &At<'_>) -> Result<String, Diagnostic> {
    let text = at.text()?;
    let is_inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-');
    if text.len() <= NAME_CHARS_MAX && text.chars().all(is_inner) && !text.starts_with(['.', '_', '-']) {
        return Ok(text.to_owned());
    }
    Err(at.error(
        "not a name",
        format!("write 1 to {NAME_CHARS_MAX} of a-z, 0-9, dot, dash and underscore, a letter or digit first"),
    ))
}

/// Returns the name of a cluster, which messages show as it is.
pub(crate) fn cluster(at: &At<'_>) -> Result<String, Diagnostic> {
    let text = at.text()?;
    if text.len() <= CLUSTER_CHARS_MAX && text.chars().all(|c| c.is_ascii_graphic()) {
        return Ok(text.to_owned());
    }
    Err(at
        .error("not the name of a cluster", format!("write 1 to {CLUSTER_CHARS_MAX} plain characters without spaces")))
}

/// Returns the whole number at `at`, which must be in `min..=max`.
pub(crate) fn number_within(at: &At<'_>, min: u32, max: u32) -> Result<u32, Diagnostic> {
    let number = at.integer()?;
    u32::try_from(number)
        .ok()
        .filter(|number| (min..=max).contains(number))
        .ok_or_else(|| at.error(format!("{number} is out of range"), format!("write a number from {min} to {max}")))
}

/// Returns why a file cannot be read, in the same words on every system.
pub(crate) fn io_problem(error: &io::Error, shown: &impl Display) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => format!("there is no `{shown}`"),
        io::ErrorKind::PermissionDenied => format!("this user may not read `{shown}`"),
        io::ErrorKind::InvalidData => format!("`{shown}` is not UTF-8 text"),
        io::ErrorKind::IsADirectory => format!("`{shown}` is a directory"),
        _ => format!("`{shown}` cannot be read: {error}"),
    }
}
