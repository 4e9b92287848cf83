//! GKE: its audit log in Cloud Logging, `cloud_logging` in the config.

use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use stakeout_cloud_logging::{
    CloudLogging, CloudLoggingConfig, Credential, REQUESTS_PER_MINUTE, RESOURCES_MAX, decode as wire, needle,
    turn_reads_on,
};
use stakeout_core::decode::{DecodeError, Enveloped};
use stakeout_core::diagnostic::Diagnostic;
use stakeout_core::yaml::{At, Map};
use stakeout_http::Endpoint;
use stakeout_notify::console::Service;

use super::budget::{Budget, Budgets, Quota};
use super::{Export, OptionalMember};
use crate::outbound::Outbound;
use crate::section::cluster_choice::{self, CLUSTER, ClusterChoice};
use crate::section::{SectionReader, credential, keys, listed, url};

/// A client of Cloud Logging.
pub(crate) type Client = Box<CloudLogging>;

/// The variables of a cluster's name.
const PROJECT: &str = "{project}";
const LOCATION: &str = "{location}";

/// The audit log of one GKE cluster, or of all clusters of some projects and log views.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings(pub(crate) CloudLoggingConfig);

/// Entries of Cloud Logging: gcloud logging read --format=json, entries.list answers, bucket exports.
pub(super) const EXPORT: Export = Export {
    envelope: Some(wire::entry),
    is_translated: true,
    own_needles: Some(needle::needles),
    optional_members: &[OptionalMember { name: "timestamp", alias: None, value: "\"2026-01-01T00:00:00Z\"" }],
};

/// Returns the event in a record of the service.
pub(super) fn decode(body: &str) -> Result<Enveloped, DecodeError> {
    wire::entry(body)
}

impl Settings {
    /// Reads `cloud_logging`.
    pub(super) fn read(at: &At<'_>, _: &SectionReader<'_>) -> Result<Settings, Diagnostic> {
        let map = keys(at, &["project", "location", "cluster", "endpoint", "credential"])?;
        let project = project(&map.need("project", "add the id of the project that the cluster belongs to")?)?;
        let location = map.get("location").map(|at| location(&at)).transpose()?;
        let cluster =
            cluster(&map.need("cluster", "add the cluster's name, as `gcloud container clusters list` shows it")?)?;
        let (endpoint, credential) = access(&map)?;
        Ok(Settings(CloudLoggingConfig { location, endpoint, credential, ..CloudLoggingConfig::new(project, cluster) }))
    }

    /// Reads `cloud_logging` of a discovery: the log of all clusters of its projects and log views.
    pub(super) fn read_all(
        at: &At<'_>,
        _: &SectionReader<'_>,
    ) -> Result<(Vec<(String, Settings)>, ClusterChoice), Diagnostic> {
        let own = ["projects", "views", "endpoint", "credential"];
        let map = keys(at, &[&own[..], &cluster_choice::KEYS].concat())?;
        let projects = map.get("projects").map(|at| listed(&at, project)).transpose()?.unwrap_or_default();
        let views = map.get("views").map(|at| listed(&at, view)).transpose()?.unwrap_or_default();
        let is_one_project = projects.len() == 1 && views.is_empty();
        let projects = projects.into_iter().map(|project| format!("projects/{project}"));
        let resources: Vec<String> = projects.chain(views).collect();
        if resources.is_empty() {
            return Err(
                at.error("neither projects nor log views", "add the ids of projects, such as projects: [acme-prod]")
            );
        }
        if resources.len() > RESOURCES_MAX {
            let problem = format!("{} projects and log views", resources.len());
            return Err(
                at.error(problem, format!("keep at most {RESOURCES_MAX}, and write another discovery for the others"))
            );
        }
        let usual = if is_one_project { CLUSTER.to_owned() } else { format!("{CLUSTER}/{PROJECT}") };
        let choice = ClusterChoice::read(&map, &[PROJECT, LOCATION], usual)?;
        let (endpoint, credential) = access(&map)?;
        let config = CloudLoggingConfig { endpoint, credential, ..CloudLoggingConfig::new("", "") };
        Ok((vec![(String::new(), Settings(config.with_resources(resources)))], choice))
    }

