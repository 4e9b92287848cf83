//! The configuration: a YAML file, parsed once into valid values.
//!
//! This module opens the file and combines its sections; each larger section has its own module. It does not decide what
//! the values are used for, and it does not read the rule files.

mod addresses;
mod admin;
mod daily;
pub(crate) mod discover;
mod duration;
mod heartbeat;
mod incidents;
pub(crate) mod route;
pub(crate) mod notify;
pub(crate) mod rules;
pub(crate) mod schedule;
pub(crate) mod sources;
mod state;

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use stakeout_core::address::TrustedProxies;
use stakeout_core::diagnostic::{Diagnostic, suggestion};
use stakeout_core::incident::IncidentOptions;
use stakeout_core::rule::Level;
use stakeout_core::yaml::{self, At, Map, Node};
use stakeout_http::Certificates;

use crate::cloud::budget::SHARE;
use crate::network;
use crate::outbound::CA_FILE;
use crate::section::secret::SecretScope;
use crate::section::{self, Environment, SectionReader, expand, io_problem, keys};

pub(crate) use addresses::AddressConfig;
pub(crate) use admin::AdminConfig;
pub(crate) use discover::DiscoverConfig;
pub(crate) use duration::parse as seconds_of;
pub(crate) use heartbeat::HeartbeatConfig;
use notify::Destination;
pub(crate) use rules::{DisabledRule, RuleSource};
pub(crate) use schedule::Schedule;
pub(crate) use sources::SourceConfig;
pub(crate) use state::{PostgresConfig, StateConfig, StatePlace};

/// A config has a few hundred lines; a larger file is probably the wrong one.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Most rows (rule, group, minute) of one window; the memory of the state is measured up to this number.
const ROWS_MAX: u32 = 100_000;
/// People act on findings of this level; lower ones are background.
const CONTEXT_QUERY_MIN: Level = Level::Medium;
const SECTIONS: [&str; 19] = [
    "schedule",
    "state",
    "rules",
    "disable",
    "trusted_proxies",
    "sources",
    "discover",
    "notify",
    "daily",
    "silences",
    "networks",
    "context",
    "incidents",
    "context_query",
    "admin",
    "heartbeat",
    "limits",
    "tls",
    "budget",
];

/// A parsed config, with the defaults filled in and the secrets read.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// When windows are read.
    pub(crate) schedule: Schedule,
    /// Where the state is, and how much of the past it keeps.
    pub(crate) state: StateConfig,
    /// Where the rules are; empty for the built-in ones alone.
    pub(crate) rules: Vec<RuleSource>,
    /// The rules among them that are not in use.
    pub(crate) disabled_rules: Vec<DisabledRule>,
    /// The proxies whose forwarded addresses are believed.
    pub(crate) trusted_proxies: TrustedProxies,
    /// The logs, in the order of the file; at least one, or one discovery. Those that were found are behind them.
    pub(crate) sources: Vec<SourceConfig>,
    /// Where other logs are found.
    pub(crate) discover: Vec<DiscoverConfig>,
    /// The destinations of findings and incidents, in the order of the file.
    pub(crate) notify: Vec<Destination>,
    /// The destinations that get one line a day.
    pub(crate) daily: Vec<String>,
    /// The file with silences, which need not exist.
    pub(crate) silences: Option<PathBuf>,
    /// What is known of addresses.
    pub(crate) addresses: AddressConfig,
    /// How incidents are joined and rated.
    pub(crate) incidents: IncidentOptions,
    /// Minimum level for which the context query runs, or `None` if it is off.
    pub(crate) context_query_min: Option<Level>,
    /// Where the admin page listens, and by which names it is asked for.
    pub(crate) admin: AdminConfig,
    /// The URL that hears of each tick, if there is one.
    pub(crate) heartbeat: Option<HeartbeatConfig>,
    /// Most rows (rule, group, minute) that one window stores; the rest is reported as a total.
    pub(crate) rows_max: u32,
    /// The share of the clouds' quotas that is used, above 0 and at most 1.
    pub(crate) budget: f64,
    /// A file of certificate authorities that are trusted beside the system's.
    pub(crate) ca_file: Option<PathBuf>,
    /// Values that are allowed but probably a mistake, in the order of lines.
    pub(crate) warnings: Vec<Diagnostic>,
}

impl Config {
    /// Returns the names of all clusters, or `None` where a discovery finds more of them.
    pub(crate) fn clusters(&self) -> Option<Vec<&str>> {
        let is_named = self.discover.is_empty() && self.sources.iter().all(|one| one.shared.is_none());
        is_named.then(|| self.sources.iter().map(|one| &*one.source.cluster).collect())
    }

