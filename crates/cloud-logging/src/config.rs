//! Which log to read, and what follows from that without a request: the budget for its requests, and whether its endpoint
//! is on this machine.
//!
//! Parsing and checking YAML is not done here.

use stakeout_http::Endpoint;

/// How often a project may list log entries, per minute. The quota cannot be raised.
/// <https://cloud.google.com/logging/quotas#api-limits>, "Number of entries.list requests".
pub const REQUESTS_PER_MINUTE: u32 = 60;

/// The most resources that one search takes.
/// <https://cloud.google.com/logging/docs/reference/v2/rest/v2/entries/list>
pub const RESOURCES_MAX: usize = 100;

/// Where the service answers, unless the config or the credentials name another place.
pub(crate) const PUBLIC_ENDPOINT: &str = "https://logging.googleapis.com";

/// The audit log of one cluster or of all clusters of some resources, and how to reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudLoggingConfig {
    /// The id of the project that the cluster is in, not its number, which entries do not name; or the one whose quota is
    /// used for several.
    pub project: String,
    /// The cluster's region or zone; clusters of one name in any location where `None`.
    pub location: Option<String>,
    /// The cluster's name; nothing where `resources` are named.
    pub cluster: String,
    /// The projects (`projects/ID`) and log views all of whose clusters are read with one search, at most [`RESOURCES_MAX`];
    /// none for one cluster. A folder or an organization is only its own logs, and needs a view.
    pub resources: Vec<String>,
    /// The address to ask instead of `https://logging.googleapis.com`.
    pub endpoint: Option<Endpoint>,
    /// Where the credentials come from.
    pub credential: Credential,
    /// Entries per page, 1 to 1,000; 1,000 where `None`, because the quota counts pages.
    pub page_size: Option<i32>,
}

/// Where credentials come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Credential {
    /// Application Default Credentials: `GOOGLE_APPLICATION_CREDENTIALS` (a key, or workload identity federation),
    /// gcloud's own file, or the metadata server, which serves workload identity on GKE.
    #[default]
    Default,
    /// None at all, for fakes; accepted for endpoints on this machine only.
    Anonymous,
}

impl CloudLoggingConfig {
    /// Returns the config of a cluster's audit log, with the default credentials.
    #[must_use]
    pub fn new(project: impl Into<String>, cluster: impl Into<String>) -> CloudLoggingConfig {
        CloudLoggingConfig {
            project: project.into(),
            location: None,
            cluster: cluster.into(),
            resources: Vec::new(),
            endpoint: None,
            credential: Credential::Default,
            page_size: None,
        }
    }

    /// Returns the config of a cluster's audit log in a fake, without credentials.
    #[must_use]
    pub fn fake(project: impl Into<String>, cluster: impl Into<String>, endpoint: Endpoint) -> CloudLoggingConfig {
        CloudLoggingConfig {
            endpoint: Some(endpoint),
            credential: Credential::Anonymous,
            ..CloudLoggingConfig::new(project, cluster)
        }
    }

    /// Returns the same settings for all clusters of these resources.
    #[must_use]
    pub fn with_resources(self, resources: Vec<String>) -> CloudLoggingConfig {
        let project = resources.first().and_then(|name| name.strip_prefix("projects/")?.split('/').next());
        let project = project.map_or(self.project, str::to_owned);
        CloudLoggingConfig { project, location: None, cluster: String::new(), resources, ..self }
    }

    /// Returns whether it is the log of all clusters of some resources.
    #[must_use]
    pub fn is_of_all_clusters(&self) -> bool {
        !self.resources.is_empty()
    }

    /// Returns what a search asks for.
    pub(crate) fn resource_names(&self) -> Vec<String> {
        match self.resources.as_slice() {
            [] => vec![format!("projects/{}", self.project)],
            resources => resources.to_vec(),
        }
    }

    /// Returns the key of the quota that a request counts against: the project, or an endpoint on this machine. Sources
    /// with equal keys share [`REQUESTS_PER_MINUTE`].
    #[must_use]
    pub fn budget_key(&self) -> &str {
        self.loopback_endpoint().map_or(&self.project, Endpoint::authority)
    }

    /// Returns whether this endpoint and this credential may be used together: only this machine is asked without one.
    pub(crate) fn is_credential_allowed(&self) -> bool {
        self.credential != Credential::Anonymous || self.loopback_endpoint().is_some()
    }

    fn loopback_endpoint(&self) -> Option<&Endpoint> {
        self.endpoint.as_ref().filter(|endpoint| endpoint.is_loopback())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(text: &str) -> Endpoint {
        Endpoint::parse_base(text).expect("an address")
    }

    #[test]
    fn a_budget_belongs_to_the_project_or_to_the_machine() {
        let mut config = CloudLoggingConfig::new("acme-prod", "prod");
        assert_eq!(config.budget_key(), "acme-prod");
        config.endpoint = Some(endpoint("https://logging.p.googleapis.com/"));
        assert_eq!(config.budget_key(), "acme-prod");
        assert_eq!(CloudLoggingConfig::fake("p", "c", endpoint("http://[::1]:4566/x")).budget_key(), "[::1]:4566");
    }

    #[test]
    fn only_this_machine_is_asked_without_a_credential() {
        let is_allowed = |address: Option<&str>, credential| {
            let endpoint = address.map(endpoint);
            CloudLoggingConfig { endpoint, credential, ..CloudLoggingConfig::new("p", "c") }.is_credential_allowed()
        };
        for address in [None, Some("https://example.com"), Some("http://localhost:1")] {
            assert!(is_allowed(address, Credential::Default));
            assert_eq!(is_allowed(address, Credential::Anonymous), address == Some("http://localhost:1"));
        }
    }
}