    /// Returns which log this is.
    pub(super) fn log(&self) -> String {
        let CloudLoggingConfig { project, location, cluster, resources, .. } = &self.0;
        if let Some(first) = resources.first() {
            return format!("cloud_logging/*/{first}");
        }
        format!("cloud_logging/{project}/{}/{cluster}", location.as_deref().unwrap_or("-"))
    }

    /// Returns the settings for one of all clusters, by its id.
    pub(super) fn of_cluster(&self, id: &str) -> Option<Settings> {
        let ["projects", project, "locations", location, "clusters", cluster] = id.split('/').collect::<Vec<_>>()[..]
        else {
            return None;
        };
        Some(Settings(CloudLoggingConfig {
            project: project.to_owned(),
            location: Some(location.to_owned()),
            cluster: cluster.to_owned(),
            resources: Vec::new(),
            ..self.0.clone()
        }))
    }

    /// Returns the ids of logs that a config may have for the cluster: with its location, and without.
    pub(super) fn log_ids(&self) -> Vec<String> {
        let anywhere = Settings(CloudLoggingConfig { location: None, ..self.0.clone() });
        vec![self.log(), anywhere.log()]
    }

    /// Returns the variables of the cluster's name with their values.
    pub(super) fn variables(&self) -> Vec<(&'static str, &str)> {
        let CloudLoggingConfig { project, location, cluster, .. } = &self.0;
        vec![(PROJECT, project), (LOCATION, location.as_deref().unwrap_or_default()), (CLUSTER, cluster)]
    }

    /// Returns the command that switches the log of reads on.
    pub(super) fn switch_on(&self) -> String {
        turn_reads_on(&self.0.project)
    }

    /// Returns the cluster's name; `None` for all clusters.
    pub(super) fn cluster(&self) -> Option<&str> {
        Some(self.0.cluster.as_str()).filter(|name| !name.is_empty())
    }

    /// Returns where the log can be searched.
    pub(super) fn console(&self) -> Option<Service> {
        let CloudLoggingConfig { project, location, cluster, .. } = self.0.clone();
        (!self.0.is_of_all_clusters()).then_some(Service::CloudLogging { project, location, cluster })
    }

    /// Returns nothing: requests come to the API server as they are.
    #[expect(clippy::unused_self, reason = "every cloud is asked in the same way")]
    pub(super) fn control_plane_proxies(&self) -> Vec<IpNet> {
        Vec::new()
    }

    /// Sets up the client, with the budget that its requests draw on.
    pub(super) fn connect(&self, budgets: &mut Budgets, outbound: &Outbound) -> anyhow::Result<(Client, Arc<Budget>)> {
        let config = self.0.clone();
        let quota = Quota { requests: REQUESTS_PER_MINUTE, span: Duration::from_secs(60), at_once: None };
        let budget = budgets.of(("cloud_logging".to_owned(), config.budget_key().to_owned()), quota);
        Ok((Box::new(CloudLogging::new(config, &outbound.common)), budget))
    }
}

/// A project id has 6 to 30 of these. An old one starts with a domain. Log entries do not contain the project's number.
/// <https://cloud.google.com/resource-manager/docs/creating-managing-projects>
fn project(at: &At<'_>) -> Result<String, Diagnostic> {
    let text = at.text()?;
    let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.' | ':');
    if (6..=100).contains(&text.len())
        && text.chars().all(is_allowed)
        && text.starts_with(|c: char| c.is_ascii_lowercase())
    {
        return Ok(text.to_owned());
    }
    Err(at.error(
        format!("`{text}` is not the id of a project"),
        "write the id, not the name or number: `gcloud projects list` shows all three",
    ))
}

/// Reads where the log is, and with which credentials.
fn access(map: &Map<'_>) -> Result<(Option<Endpoint>, Credential), Diagnostic> {
    let endpoint = map.get("endpoint").map(|at| url::endpoint(&at)).transpose()?;
    let credential = match credential::word(map, endpoint.as_ref(), &["default"])? {
        Some(credential::ANONYMOUS) => Credential::Anonymous,
        _ => Credential::Default,
    };
    Ok((endpoint, credential))
}