    /// Reads the config file at `path`, and the secrets in `secrets`; the others are empty. `environment` looks up `${NAME}`.
    ///
    /// Returns all errors in the order of lines: at least the first error of each section.
    pub(crate) fn load(
        path: &Path,
        environment: &Environment<'_>,
        secrets: SecretScope<'_>,
    ) -> Result<Config, Vec<Diagnostic>> {
        let file = path.display().to_string();
        let text = read_file(path).map_err(|problem| {
            let fix = "name a readable config file with -c".to_owned();
            vec![whole_file(&file, problem, fix)]
        })?;
        let base =
            std::path::absolute(path).ok().and_then(|path| path.parent().map(Path::to_owned)).unwrap_or_default();
        Config::read(&file, &base, &text, environment, secrets)
    }

    /// Parses the config in `text`. Errors name the file as `file`, and relative paths in it begin at `base`.
    pub(crate) fn read(
        file: &str,
        base: &Path,
        text: &str,
        environment: &Environment<'_>,
        secrets: SecretScope<'_>,
    ) -> Result<Config, Vec<Diagnostic>> {
        let written = only_document(file, text).map_err(|error| vec![error])?;
        let mut errors = Vec::new();
        let node = expand::expand(&At::top(file, &written), environment, &mut errors);
        let mut reader = SectionReader::new(base, environment);
        let config = sections(&At::top(file, &node), secrets, &mut reader, &mut errors);
        match config {
            Some(config) if errors.is_empty() => Ok(Config { warnings: in_order(reader.into_warnings()), ..config }),
            _ => Err(in_order(errors)),
        }
    }
}

/// Parses every section, even after an error in one. Returns `None` if a section has an error.
fn sections(
    top: &At<'_>,
    secrets: SecretScope<'_>,
    reader: &mut SectionReader<'_>,
    errors: &mut Vec<Diagnostic>,
) -> Option<Config> {
    let map = keep(section::mapping(top, &SECTIONS), errors)?;
    let unknown = section::unknown_keys(&map, &SECTIONS);
    let has_typo = !unknown.is_empty();
    errors.extend(unknown);
    let schedule = keep(schedule::read(&map, reader), errors);
    let for_sources = schedule.clone().unwrap_or_default();
    reader.set_secrets(secrets.state);
    let state = keep(state::read(&map, reader), errors);
    reader.set_replicas(state.as_ref().is_some_and(|state| state.postgres().is_some()));
    reader.set_secrets(secrets.sources);
    let sources = if has_typo && map.get("sources").is_none() && map.get("discover").is_none() {
        None // The unknown key is probably a typo of it, so one error is enough.
    } else {
        sources::read(&map, &for_sources, reader, errors)
    };
    let discover = discover::read(&map, &for_sources, sources.as_deref().unwrap_or_default(), reader, errors);
    // What a discovery will find is not known.
    let named = sources.as_ref().filter(|_| map.get("discover").is_none());
    let clusters: Option<Vec<&str>> =
        named.map(|sources| sources.iter().map(|config| &*config.source.cluster).collect());
    let notify = notify::read(&map, clusters.as_deref(), secrets, reader, errors);
    let daily = keep(daily::read(&map, notify.as_deref()), errors);
    let silences = keep(map.get("silences").map(|at| reader.path(&at)).transpose(), errors);
    let addresses = keep(addresses::read(&map, reader), errors);
    let incidents = keep(incidents::read(&map), errors);
    let rules = keep(rules::read(&map, reader), errors);
    let disabled_rules = keep(rules::read_disabled(&map), errors);
    let trusted_proxies = keep(trusted_proxies(&map), errors);
    let admin = keep(admin::read(&map, reader), errors);
    let heartbeat = keep(heartbeat::read(&map, secrets.heartbeat, reader), errors);
    let context_query_min = keep(context_query_min(&map), errors);
    let rows_max = keep(rows_max(&map), errors);
    let budget = keep(budget(&map), errors);
    let ca_file = keep(ca_file(&map, reader), errors);
    let (discover, shared) = discover?;
    Some(Config {
        schedule: schedule?,
        state: state?,
        rules: rules?,
        disabled_rules: disabled_rules?,
        trusted_proxies: trusted_proxies?,
        sources: sources?.into_iter().chain(shared).collect(),
        discover,
        notify: notify?,
        daily: daily?,
        silences: silences?,
        addresses: addresses?,
        incidents: incidents?,
        context_query_min: context_query_min?,
        admin: admin?,
        heartbeat: heartbeat?,
        rows_max: rows_max?,
        ca_file: ca_file?,
        budget: budget?,
        warnings: Vec::new(),
    })
}

