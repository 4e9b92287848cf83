//! AKS: its audit log in Log Analytics, `azure_monitor` in the config.

use std::sync::Arc;

use ipnet::IpNet;
use stakeout_azure_monitor::{
    AuditTable, AzureMonitor, AzureMonitorConfig, Credential, Plan, REQUESTS_MAX, REQUESTS_PERIOD, decode as wire,
    diagnostic_setting,
};
use stakeout_core::decode::{DecodeError, Enveloped};
use stakeout_core::diagnostic::{Diagnostic, suggestion};
use stakeout_core::source::Provider;
use stakeout_core::yaml::{At, Map};
use stakeout_http::Endpoint;
use stakeout_notify::console::Service;

use super::budget::{Budget, Budgets, Quota};
use super::{Export, OptionalMember};
use crate::network;
use crate::outbound::Outbound;
use crate::section::cluster_choice::{self, CLUSTER, ClusterChoice};
use crate::section::{SectionReader, credential, keys, listed, secret, url};

const CREDENTIALS: [&str; 3] = ["workload_identity", "managed_identity", "client_secret"];

/// A client of Log Analytics.
pub(crate) type Client = Box<AzureMonitor>;

/// The keys of all sections beside those that say which cluster is meant.
const OWN_KEYS: [&str; 9] = [
    "table",
    "plan",
    "endpoint",
    "credential",
    "tenant_id",
    "client_id",
    "client_secret",
    "client_secret_file",
    "control_plane_proxies",
];
/// The variables of a cluster's name.
const RESOURCE_GROUP: &str = "{resource_group}";
const SUBSCRIPTION: &str = "{subscription}";
/// Most workspaces of one discovery.
const WORKSPACES_MAX: usize = 100;

/// The audit log of one AKS cluster, or of all that write to a workspace.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The log.
    pub(crate) config: AzureMonitorConfig,
    /// The proxies of AKS itself, which name the client before them.
    control_plane_proxies: Vec<IpNet>,
}

/// Rows of Log Analytics: az monitor log-analytics query, query answers, storage exports.
pub(super) const EXPORT: Export = Export {
    envelope: Some(wire::row),
    is_translated: true,
    own_needles: None,
    optional_members: &[OptionalMember {
        name: "time",
        alias: Some("TimeGenerated"),
        value: "\"2026-01-01T00:00:00Z\"",
    }],
};

/// Returns the event in a record of the service.
pub(super) fn decode(body: &str) -> Result<Enveloped, DecodeError> {
    wire::row(body)
}

impl Settings {
    /// Reads `azure_monitor`.
    pub(super) fn read(at: &At<'_>, reader: &mut SectionReader<'_>) -> Result<Settings, Diagnostic> {
        let map = keys(at, &[&["workspace_id", "cluster"][..], &OWN_KEYS].concat())?;
        let workspace_fix =
            "add the workspace's id, as `az monitor log-analytics workspace show --query customerId` prints it";
        let workspace_id = guid(&map.need("workspace_id", workspace_fix)?)?;
        let cluster = cluster(&map.need("cluster", "add the cluster's name, as `az aks list` shows it")?)?;
        Settings::of(&map, workspace_id, cluster, reader)
    }

    /// Reads `azure_monitor` of a discovery: the log of all clusters of each workspace, with the name of the workspace where
    /// there are several.
    pub(super) fn read_all(
        at: &At<'_>,
        reader: &mut SectionReader<'_>,
    ) -> Result<(Vec<(String, Settings)>, ClusterChoice), Diagnostic> {
        let map = keys(at, &[&["workspaces"][..], &OWN_KEYS, &cluster_choice::KEYS].concat())?;
        let fix = "add the ids of the workspaces, as `az monitor log-analytics workspace show --query customerId` prints them";
        let workspaces_at = map.need("workspaces", fix)?;
        let workspaces = listed(&workspaces_at, guid)?;
        if workspaces.len() > WORKSPACES_MAX {
            let problem = format!("{} workspaces", workspaces.len());
            return Err(workspaces_at.error(problem, format!("keep at most {WORKSPACES_MAX} in one discovery")));
        }
        let usual = format!("{CLUSTER}/{RESOURCE_GROUP}");
        let choice = ClusterChoice::read(&map, &[RESOURCE_GROUP, SUBSCRIPTION], usual)?;
        let mut logs = Vec::new();
        for workspace_id in workspaces {
            logs.push((workspace_id.clone(), Settings::of(&map, workspace_id, String::new(), reader)?));
        }
        Ok((logs, choice))
    }