/// <https://cloud.google.com/logging/docs/logs-views>
fn view(at: &At<'_>) -> Result<String, Diagnostic> {
    let text = at.text()?;
    let is_word = |word: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
        (1..=100).contains(&word.len()) && word.chars().all(fits)
    };
    let parts: Vec<&str> = text.split('/').collect();
    let is_view = matches!(
        parts[..],
        ["projects" | "folders" | "organizations" | "billingAccounts", _, "locations", _, "buckets", _, "views", _]
    );
    if is_view && parts.iter().all(|part| is_word(part)) {
        return Ok(text.to_owned());
    }
    Err(at.error(
        format!("`{text}` is not the name of a log view"),
        "write folders/NUMBER/locations/LOCATION/buckets/BUCKET/views/VIEW, or the same of a project or an organization",
    ))
}

fn location(at: &At<'_>) -> Result<String, Diagnostic> {
    let text = at.text()?;
    let parts: Vec<&str> = text.split('-').collect();
    let is_plain = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if (2..=3).contains(&parts.len()) && text.len() <= 40 && parts.iter().all(is_plain) {
        return Ok(text.to_owned());
    }
    Err(at.error(
        format!("`{text}` is neither a region nor a zone"),
        "write a region such as europe-west1, or for a zonal cluster its zone, such as europe-west1-b",
    ))
}

/// GKE accepts up to 40 of these. <https://cloud.google.com/kubernetes-engine/docs/reference/rest/v1/projects.locations.clusters>
fn cluster(at: &At<'_>) -> Result<String, Diagnostic> {
    let text = at.text()?;
    let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if (1..=40).contains(&text.len())
        && text.chars().all(is_allowed)
        && text.starts_with(|c: char| c.is_ascii_lowercase())
    {
        return Ok(text.to_owned());
    }
    Err(at.error(
        format!("`{text}` is not the name of a GKE cluster"),
        "write at most 40 of a-z, 0-9 and dash, a letter first",
    ))
}

#[cfg(feature = "demo")]
pub(super) use fake::start as start_fake;

/// The demo's GKE cluster.
#[cfg(feature = "demo")]
mod fake {
    use anyhow::{Context, Result};
    use stakeout_core::time::Second;
    use stakeout_fakes::CloudLogging;

    use crate::cloud::fake::{Fake, Served, move_to, unpacked};

    /// The project that the recording names.
    const PROJECT: &str = "prod-123456";
    const KUBE_HUNTER: &[u8] = include_bytes!("../../../../tests/data/cloud/kube-hunter.gke.json.gz");

    /// Starts the fake.
    pub(in crate::cloud) async fn start() -> Result<CloudLogging> {
        CloudLogging::start().await.context("cannot start the fake of Cloud Logging")
    }

    impl Fake for CloudLogging {
        fn name(&self) -> &'static str {
            "Cloud Logging (GKE)"
        }

        fn endpoint(&self) -> String {
            CloudLogging::endpoint(self)
        }

        fn source(&self) -> String {
            let endpoint = CloudLogging::endpoint(self);
            format!(
                "{{name: gke-prod, cloud_logging: {{project: {PROJECT}, cluster: gke-prod, endpoint: \"{endpoint}\"}}}}"
            )
        }

        fn served(&self) -> Served {
            let served = CloudLogging::served(self);
            Served { records: served.records, bytes: served.bytes, answers: served.pages }
        }

        fn add_kube_hunter(&self, begin: Second) -> Result<usize> {
            let mut answer: serde_json::Value = serde_json::from_str(&unpacked(KUBE_HUNTER)?)?;
            let entries = answer["entries"].as_array_mut().context("the recording is empty")?;
            move_to(entries, "timestamp", begin)?;
            entries.iter().for_each(|entry| self.ingest(&entry.to_string()));
            Ok(entries.len())
        }
    }
}
