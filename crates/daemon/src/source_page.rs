//! What `sources` prints: which logs are watched, found how, how far they are read, and what reading them takes.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use stakeout_core::known_clusters::KnownCluster;
use stakeout_core::lease::Duty;
use stakeout_core::past_windows::WindowMark;
use stakeout_core::progress::Progress;
use stakeout_core::source::LogId;
use stakeout_core::text::{counted, visible};
use stakeout_core::time::Second;

use crate::config::{Config, SourceConfig};
use crate::log_list::LogList;
use crate::printed::{Format, Printed};
use crate::scan::ScanCost;
use crate::table::table;

/// The path on the admin page.
pub(crate) const PATH: &str = "/sources";
/// Where in the text the sources are found that the config names.
const NAMED: &str = "config";

/// What the last window of each log took since the process started. It is for people.
#[derive(Clone, Debug, Default)]
pub(crate) struct CostLog(Arc<Mutex<HashMap<LogId, ScanCost>>>);

impl CostLog {
    /// Notes what a window of a log took.
    pub(crate) fn note(&self, log: &LogId, cost: ScanCost) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(log.clone(), cost);
    }

    fn of(&self, log: &LogId) -> Option<ScanCost> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(log).copied()
    }
}

/// What is known of sources.
pub(crate) struct SourcePage {
    has_replicas: bool,
    sources: Vec<SourceState>,
    lists: Vec<ListState>,
}

struct SourceState {
    config: SourceConfig,
    progress: Option<Progress>,
    cost: Option<ScanCost>,
    /// The host of the replica that reads it.
    host: Option<String>,
}

/// A cluster of a log that holds events of several.
struct SeenCluster<'p> {
    source: &'p str,
    cluster: &'p KnownCluster,
}

struct ListState {
    name: String,
    place: String,
    progress: Option<Progress>,
}

impl SourcePage {
    /// Returns what the state knows of the sources that the config names, and of those that its lists found. `costs` is what a
    /// running daemon knows beside, and `hosts` says which replica has which duty.
    pub(crate) fn of(
        config: &Config,
        lists: &[Arc<LogList>],
        progresses: Vec<Progress>,
        costs: &CostLog,
        hosts: &BTreeMap<String, String>,
    ) -> SourcePage {
        let stored: HashMap<LogId, Progress> =
            progresses.into_iter().map(|progress| (progress.log.clone(), progress)).collect();
        let mut taken = HashSet::new();
        let mut configs: Vec<SourceConfig> = config.sources.clone();
        taken.extend(configs.iter().map(|one| one.source.log.clone()));
        for is_exact in [true, false] {
            for list in lists {
                let known = stored.values().filter_map(|progress| list.known(progress, is_exact));
                let found =
                    known.map(|found| list.source_of(&found)).filter(|one| taken.insert(one.source.log.clone()));
                configs.extend(found.collect::<Vec<_>>());
            }
        }
        configs.sort_by(|one, other| (&one.found_by, &one.source.name).cmp(&(&other.found_by, &other.source.name)));
        let state = |config: SourceConfig| SourceState {
            progress: stored.get(&config.source.log).cloned(),
            cost: costs.of(&config.source.log),
            host: hosts.get(&Duty::Log(config.source.log.clone()).to_string()).cloned(),
            config,
        };
        let list_state = |list: &Arc<LogList>| ListState {
            name: list.source.name.clone(),
            place: list.source.cluster.to_string(),
            progress: stored.get(&list.source.log).cloned(),
        };
        let has_replicas = !hosts.is_empty();
        SourcePage {
            has_replicas,
            sources: configs.into_iter().map(state).collect(),
            lists: lists.iter().map(list_state).collect(),
        }
    }

    /// Returns what `sources` prints at `now`.
    pub(crate) fn printed(&self, format: Format, now: Second) -> Printed {
        let text = match format {
            Format::Text => self.text(now),
            Format::Json => {
                let sources = self.sources.iter().map(|source| source.json(now));
                let lines = sources.chain(self.lists.iter().map(ListState::json));
                let clusters = self.sources.iter().flat_map(SourceState::clusters).map(SeenCluster::json);
                lines.chain(clusters).map(|line| format!("{line}\n")).collect()
            }
        };
        Printed { text, notes: Vec::new() }
    }

    fn text(&self, now: Second) -> String {
        let headings = ["SOURCE", "CLUSTER", "FOUND BY", "STATUS", "READ UNTIL", "LAG", "LATE", "GAPS", "LAST WINDOW"];
        let rows: Vec<[String; 9]> = self.sources.iter().map(|source| source.row(now)).collect();
        let read_by = |source: &SourceState| source.host.as_deref().map_or_else(|| "-".to_owned(), visible);
        let lists: Vec<[String; 4]> = self.lists.iter().map(ListState::row).collect();
        let mut text = if self.has_replicas {
            let [source, cluster, found_by, status, rest @ ..] = headings;
            let [until, lag, late, gaps, window] = rest;
            let headings = [source, cluster, found_by, "READ BY", status, until, lag, late, gaps, window];
            let with_host = |(row, source): (&[String; 9], &SourceState)| {
                let [name, cluster, found_by, status, until, lag, late, gaps, window] = row.clone();
                [name, cluster, found_by, read_by(source), status, until, lag, late, gaps, window]
            };
            table(headings, &rows.iter().zip(&self.sources).map(with_host).collect::<Vec<_>>())
        } else {
            table(headings, &rows)
        };
        if !lists.is_empty() {
            text += if rows.is_empty() { "" } else { "\n" };
            text += &table(["DISCOVERY", "PLACE", "STATUS", "LISTED AT"], &lists);
        }
        let clusters: Vec<[String; 5]> =
            self.sources.iter().flat_map(SourceState::clusters).map(SeenCluster::row).collect();
        if !clusters.is_empty() {
            text += "\n";
            text += &table(["SEEN IN", "CLUSTER", "STATUS", "FIRST SEEN", "LAST SEEN"], &clusters);
        }
        text
    }
}