/// Returns the value, or adds its error to `errors`.
fn keep<T>(read: Result<T, Diagnostic>, errors: &mut Vec<Diagnostic>) -> Option<T> {
    read.map_err(|error| errors.push(error)).ok()
}

/// Sorts by line, and keeps only the first error of each key, because the later ones follow from it.
fn in_order(mut diagnostics: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let mut seen = HashSet::new();
    diagnostics.retain(|diagnostic| seen.insert((diagnostic.line, diagnostic.key.clone())));
    diagnostics.sort_by_key(|diagnostic| diagnostic.line);
    diagnostics
}

fn read_file(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let size = fs::metadata(path).map_err(|error| io_problem(&error, &shown))?;
    if size.len() > FILE_BYTES_MAX {
        return Err(format!("`{shown}` is larger than {FILE_BYTES_MAX} bytes"));
    }
    fs::read_to_string(path).map_err(|error| io_problem(&error, &shown))
}

fn whole_file(file: &str, problem: impl Into<String>, fix: impl Into<String>) -> Diagnostic {
    Diagnostic { file: file.to_owned(), line: 0, key: String::new(), problem: problem.into(), fix: fix.into() }
}

fn only_document(file: &str, text: &str) -> Result<Node, Diagnostic> {
    let mut documents = yaml::parse(file, text).map_err(|error| tab_or(error, text))?;
    if let Some(second) = documents.get(1) {
        let mut error = whole_file(
            file,
            "a second document begins here",
            "remove the line `---` and what follows it: a config is one document",
        );
        error.line = second.line;
        return Err(error);
    }
    match documents.pop() {
        Some(node) if node.value != yaml::Value::Null => Ok(node),
        _ => Err(whole_file(file, "the config is empty", "begin with the example config/stakeout.yaml")),
    }
}

/// Names a tab in the indentation if there is one. YAML allows none there, but its parser blames the line before.
fn tab_or(error: Diagnostic, text: &str) -> Diagnostic {
    let tab = text.lines().position(|line| {
        let indentation = line.len() - line.trim_start().len();
        line[..indentation].contains('\t') && indentation < line.len()
    });
    match tab {
        Some(index) if index <= error.line => Diagnostic {
            line: index + 1,
            problem: "a tab in the indentation".to_owned(),
            fix: "indent with spaces".to_owned(),
            ..error
        },
        _ => error,
    }
}

fn trusted_proxies(top: &Map<'_>) -> Result<TrustedProxies, Diagnostic> {
    let networks = top.get("trusted_proxies").map(|at| network::trusted_list(&at)).transpose()?;
    Ok(TrustedProxies::new(networks.unwrap_or_default()))
}

fn context_query_min(top: &Map<'_>) -> Result<Option<Level>, Diagnostic> {
    let Some(at) = top.get("context_query") else {
        return Ok(Some(CONTEXT_QUERY_MIN));
    };
    let text = at.text()?;
    if text == "off" {
        return Ok(None);
    }
    let known = [&Level::ALL.map(Level::as_str)[..], &["off"]].concat();
    text.parse().map(Some).map_err(|()| at.error(format!("`{text}` is not a severity"), suggestion(text, &known)))
}

fn rows_max(top: &Map<'_>) -> Result<u32, Diagnostic> {
    let Some(at) = top.get("limits") else {
        return Ok(ROWS_MAX);
    };
    let Some(at) = keys(&at, &["rows_max"])?.get("rows_max") else {
        return Ok(ROWS_MAX);
    };
    section::number_within(&at, 1, ROWS_MAX)
}

fn budget(top: &Map<'_>) -> Result<f64, Diagnostic> {
    let Some(at) = top.get("budget") else {
        return Ok(SHARE);
    };
    let text = at.text()?;
    let share = text.parse().ok().filter(|share: &f64| *share > 0.0 && *share <= 1.0);
    share.ok_or_else(|| {
        let fix = "write a number above 0 and at most 1, such as 0.5 for half of the quota";
        at.error(format!("`{text}` is not a share of the clouds' quotas"), fix)
    })
}

fn ca_file(top: &Map<'_>, reader: &SectionReader<'_>) -> Result<Option<PathBuf>, Diagnostic> {
    let Some(at) = top.get("tls") else {
        return Ok(None);
    };
    let Some(at) = keys(&at, &["ca_file"])?.get("ca_file") else {
        return Ok(None);
    };
    let path = reader.path(&at)?;
    match Certificates::none().with_file(CA_FILE, &path) {
        Ok(_) => Ok(Some(path)),
        Err(error) => Err(at.error(format!("`{}` {}", error.path, error.problem), error.fix)),
    }
}
