//! Where logs are found beside those that the config names: `discover`.

use std::sync::Arc;

use stakeout_core::diagnostic::Diagnostic;
use stakeout_core::source::{ALL_CLUSTERS, Source};
use stakeout_core::yaml::{At, Map};

use super::schedule::{self, Schedule};
use super::sources::{SharedConfig, SourceConfig};
use crate::cloud::{Cloud, Discovery, FoundLog, Settings};
use crate::section::{self, SectionReader, keys};

/// The clouds whose clusters can be found.
const KINDS: [Cloud; 3] = [Cloud::Eks(()), Cloud::Gke(()), Cloud::Aks(())];
/// Each discovery is asked at every tick.
const DISCOVERIES_MAX: usize = 64;

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
        let cluster = found.cluster.as_str();
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
            shared: None,
        }
    }
}

/// Reads `discover`, beside the `named` sources. Returns the discoveries that list logs, and the logs that hold events of
/// all clusters. An error in one discovery does not hide the errors in the others.
pub(super) fn read(
    top: &Map<'_>,
    schedule: &Schedule,
    named: &[SourceConfig],
    reader: &mut SectionReader<'_>,
    errors: &mut Vec<Diagnostic>,
) -> Option<(Vec<DiscoverConfig>, Vec<SourceConfig>)> {
    let Some(at) = top.get("discover") else { return Some((Vec::new(), Vec::new())) };
    let items = at.list().and_then(|items| match items.len() {
        0 => Err(at.error("the list is empty", "add a discovery, or remove the key")),
        1..=DISCOVERIES_MAX => Ok(items),
        more => Err(at.error(format!("{more} discoveries"), format!("keep at most {DISCOVERIES_MAX}"))),
    });
    let items = items.map_err(|error| errors.push(error)).ok()?;
    let (mut names, mut lists, mut logs) = (Vec::new(), Vec::new(), Vec::new());
    for at in items {
        let read = name(&at, named, &mut names).and_then(|name| {
            match discovery(&at, name, schedule, named, reader)? {
                Discovered::List(list) => lists.push(list),
                Discovered::Logs(found) => {
                    check_unique(&at, &found, &logs)?;
                    logs.extend(found);
                }
            }
            Ok(())
        });
        errors.extend(read.err());
    }
    Some((lists, logs))
}

/// What a discovery is.
enum Discovered {
    /// It lists logs of one cluster each.
    List(DiscoverConfig),
    /// Its logs hold the events of all clusters.
    Logs(Vec<SourceConfig>),
}

/// Returns the name of a discovery, which neither another one nor a source has.
fn name(at: &At<'_>, named: &[SourceConfig], before: &mut Vec<(String, usize)>) -> Result<String, Diagnostic> {
    let fix = "give each discovery a name of its own";
    let name_at = at.any_map()?.need("name", fix)?;
    let name = section::name(&name_at)?;
    if let Some((_, line)) = before.iter().find(|(other, _)| *other == name) {
        return Err(name_at.error(format!("the discovery in line {line} has this name too"), fix));
    }
    if named.iter().any(|source| source.source.name == name) {
        return Err(name_at.error("a source has this name too", fix));
    }
    before.push((name.clone(), at.line()));
    Ok(name)
}

fn discovery(
    at: &At<'_>,
    name: String,
    schedule: &Schedule,
    named: &[SourceConfig],
    reader: &mut SectionReader<'_>,
) -> Result<Discovered, Diagnostic> {
    let kinds = KINDS.map(Cloud::config_key);
    let map = keys(at, &[&["name", "reread", "start"][..], &kinds].concat())?;
    let reread = map.get("reread").map(|at| schedule::reread(&at)).transpose()?;
    let start = map.get("start").map(|at| schedule::start(&at, schedule)).transpose()?;
    let reread_seconds = reread.unwrap_or_else(|| schedule.reread_seconds.clone());
    let start_seconds = start.unwrap_or(schedule.start_seconds);
    let of: Vec<_> = map.entries().filter_map(|(key, at)| Some((Cloud::of_config_key(key)?, at))).collect();
    let [(cloud, at)] = of.as_slice() else {
        let problem = if of.is_empty() { "nowhere to look" } else { "several clouds in one discovery" };
        let fix = format!("name one of {}, such as cloudwatch: {{regions: [eu-west-1]}}", kinds.join(", "));
        return Err(map.at().error(problem, fix));
    };
    if *cloud == Cloud::Eks(()) {
        let discovery = Arc::new(Discovery::read(at)?);
        return Ok(Discovered::List(DiscoverConfig { name, discovery, reread_seconds, start_seconds }));
    }
    let (logs, choice) = Settings::read_all(*cloud, at, reader)?;
    let taken = named.iter().map(|source| source.source.log.clone()).collect();
    let shared = Arc::new(SharedConfig { choice, taken });
    let is_one = logs.len() == 1;
    let source = |(suffix, settings): (String, Settings)| SourceConfig {
        source: Source {
            name: if is_one { name.clone() } else { format!("{name}/{suffix}") },
            provider: settings.provider(),
            cluster: ALL_CLUSTERS.into(),
            log: settings.log(),
        },
        settings,
        reread_seconds: reread_seconds.clone(),
        start_seconds,
        found_by: Some(name.clone()),
        shared: Some(shared.clone()),
    };
    Ok(Discovered::Logs(logs.into_iter().map(source).collect()))
}

/// Reports a log that an earlier discovery reads.
fn check_unique(at: &At<'_>, found: &[SourceConfig], before: &[SourceConfig]) -> Result<(), Diagnostic> {
    let twin = found.iter().find_map(|one| before.iter().find(|other| other.source.log == one.source.log));
    twin.map_or(Ok(()), |twin| {
        let problem = format!("reads the same log as the discovery {}", twin.found_by.as_deref().unwrap_or_default());
        Err(at.error(problem, "remove one of the two, or each request counts twice"))
    })
}