impl SourceState {
    /// Returns how the log is, in a word.
    fn status(&self) -> &'static str {
        match &self.progress {
            None => "not read yet",
            Some(Progress { retired: Some(retired), .. }) => retired.reason.as_str(),
            Some(progress) if progress.failing.is_some() => "failing",
            Some(progress) if progress.is_silent() => "silent",
            Some(_) => "read",
        }
    }

    /// Returns the clusters that were seen in the log, if it holds events of several, by their names.
    fn clusters(&self) -> Vec<SeenCluster<'_>> {
        let source = self.config.source.name.as_str();
        let known = self.progress.iter().flat_map(|progress| progress.clusters.iter());
        let mut clusters: Vec<SeenCluster<'_>> = known.map(|(_, cluster)| SeenCluster { source, cluster }).collect();
        clusters.sort_by(|one, other| one.cluster.name.cmp(&other.cluster.name));
        clusters
    }

    /// Returns how many of its last days' spans were read late.
    fn late(&self) -> usize {
        let marked = self.progress.iter().flat_map(|progress| &progress.past.marked);
        marked.filter(|(_, mark)| *mark == WindowMark::Late).count()
    }

    fn gaps(&self) -> usize {
        self.progress.as_ref().map_or(0, |progress| progress.gaps.len())
    }

    /// Returns for how many seconds nothing was read; `None` if it was never read, or nothing writes to it.
    fn lag_seconds(&self, now: Second) -> Option<i64> {
        let progress = self.progress.as_ref().filter(|progress| progress.retired.is_none())?;
        Some(now.0.saturating_sub(progress.cursor.0).max(0))
    }

    fn row(&self, now: Second) -> [String; 9] {
        let source = &self.config.source;
        let none = || "-".to_owned();
        let minutes = |seconds: i64| counted(seconds / 60, "minute");
        let cost = |cost: ScanCost| format!("{}, {}", counted(cost.pages, "request"), counted(cost.bytes, "byte"));
        [
            visible(&source.name),
            visible(&source.cluster),
            visible(self.config.found_by.as_deref().unwrap_or(NAMED)),
            self.status().to_owned(),
            self.progress.as_ref().map_or_else(none, |progress| progress.cursor.to_string()),
            self.lag_seconds(now).map_or_else(none, minutes),
            self.late().to_string(),
            self.gaps().to_string(),
            self.cost.map_or_else(none, cost),
        ]
    }

    fn json(&self, now: Second) -> Value {
        let source = &self.config.source;
        let progress = self.progress.as_ref();
        json!({
            "source": source.name,
            "cluster": &*source.cluster,
            "provider": source.provider.as_str(),
            "log": source.log.0,
            "found_by": self.config.found_by,
            "read_by": self.host,
            "status": self.status(),
            "reason": progress.and_then(|progress| progress.failing.as_ref()).map(|failing| &failing.reason),
            "read_until": progress.map(|progress| progress.cursor.to_string()),
            "lag_seconds": self.lag_seconds(now),
            "silent_windows": progress.map(|progress| progress.silent_windows),
            "late": self.late(),
            "gaps": self.gaps(),
            "last_window": self.cost.map(|cost| json!({"requests": cost.pages, "records": cost.records, "bytes": cost.bytes})),
        })
    }
}

impl SeenCluster<'_> {
    fn status(&self) -> &'static str {
        self.cluster.retired.map_or("read", |retired| retired.reason.as_str())
    }

    fn row(self) -> [String; 5] {
        let KnownCluster { name, first_seen, last_seen, .. } = self.cluster;
        let status = self.status().to_owned();
        [visible(self.source), visible(name), status, first_seen.to_string(), last_seen.to_string()]
    }

    fn json(self) -> Value {
        json!({
            "seen_in": self.source,
            "cluster": self.cluster.name,
            "status": self.status(),
            "first_seen": self.cluster.first_seen.to_string(),
            "last_seen": self.cluster.last_seen.to_string(),
        })
    }
}

impl ListState {
    fn status(&self) -> &'static str {
        match &self.progress {
            None => "not listed yet",
            Some(progress) if progress.failing.is_some() => "failing",
            Some(_) => "listed",
        }
    }

    fn row(&self) -> [String; 4] {
        let at = self.listed_at().unwrap_or_else(|| "-".to_owned());
        [visible(&self.name), visible(&self.place), self.status().to_owned(), at]
    }

    /// Returns when it was read last. One that was never read begins with its first attempt.
    fn listed_at(&self) -> Option<String> {
        let progress = self.progress.as_ref()?;
        let is_read = progress.failing.as_ref().is_none_or(|failing| failing.since != progress.cursor);
        is_read.then(|| progress.cursor.to_string())
    }

    fn json(&self) -> Value {
        let failing = self.progress.as_ref().and_then(|progress| progress.failing.as_ref());
        json!({
            "discovery": self.name,
            "place": self.place,
            "status": self.status(),
            "reason": failing.map(|failing| &failing.reason),
            "listed_at": self.listed_at(),
        })
    }
}
