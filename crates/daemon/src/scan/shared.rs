//! A log that holds events of several clusters: what each of them is called, whether it is watched, and whether it still
//! writes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use stakeout_core::known_clusters::{Census, ClusterLogs, KnownClusters};
use stakeout_core::notice::NoticeKind;
use stakeout_core::source::LogId;
use stakeout_core::time::{Second, Window};
use stakeout_notify::LogConsole;
use stakeout_notify::console::Consoles;
use tracing::warn;

use super::pages::with_retries;
use super::{Log, ScanCost};
use crate::cloud::{Connection, Settings};
use crate::config::sources::{SharedConfig, SourceConfig};

/// What is known of the clusters of a log. Its progress keeps them; this is what a scan asks for each record.
pub(super) struct SharedLog {
    settings: Settings,
    config: Arc<SharedConfig>,
    consoles: Consoles,
    state: Mutex<SharedState>,
}

#[derive(Default)]
struct SharedState {
    known: KnownClusters,
    /// The names by id; `None` of a cluster that is not watched.
    names: HashMap<String, Option<Arc<str>>>,
}

/// What a census found.
#[derive(Default)]
pub(crate) struct ClusterNews {
    /// Whether any cluster wrote to the log in the window; `None` if that is not known.
    pub(crate) has_records: Option<bool>,
    /// The clusters that are gone, switched off or back.
    pub(crate) changes: Vec<(String, NoticeKind)>,
}

impl SharedLog {
    /// Returns the log of a source, if it holds events of several clusters. It adds the `consoles` of those that it sees.
    pub(super) fn of(source: &SourceConfig, consoles: &Consoles) -> Option<SharedLog> {
        let config = source.shared.clone()?;
        let (settings, consoles) = (source.settings.clone(), consoles.clone());
        Some(SharedLog { settings, config, consoles, state: Mutex::default() })
    }

    /// Returns the name of the cluster `id`, of which there is a record of `at`; `None` if it is not watched.
    pub(super) fn name_of(&self, id: &str, at: Second) -> Option<Arc<str>> {
        let mut state = self.state();
        if let Some(name) = state.names.get(id) {
            return name.clone();
        }
        let name = self.watched(id).map(|(settings, wanted)| {
            let name: Arc<str> = state.known.name(id, &wanted, at).into();
            self.add_console(&settings, &name);
            name
        });
        state.names.insert(id.to_owned(), name.clone());
        name
    }

    /// Returns the settings of a cluster that is watched, and what it should be called.
    fn watched(&self, id: &str) -> Option<(Settings, String)> {
        let settings = self.settings.of_cluster(id)?;
        let is_taken = |log: &LogId| self.config.taken.contains(log);
        if !self.config.choice.has(settings.cluster()?) || settings.log_ids().iter().any(is_taken) {
            return None;
        }
        let wanted = self.config.choice.name(&settings.variables());
        Some((settings, wanted))
    }

    fn add_console(&self, settings: &Settings, cluster: &str) {
        let console = |service| LogConsole { cluster: cluster.to_owned(), service };
        self.consoles.add(settings.console().map(console));
    }

    fn switch_on(&self, id: &str) -> String {
        self.settings.of_cluster(id).map_or_else(String::new, |settings| settings.switch_on())
    }

    fn state(&self) -> MutexGuard<'_, SharedState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log {
    /// Begins with the clusters that its progress knows.
    pub(crate) fn remember(&self, known: &KnownClusters) {
        let Some(shared) = &self.shared else { return };
        let mut watched = known.clone();
        // The config may watch others now.
        watched.retain(|id| shared.watched(id).is_some());
        *shared.state() = SharedState { known: watched, names: HashMap::new() };
        for (id, cluster) in known.iter() {
            // The config may call it something else now.
            shared.name_of(id, cluster.last_seen);
        }
    }

    /// Returns the clusters that are known now; `None` of a log of one cluster.
    pub(crate) fn known_clusters(&self) -> Option<KnownClusters> {
        self.shared.as_ref().map(|shared| shared.state().known.clone())
    }

    /// Asks which clusters wrote to a log of several within a window that was read for the first time.
    pub(crate) async fn census(&self, window: Window) -> ClusterNews {
        let (Some(shared), Connection::Service { client, budget }) = (&self.shared, &self.connection) else {
            return ClusterNews::default();
        };
        let mut cost = ScanCost::default();
        let ask = || client.census(window, ClusterLogs::Audit);
        let audited = match with_retries(&self.source, budget, &mut cost, ask).await {
            Ok(audited) => audited,
            Err(error) => {
                warn!(source = self.source.name, %window, %error, "cannot tell which clusters write to the log");
                return ClusterNews::default();
            }
        };
        for (id, at) in &audited.newest {
            shared.name_of(id, *at);
        }
        let end = window.latest();
        let mut others = Census::default();
        if shared.state().known.has_missing(&audited, end) {
            let ask = || client.census(window, ClusterLogs::Others);
            // A workspace without the table knows nothing of other logs.
            others = with_retries(&self.source, budget, &mut cost, ask).await.unwrap_or_default();
        }
        let has_records = Some(!audited.newest.is_empty()).filter(|has| *has || audited.is_whole);
        let changes = shared.state().known.note(&audited, &others, end, |id| shared.switch_on(id));
        ClusterNews { has_records, changes }
    }
}
