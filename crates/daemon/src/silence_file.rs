//! The file with silences: reading it, and the two changes that `stakeout silence` makes to its text. Everything else in it stays
//! as a person wrote it, comments included.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::Path;

use anyhow::{Context, anyhow};
use jiff::Timestamp;
use serde_json::Value;
use stakeout_core::diagnostic::Diagnostic;
use stakeout_core::silence::{DAYS_MAX, SILENCES_MAX, Silence, Silences};
use stakeout_core::text::is_invisible;
use stakeout_core::time::Second;
use stakeout_core::yaml::{self, At, Map};
use stakeout_notify::ocsf;

use crate::exit::Failure;
use crate::network;
use crate::section::{self, io_problem, keys};

/// A thousand silences have a tenth of it.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// The widest source: 10.0.0.0/8 and fd00::/8 are networks that somebody has, and nobody has a wider one.
const PREFIX_MIN: u8 = 8;
/// Longest reason, owner, rule, cluster or user.
const TEXT_CHARS_MAX: usize = 500;
const KEYS: [&str; 8] = ["id", "source", "cluster", "rule", "user", "reason", "owner", "until"];
const DAY_SECONDS: i64 = 24 * 3_600;

/// What a file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parsed {
    /// The silences that are right.
    pub(crate) silences: Silences,
    /// What is wrong with the others.
    pub(crate) errors: Vec<Diagnostic>,
}

impl Parsed {
    fn wrong(error: Diagnostic) -> Parsed {
        Parsed { silences: Silences::default(), errors: vec![error] }
    }

    /// Returns the silences, or all errors.
    pub(crate) fn good(self) -> Result<Silences, Vec<Diagnostic>> {
        if self.errors.is_empty() { Ok(self.silences) } else { Err(self.errors) }
    }
}

/// Reads the file at `path`. Returns `None` where there is no file.
pub(crate) fn read(path: &Path, now: Second) -> Option<Parsed> {
    match text_of(path) {
        Ok(text) => Some(parse(&path.display().to_string(), &text, now)),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => {
            let problem = io_problem(&error, &path.display());
            Some(Parsed::wrong(whole(path, problem, "write a YAML file with a list of silences")))
        }
    }
}

/// Parses a file with the name `file`. A silence that is over is no error: it silences nothing.
pub(crate) fn parse(file: &str, text: &str, now: Second) -> Parsed {
    let documents = match yaml::parse(file, text) {
        Ok(documents) => documents,
        Err(error) => return Parsed::wrong(error),
    };
    let Some(node) = documents.first() else { return Parsed::default() };
    if let Some(second) = documents.get(1) {
        let error = whole(Path::new(file), "a second document begins here", "write one list of silences");
        return Parsed::wrong(Diagnostic { line: second.line, ..error });
    }
    let top = At::top(file, node);
    if top.is_null() {
        return Parsed::default();
    }
    let items = match top.list() {
        Ok(items) => items,
        Err(error) => return Parsed::wrong(error),
    };
    if items.len() > SILENCES_MAX {
        let fix = format!("keep at most {SILENCES_MAX}: remove those that are over");
        return Parsed::wrong(top.error(format!("{} silences", items.len()), fix));
    }
    let mut errors = Vec::new();
    let mut silences: Vec<Silence> = Vec::new();
    let mut lines: BTreeMap<String, usize> = BTreeMap::new();
    for item in &items {
        match entry(item, now) {
            Ok(silence) => match lines.entry(silence.id.clone()) {
                Entry::Occupied(first) => errors.push(item.error(
                    format!("the silence in line {} has the same id `{}`", first.get(), silence.id),
                    "give each silence its own id",
                )),
                Entry::Vacant(free) => {
                    free.insert(item.line());
                    silences.push(silence);
                }
            },
            Err(error) => errors.push(error),
        }
    }
    Parsed { silences: Silences::new(silences), errors }
}

/// Parses a silence that is written on one line.
pub(crate) fn parse_entry(text: &str, now: Second) -> Result<Silence, Diagnostic> {
    let silences = parse("silence", &format!("- {text}"), now).good().map_err(|mut errors| errors.remove(0))?;
    let mut found = silences.iter().cloned();
    match (found.next(), found.next()) {
        (Some(silence), None) => Ok(silence),
        _ => Err(whole(Path::new("silence"), "not one silence", "write one mapping")),
    }
}