    fn of(
        map: &Map<'_>,
        workspace_id: String,
        cluster: String,
        reader: &mut SectionReader<'_>,
    ) -> Result<Settings, Diagnostic> {
        let table = map.get("table").map_or(Ok(AuditTable::AksAudit), |at| table(&at))?;
        let plan = map.get("plan").map_or(Ok(Plan::Analytics), |at| plan(&at))?;
        let endpoint = map.get("endpoint").map(|at| url::endpoint(&at)).transpose()?;
        let credential = credential(map, endpoint.as_ref(), reader)?;
        let own_proxies = map.get("control_plane_proxies").map(|at| network::trusted_list(&at)).transpose()?;
        Ok(Settings {
            config: AzureMonitorConfig { workspace_id, table, plan, cluster, endpoint, credential },
            control_plane_proxies: own_proxies.unwrap_or_else(|| super::control_plane_proxies(Provider::AzureMonitor)),
        })
    }

    /// Returns which log this is.
    pub(super) fn log(&self) -> String {
        let AzureMonitorConfig { workspace_id, table, cluster, .. } = &self.config;
        let cluster = if cluster.is_empty() { "*".to_owned() } else { cluster.to_ascii_lowercase() };
        format!("azure_monitor/{workspace_id}/{}/{cluster}", table.as_str())
    }

    /// Returns the settings for one of all clusters, by its resource id.
    pub(super) fn of_cluster(&self, id: &str) -> Option<Settings> {
        Some(Settings { config: self.config.of_cluster(id), ..self.clone() })
    }

    /// Returns the ids of logs that a config may have for the cluster: by its resource id, and by its name.
    pub(super) fn log_ids(&self) -> Vec<String> {
        let by_name = self.cluster().map(|name| Settings { config: self.config.of_cluster(name), ..self.clone() });
        [Some(self.log()), by_name.map(|settings| settings.log())].into_iter().flatten().collect()
    }

    /// Returns the variables of the cluster's name with their values.
    pub(super) fn variables(&self) -> Vec<(&'static str, &str)> {
        let parts: Vec<&str> = self.config.cluster.split('/').collect();
        let part = |n: usize| parts.get(n).copied().unwrap_or_default();
        vec![(SUBSCRIPTION, part(2)), (RESOURCE_GROUP, part(4)), (CLUSTER, part(8))]
    }

    /// Returns the command that switches the cluster's audit log on.
    pub(super) fn switch_on(&self) -> String {
        diagnostic_setting(&self.config, self.config.table)
    }

    /// Returns the cluster's name, which ends its resource id; `None` for all clusters.
    pub(super) fn cluster(&self) -> Option<&str> {
        self.config.cluster.rsplit('/').next().filter(|name| !name.is_empty())
    }

    /// Returns where the log can be searched.
    pub(super) fn console(&self) -> Option<Service> {
        let AzureMonitorConfig { workspace_id, table, cluster, .. } = &self.config;
        (!self.config.is_of_all_clusters()).then(|| Service::LogAnalytics {
            workspace_id: workspace_id.clone(),
            table: table.as_str().to_owned(),
            cluster: cluster.clone(),
        })
    }

    /// Returns the networks of the proxies of AKS itself.
    pub(super) fn control_plane_proxies(&self) -> Vec<IpNet> {
        self.control_plane_proxies.clone()
    }

    /// Sets up the client, with the budget that its requests draw on.
    pub(super) fn connect(&self, budgets: &mut Budgets, outbound: &Outbound) -> anyhow::Result<(Client, Arc<Budget>)> {
        let config = self.config.clone();
        let quota = Quota {
            requests: REQUESTS_MAX,
            span: REQUESTS_PERIOD,
            at_once: Some(config.plan.concurrent_requests_max()),
        };
        let (identity, endpoint) = config.budget_key();
        // Basic allows fewer queries at once. Each plan has its own budget, so that neither gets the other's number.
        let budget = budgets.of((identity, format!("{endpoint} {:?}", config.plan)), quota);
        Ok((Box::new(AzureMonitor::new(config, &outbound.common)?), budget))
    }
}

fn table(at: &At<'_>) -> Result<AuditTable, Diagnostic> {
    let text = at.text()?;
    let known = AuditTable::ALL.map(AuditTable::as_str);
    AuditTable::ALL
        .into_iter()
        .find(|table| table.as_str().eq_ignore_ascii_case(text))
        .ok_or_else(|| at.error(format!("`{text}` contains no audit events"), suggestion(text, &known)))
}

fn plan(at: &At<'_>) -> Result<Plan, Diagnostic> {
    match at.text()? {
        "analytics" => Ok(Plan::Analytics),
        "basic" => Ok(Plan::Basic),
        word => Err(at.error(format!("unknown plan `{word}`"), suggestion(word, &["analytics", "basic"]))),
    }
}

fn guid(at: &At<'_>) -> Result<String, Diagnostic> {
    let text = at.text()?;
    let parts: Vec<usize> = text.split('-').map(str::len).collect();
    if parts == [8, 4, 4, 4, 12] && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-') {
        return Ok(text.to_ascii_lowercase());
    }
    Err(at.error("not an id", "write the id with its five groups of hexadecimal digits, not the name"))
}

