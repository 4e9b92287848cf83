//! The logs to read: `sources`.
//!
//! A source has a name for people and a `LogId` for its state: a renamed source continues where it was.

use std::collections::HashSet;
use std::sync::Arc;

use stakeout_core::diagnostic::Diagnostic;
use stakeout_core::source::{LogId, Source};
use stakeout_core::yaml::{At, Map};
use stakeout_notify::LogConsole;

use super::schedule::{self, Schedule};
use crate::cloud::{Cloud, Settings};
use crate::section::cluster_choice::ClusterChoice;
use crate::section::{self, SectionReader, keys};

/// At the lowest quota, 5 requests a second for an account and region, an hour leaves each of them 17 pages.
const SOURCES_MAX: usize = 1024;

/// One log, and how it is read.
#[derive(Clone, Debug)]
pub(crate) struct SourceConfig {
    /// Name, provider, cluster and log.
    pub(crate) source: Source,
    /// The settings of the service or file that keeps the log.
    pub(crate) settings: Settings,
    /// How long after its end a window is read again, ascending.
    pub(crate) reread_seconds: Vec<i64>,
    /// Where the very first window begins, relative to the tick.
    pub(crate) start_seconds: i64,
    /// The discovery that found it; `None` if the config names it.
    pub(crate) found_by: Option<String>,
    /// What tells its clusters apart, if the log holds events of several.
    pub(crate) shared: Option<Arc<SharedConfig>>,
}

/// Which clusters of a log are watched.
#[derive(Clone, Debug)]
pub(crate) struct SharedConfig {
    /// Which, and what they are called.
    pub(crate) choice: ClusterChoice,
    /// The logs of single clusters that the config names: what they hold is not read twice.
    pub(crate) taken: HashSet<LogId>,
}

impl SourceConfig {
    /// Returns whether a list found it, which may not find it again.
    pub(crate) fn is_found(&self) -> bool {
        self.found_by.is_some() && self.shared.is_none()
    }

    /// Returns where the log can be searched by hand.
    pub(crate) fn console(&self) -> Option<LogConsole> {
        let service = self.settings.console()?;
        Some(LogConsole { cluster: self.source.cluster.to_string(), service })
    }
}

/// Reads `sources`, which a config with `discover` need not have. An error in one of them does not hide the errors in the others.
pub(super) fn read(
    top: &Map<'_>,
    schedule: &Schedule,
    reader: &mut SectionReader<'_>,
    errors: &mut Vec<Diagnostic>,
) -> Option<Vec<SourceConfig>> {
    let items = items(top).map_err(|error| errors.push(error)).ok()?;
    let mut read: Vec<(SourceConfig, At<'_>)> = Vec::new();
    for at in items {
        let source = source(&at, schedule, reader).and_then(|source| {
            check_unique(&source, &at, &read)?;
            Ok(source)
        });
        match source {
            Ok(source) => {
                warn_of_one_cluster(&source, &at, &read, reader);
                read.push((source, at));
            }
            Err(error) => errors.push(error),
        }
    }
    Some(read.into_iter().map(|(source, _)| source).collect())
}

fn items<'a>(top: &Map<'a>) -> Result<Vec<At<'a>>, Diagnostic> {
    let fix = "add at least one log, such as - {name: prod, file: {path: /var/log/kubernetes/audit.log}}";
    if top.get("sources").is_none() && top.get("discover").is_some() {
        return Ok(Vec::new());
    }
    let at = top.need("sources", fix)?;
    let items = at.list()?;
    match items.len() {
        0 => Err(at.error("no log is named", fix)),
        1..=SOURCES_MAX => Ok(items),
        number => Err(at.error(
            format!("{number} sources"),
            format!("keep at most {SOURCES_MAX}, and run a second daemon for the others"),
        )),
    }
}

fn source(at: &At<'_>, schedule: &Schedule, reader: &mut SectionReader<'_>) -> Result<SourceConfig, Diagnostic> {
    let known = ["name", "cluster", "reread", "start"];
    let map = keys(at, &[&known[..], &Cloud::ALL.map(Cloud::config_key)].concat())?;
    let name = section::name(&map.need("name", "give each source a name of its own")?)?;
    let settings = settings(&map, reader)?;
    let cluster = cluster(&map, &name, &settings)?;
    let reread = map.get("reread").map(|at| schedule::reread(&at));
    let start = map.get("start").map(|at| schedule::start(&at, schedule));
    Ok(SourceConfig {
        source: Source { name, provider: settings.provider(), cluster: cluster.into(), log: settings.log() },
        settings,
        reread_seconds: reread.transpose()?.unwrap_or_else(|| schedule.reread_seconds.clone()),
        start_seconds: start.transpose()?.unwrap_or(schedule.start_seconds),
        found_by: None,
        shared: None,
    })
}

fn settings(map: &Map<'_>, reader: &mut SectionReader<'_>) -> Result<Settings, Diagnostic> {
    let named: Vec<_> = map.entries().filter_map(|(name, at)| Some((Cloud::of_config_key(name)?, at))).collect();
    match named.as_slice() {
        [] => Err(map
            .at()
            .error("no log is named", format!("add one of {}", Cloud::ALL.map(Cloud::config_key).join(", ")))),
        [(cloud, at)] => Settings::read(*cloud, at, reader),
        [(first, _), (second, at), ..] => {
            let (first, second) = (first.config_key(), second.config_key());
            Err(at
                .error(format!("a second log beside {first}"), format!("give {second} an entry and a name of its own")))
        }
    }
}

/// Returns the cluster's name: from its key, else from the log's settings. A file without one gets the source's name.
fn cluster(map: &Map<'_>, name: &str, settings: &Settings) -> Result<String, Diagnostic> {
    let known = settings.cluster().or(matches!(settings, Cloud::File(_)).then_some(name));
    match (map.get("cluster"), known) {
        (None, Some(known)) => Ok(known.to_owned()),
        _ => section::cluster(&map.need("cluster", "add the cluster's name: the log's name does not contain it")?),
    }
}

fn check_unique(source: &SourceConfig, at: &At<'_>, before: &[(SourceConfig, At<'_>)]) -> Result<(), Diagnostic> {
    for (other, other_at) in before {
        let line = other_at.line();
        if other.source.name == source.source.name {
            return Err(value_of(at, "name")
                .error(format!("the source in line {line} has this name too"), "give each source a name of its own"));
        }
        if other.source.log == source.source.log {
            return Err(value_of(at, source.source.provider.as_str()).error(
                format!("reads the same log as {} in line {line}", other.source.name),
                "remove one of the two, or each request counts twice",
            ));
        }
    }
    Ok(())
}

fn warn_of_one_cluster(
    source: &SourceConfig,
    at: &At<'_>,
    before: &[(SourceConfig, At<'_>)],
    reader: &mut SectionReader<'_>,
) {
    let twin = before.iter().find(|(other, _)| {
        other.source.cluster == source.source.cluster && other.source.provider == source.source.provider
    });
    if let Some((other, other_at)) = twin {
        reader.warn(at.error(
            format!(
                "cluster {} is also that of {} in line {}",
                source.source.cluster,
                other.source.name,
                other_at.line()
            ),
            "if they are two clusters, give one of them its own name with `cluster:`",
        ));
    }
}

/// Returns the value of `key` in `at`, or `at` where it has no such key.
fn value_of<'a>(at: &At<'a>, key: &str) -> At<'a> {
    at.any_map().ok().and_then(|map| map.get(key)).unwrap_or_else(|| at.clone())
}