fn entry(at: &At<'_>, now: Second) -> Result<Silence, Diagnostic> {
    let map = keys(at, &KEYS)?;
    let id = section::name(&map.need("id", "give it an id, such as pentest-1")?)?;
    let source = map.get("source").map(|at| {
        let network = network::parse(at.text()?).map_err(|error| at.error(error.problem, error.fix))?;
        match network {
            // Sources of IPv6 are networks of this length.
            ipnet::IpNet::V6(narrow) if narrow.prefix_len() > 64 => {
                let fix = "write its /64: Stakeout counts a /64 as one source";
                Err(at.error(format!("`{}` is a part of one source", at.text()?), fix))
            }
            wide if wide.prefix_len() < PREFIX_MIN => {
                let fix = format!("write a network of at least /{PREFIX_MIN}, or name only a cluster or a rule");
                Err(at.error(format!("`{}` is a large part of the internet", at.text()?), fix))
            }
            network => Ok(network),
        }
    });
    let text_of = |key| map.get(key).map(|at| text(&at)).transpose();
    let silence = Silence {
        id,
        source: source.transpose()?,
        cluster: text_of("cluster")?,
        rule: text_of("rule")?,
        user: text_of("user")?,
        reason: text(&map.need("reason", "say why, such as: penetration test of team blue")?)?,
        owner: text(&map.need("owner", "say who answers questions about it")?)?,
        until: until(&map, now)?,
    };
    let Silence { source, cluster, rule, user, .. } = &silence;
    if source.is_none() && cluster.is_none() && rule.is_none() && user.is_none() {
        return Err(at.error("it would silence everything", "name a source, cluster, rule or user"));
    }
    Ok(silence)
}

fn text(at: &At<'_>) -> Result<String, Diagnostic> {
    let text = at.text()?;
    match text.chars().count() {
        0..=TEXT_CHARS_MAX => Ok(text.to_owned()),
        more => Err(at.error(format!("a text of {more} characters"), format!("write at most {TEXT_CHARS_MAX}"))),
    }
}

fn until(map: &Map<'_>, now: Second) -> Result<Second, Diagnostic> {
    let at = map.need("until", "say when it ends, such as 2026-12-24T00:00:00Z")?;
    let text = at.text()?;
    let until = text.parse::<Timestamp>().map(Second::from);
    let until =
        until.map_err(|_| at.error(format!("`{text}` is not a time in RFC 3339"), "write 2026-12-24T00:00:00Z"))?;
    let latest = now.plus(DAYS_MAX * DAY_SECONDS);
    if until > latest {
        let fix = format!("write {latest} or earlier, and extend it when that is near");
        return Err(at.error(format!("`{text}` is more than {DAYS_MAX} days ahead"), fix));
    }
    Ok(until)
}

/// Adds `silence` to the file, which need not exist.
pub(crate) fn add(path: &Path, silence: &Silence, now: Second) -> Result<(), Failure> {
    change(path, now, |text, before| {
        if before.iter().any(|known| known.id == silence.id) {
            return Err(Failure::Usage(format!("the id {} is in use: choose another one with --id", silence.id)));
        }
        let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        let after = Silences::new(before.iter().chain([silence]).cloned().collect());
        Ok((format!("{text}{end}{}", written(silence)), after))
    })
}

/// Ends the silence with this id now, and returns it.
pub(crate) fn expire(path: &Path, id: &str, now: Second) -> Result<Silence, Failure> {
    let mut expired = None;
    change(path, now, |text, before| {
        let known: Vec<&str> = before.iter().map(|silence| silence.id.as_str()).collect();
        let Some(silence) = before.iter().find(|silence| silence.id == id) else {
            let suggestion = stakeout_core::diagnostic::suggestion(id, &known);
            return Err(Failure::Usage(format!("no silence has the id `{id}`; {suggestion}")));
        };
        if silence.is_over(now) {
            return Err(Failure::Usage(format!("the silence {id} was over at {}", silence.until)));
        }
        let ended = Silence { until: now, ..silence.clone() };
        let after = before.iter().map(|one| if one.id == id { ended.clone() } else { one.clone() }).collect();
        expired = Some(ended);
        Ok((with_until(path, text, id, now)?, Silences::new(after)))
    })?;
    expired.ok_or_else(|| anyhow!("the silence {id} was not found").into())
}

/// Returns the text with another end of the silence. The line of `until` is the only one that changes.
fn with_until(path: &Path, text: &str, id: &str, until: Second) -> Result<String, Failure> {
    let file = path.display().to_string();
    let line = line_of_until(&file, text, id).map_err(|error| Failure::Config(vec![error]))?;
    let Some((line, value)) = line else { return Err(anyhow!("the silence {id} was not found").into()) };
    let mut lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
    if let Some(line) = lines.get_mut(line.saturating_sub(1)) {
        *line = line.replacen(&value, &until.to_string(), 1);
    }
    Ok(lines.join("\n"))
}