/// A name, or `/subscriptions/../resourceGroups/../providers/Microsoft.ContainerService/managedClusters/NAME`.
/// <https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules>
fn cluster(at: &At<'_>) -> Result<String, Diagnostic> {
    let text = at.text()?;
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let is_in_id = |c: char| is_allowed(c) || matches!(c, '/' | '.' | '(' | ')');
    let is_name = (1..=63).contains(&text.len()) && text.chars().all(is_allowed);
    let is_id = text.len() <= 512
        && text.to_ascii_lowercase().starts_with("/subscriptions/")
        && text.to_ascii_lowercase().contains("/managedclusters/")
        && text.chars().all(is_in_id)
        && !text.ends_with('/');
    if is_name || is_id {
        return Ok(text.to_owned());
    }
    Err(at.error(
        format!("`{text}` is not an AKS cluster"),
        "write its name, or its resource id /subscriptions/.../managedClusters/NAME",
    ))
}

fn credential(
    map: &Map<'_>,
    endpoint: Option<&Endpoint>,
    reader: &mut SectionReader<'_>,
) -> Result<Credential, Diagnostic> {
    let word = credential::word(map, endpoint, &CREDENTIALS)?;
    let allowed: &[&str] = match word {
        Some("client_secret") => &["tenant_id", "client_id", "client_secret", "client_secret_file"],
        Some("managed_identity") => &["client_id"],
        _ => &[],
    };
    let own = ["tenant_id", "client_id", "client_secret", "client_secret_file"];
    if let Some((name, at)) = map.entries().find(|(name, _)| own.contains(name) && !allowed.contains(name)) {
        return Err(at.error(
            format!("`{name}` is not used by this credential"),
            "remove it, or write `credential: client_secret`",
        ));
    }
    match word {
        Some("workload_identity") => Ok(Credential::workload_identity()),
        Some("managed_identity") => {
            Ok(Credential::ManagedIdentity { client_id: map.get("client_id").map(|at| guid(&at)).transpose()? })
        }
        Some("client_secret") => Ok(Credential::ClientSecret {
            tenant_id: guid(&map.need("tenant_id", "add the id of the tenant")?)?,
            client_id: guid(&map.need("client_id", "add the id of the app registration")?)?,
            secret: secret::need(map, "client_secret", "the secret of the app registration", reader)?
                .value
                .unwrap_or_default(),
        }),
        Some(_) => Ok(Credential::Anonymous),
        None => Err(map.at().error(
            "no credential for the workspace",
            format!("add `credential:` with one of {}", CREDENTIALS.join(", ")),
        )),
    }
}

#[cfg(feature = "demo")]
pub(super) use fake::start as start_fake;

/// The demo's AKS cluster.
#[cfg(feature = "demo")]
mod fake {
    use anyhow::{Context, Result};
    use serde_json::Value;
    use stakeout_core::time::Second;
    use stakeout_fakes::LogAnalytics;

    use crate::cloud::fake::{Fake, Served, move_to, unpacked};

    const WORKSPACE: &str = "0f3a5a1e-0000-4000-8000-aabbccddeeff";
    const KUBE_HUNTER: &[u8] = include_bytes!("../../../../tests/data/cloud/kube-hunter.aks-audit.json.gz");

    /// Starts the fake.
    pub(in crate::cloud) async fn start() -> Result<LogAnalytics> {
        LogAnalytics::start().await.context("cannot start the fake of Log Analytics")
    }

    impl Fake for LogAnalytics {
        fn name(&self) -> &'static str {
            "Log Analytics (AKS)"
        }

        fn endpoint(&self) -> String {
            LogAnalytics::endpoint(self)
        }

        fn source(&self) -> String {
            let endpoint = LogAnalytics::endpoint(self);
            format!(
                "{{name: aks-prod, azure_monitor: {{workspace_id: {WORKSPACE}, cluster: aks-prod, endpoint: \"{endpoint}\"}}}}"
            )
        }

        fn served(&self) -> Served {
            let served = LogAnalytics::served(self);
            Served { records: served.rows, bytes: served.bytes, answers: served.answers }
        }

        fn add_kube_hunter(&self, begin: Second) -> Result<usize> {
            let answer: Value = serde_json::from_str(&unpacked(KUBE_HUNTER)?)?;
            let table = &answer["tables"][0];
            let columns = table["columns"].as_array().context("a table without columns")?;
            let names: Vec<&str> = columns.iter().filter_map(|column| column["name"].as_str()).collect();
            let cells = table["rows"].as_array().context("a table without rows")?.iter().filter_map(Value::as_array);
            let mut rows: Vec<Value> = cells
                .map(|cells| names.iter().map(|name| (*name).to_owned()).zip(cells.iter().cloned()).collect())
                .collect();
            move_to(&mut rows, "TimeGenerated", begin)?;
            for row in &rows {
                self.ingest(WORKSPACE, "AKSAudit", row.clone())?;
            }
            Ok(rows.len())
        }
    }
}
