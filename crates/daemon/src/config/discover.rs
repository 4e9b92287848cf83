//! Where logs are found beside those that the config names: `discover`.

use std::sync::Arc;

use stakeout_core::diagnostic::Diagnostic;
use stakeout_core::source::Source;
use stakeout_core::text::bounded;
use stakeout_core::yaml::{At, Map};

use super::schedule::{self, Schedule};
use super::sources::SourceConfig;
use crate::cloud::{Cloud, Discovery, FoundLog};
use crate::section::{self, keys};

/// Each discovery is asked at every tick.
const DISCOVERIES_MAX: usize = 64;
/// Longest name of a cluster, with its account and region.
const CLUSTER_CHARS_MAX: usize = 192;

/// A discovery, and how the logs are read that it finds.
#[derive(Clone, Debug)]
pub(crate) struct DiscoverConfig {
    /// The name, with which those of its sources begin.
    pub(crate) name: String,
    /// Where it looks.
    pub(crate) discovery: Arc<Discovery>,
    reread_seconds: Vec<i64>,
    start_seconds: i64,
}

impl DiscoverConfig {
    /// Returns the source of a log that it found: as if the config named it.
    pub(crate) fn source(&self, found: &FoundLog) -> SourceConfig {
        let cluster = bounded(&found.cluster, CLUSTER_CHARS_MAX);
        SourceConfig {
            source: Source {
                name: format!("{}/{cluster}", self.name),
                provider: found.settings.provider(),
                log: found.settings.log(),
                cluster: cluster.into(),
            },
            settings: found.settings.clone(),
            reread_seconds: self.reread_seconds.clone(),
            start_seconds: self.start_seconds,
            found_by: Some(self.name.clone()),
        }
    }
}

/// Reads `discover`. An error in one discovery does not hide the errors in the others.
pub(super) fn read(top: &Map<'_>, schedule: &Schedule, errors: &mut Vec<Diagnostic>) -> Option<Vec<DiscoverConfig>> {
    let Some(at) = top.get("discover") else { return Some(Vec::new()) };
    let items = at.list().and_then(|items| match items.len() {
        0 => Err(at.error("the list is empty", "add a discovery, or remove the key")),
        1..=DISCOVERIES_MAX => Ok(items),
        more => Err(at.error(format!("{more} discoveries"), format!("keep at most {DISCOVERIES_MAX}"))),
    });
    let items = items.map_err(|error| errors.push(error)).ok()?;
    let mut read: Vec<(DiscoverConfig, usize)> = Vec::new();
    for at in items {
        match discovery(&at, schedule, &read) {
            Ok(discovery) => read.push((discovery, at.line())),
            Err(error) => errors.push(error),
        }
    }
    Some(read.into_iter().map(|(discovery, _)| discovery).collect())
}

fn discovery(
    at: &At<'_>,
    schedule: &Schedule,
    before: &[(DiscoverConfig, usize)],
) -> Result<DiscoverConfig, Diagnostic> {
    let kind = Cloud::Eks(()).config_key();
    let map = keys(at, &["name", "reread", "start", kind])?;
    let name_at = map.need("name", "give each discovery a name of its own")?;
    let name = section::name(&name_at)?;
    if let Some((_, line)) = before.iter().find(|(other, _)| other.name == name) {
        return Err(name_at.error(
            format!("the discovery in line {line} has this name too"),
            "give each discovery a name of its own",
        ));
    }
    let discovery = Discovery::read(&map.need(kind, "add where to look, such as cloudwatch: {regions: [eu-west-1]}")?)?;
    let reread = map.get("reread").map(|at| schedule::reread(&at));
    let start = map.get("start").map(|at| schedule::start(&at, schedule));
    Ok(DiscoverConfig {
        name,
        discovery: Arc::new(discovery),
        reread_seconds: reread.transpose()?.unwrap_or_else(|| schedule.reread_seconds.clone()),
        start_seconds: start.transpose()?.unwrap_or(schedule.start_seconds),
    })
}