/// Returns the line of `until` of the silence with this id, and what is written there.
fn line_of_until(file: &str, text: &str, id: &str) -> Result<Option<(usize, String)>, Diagnostic> {
    let documents = yaml::parse(file, text)?;
    let Some(node) = documents.first() else { return Ok(None) };
    for item in At::top(file, node).list()? {
        let map = keys(&item, &KEYS)?;
        if map.need("id", "")?.text()? == id {
            let until = map.need("until", "")?;
            return Ok(Some((until.line(), until.text()?.to_owned())));
        }
    }
    Ok(None)
}

/// Changes the text of the file while no other process does, and checks that the changed text means what it should. The file is
/// replaced at once: whoever reads it sees the old text or the new one.
fn change(
    path: &Path,
    now: Second,
    changed: impl FnOnce(&str, &Silences) -> Result<(String, Silences), Failure>,
) -> Result<(), Failure> {
    let shown = path.display();
    // Git or a ConfigMap may link to it. The target is replaced, not the link.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let locked = File::open(directory).with_context(|| format!("cannot open the directory of {shown}"))?;
    locked.lock().with_context(|| format!("cannot lock the directory of {shown}"))?;
    let text = match text_of(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => return Err(anyhow!(io_problem(&error, &shown)).into()),
    };
    let name = shown.to_string();
    let before = parse(&name, &text, now).good().map_err(Failure::Config)?;
    let (changed, expected) = changed(&text, &before)?;
    if parse(&name, &changed, now).good() != Ok(expected) {
        let hint = "write it as a list with `- id: ...` at the left edge, or change it by hand";
        return Err(anyhow!("{shown} is written in a way that this command cannot change: {hint}").into());
    }
    replace(&path, directory, &changed).with_context(|| format!("cannot write {shown}"))?;
    // The new name must be on the disk too.
    locked.sync_all().with_context(|| format!("cannot write the directory of {shown}"))?;
    Ok(())
}

fn replace(path: &Path, directory: &Path, text: &str) -> std::io::Result<()> {
    let mut file = tempfile::Builder::new().prefix(".silences-").tempfile_in(directory)?;
    file.write_all(text.as_bytes())?;
    let permissions = fs::metadata(path).map(|metadata| metadata.permissions());
    file.as_file().set_permissions(permissions.unwrap_or_else(|_| readable()))?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

/// The daemon may be another user.
fn readable() -> fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o644)
}

/// Returns the text of the file; `InvalidData` where it is too large or no text.
fn text_of(path: &Path) -> std::io::Result<String> {
    if fs::metadata(path)?.len() > FILE_BYTES_MAX {
        return Err(std::io::Error::other(format!("it is larger than {FILE_BYTES_MAX} bytes")));
    }
    fs::read_to_string(path)
}

/// Returns the silence as an entry of the list.
fn written(silence: &Silence) -> String {
    let Silence { id, source, cluster, rule, user, reason, owner, until } = silence;
    let mut text = format!("- id: {}\n", scalar(id));
    let source = source.map(|network| network.to_string());
    let pairs = [
        ("source", source.as_ref()),
        ("cluster", cluster.as_ref()),
        ("rule", rule.as_ref()),
        ("user", user.as_ref()),
        ("reason", Some(reason)),
        ("owner", Some(owner)),
    ];
    for (key, value) in pairs {
        if let Some(value) = value {
            text += &format!("  {key}: {}\n", scalar(value));
        }
    }
    text + &format!("  until: {until}\n")
}

/// Returns the silence as an entry on one line.
pub(crate) fn on_one_line(silence: &Silence) -> String {
    let text = written(silence);
    let lines: Vec<&str> = text.lines().map(|line| line.trim_start_matches("- ").trim_start()).collect();
    format!("{{{}}}", lines.join(", "))
}

/// Returns a text as YAML: as it is if that cannot mean something else, or as JSON, which YAML includes.
fn scalar(text: &str) -> String {
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '/' | '@');
    let begins = text.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
    let means_something = matches!(text.to_ascii_lowercase().as_str(), "null" | "true" | "false" | "yes" | "no");
    if begins && !means_something && text.chars().all(is_word) {
        return text.to_owned();
    }
    ocsf::to_line(&Value::String(text.to_owned()))
}

/// Returns whether no character of a text of the command line is invisible: it could hide in a file that people review.
pub(crate) fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.chars().count() <= TEXT_CHARS_MAX && !text.chars().any(is_invisible)
}

fn whole(path: &Path, problem: impl Into<String>, fix: &str) -> Diagnostic {
    let file = path.display().to_string();
    Diagnostic { file, line: 0, key: String::new(), problem: problem.into(), fix: fix.to_owned() }
}

#[cfg(test)]
mod tests;
