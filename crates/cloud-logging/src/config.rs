//! What is to be read; and what follows from that without asking anybody: the budget that its requests draw on, and
//! whether its endpoint is on this machine.
//!
//! Parsing YAML and refusing nonsense in it is not done here.

use std::net::IpAddr;

/// How often a project may list log entries, per minute. The quota cannot be raised.
/// <https://cloud.google.com/logging/quotas#api-limits>, "Number of entries.list requests".
pub const REQUESTS_PER_MINUTE: u32 = 60;

/// The audit log of one cluster, and how to get at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudLoggingConfig {
    /// The id of the project that the cluster is in; not its number, which entries do not name.
    pub project: String,
    /// The cluster's region or zone; clusters of one name in any location where `None`.
    pub location: Option<String>,
    /// The cluster's name.
    pub cluster: String,
    /// A URL to use in place of `https://logging.googleapis.com`.
    pub endpoint: Option<String>,
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
            endpoint: None,
            credential: Credential::Default,
            page_size: None,
        }
    }

    /// Returns the config of a cluster's audit log in a fake.
    #[must_use]
    pub fn stand_in(
        project: impl Into<String>,
        cluster: impl Into<String>,
        endpoint: impl Into<String>,
    ) -> CloudLoggingConfig {
        CloudLoggingConfig {
            endpoint: Some(endpoint.into()),
            credential: Credential::Anonymous,
            ..CloudLoggingConfig::new(project, cluster)
        }
    }

    /// Returns whose quota a request counts against: the project, or the endpoint where it is on this machine. Sources
    /// with equal keys share [`REQUESTS_PER_MINUTE`].
    #[must_use]
    pub fn budget_key(&self) -> &str {
        self.loopback_authority().unwrap_or(&self.project)
    }

    /// Returns why this endpoint must not be asked with this credential, or `None` where it may.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        let is_plain = self.endpoint.as_ref().is_some_and(|url| !url.starts_with("https://"));
        match (self.loopback_authority(), self.credential) {
            (Some(_), _) => None,
            (None, Credential::Anonymous) => {
                Some("`credential: anonymous` is for endpoints on this machine: leave it out, or use 127.0.0.1")
            }
            (None, Credential::Default) if is_plain => {
                Some("credentials are not sent to a plain http endpoint: use https")
            }
            (None, Credential::Default) => None,
        }
    }

    fn loopback_authority(&self) -> Option<&str> {
        self.endpoint.as_deref().map(authority_of).filter(|authority| is_loopback(authority))
    }
}

/// Returns `HOST:PORT` of a URL.
fn authority_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

fn is_loopback(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => authority.split(':').next().unwrap_or(authority),
    };
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_belongs_to_the_project_or_to_the_machine() {
        let mut config = CloudLoggingConfig::new("acme-prod", "prod");
        assert_eq!(config.budget_key(), "acme-prod");
        config.endpoint = Some("https://logging.p.googleapis.com/".to_owned());
        assert_eq!(config.budget_key(), "acme-prod");
        assert_eq!(CloudLoggingConfig::stand_in("p", "c", "http://[::1]:80/x").budget_key(), "[::1]:80");
    }

    #[test]
    fn credentials_leave_the_machine_only_where_nobody_listens() {
        let fault = |endpoint: Option<&str>, credential| {
            let endpoint = endpoint.map(str::to_owned);
            CloudLoggingConfig { endpoint, credential, ..CloudLoggingConfig::new("p", "c") }.fault().is_some()
        };
        assert!(!fault(None, Credential::Default) && !fault(Some("https://example.com"), Credential::Default));
        assert!(fault(Some("http://example.com"), Credential::Default) && fault(None, Credential::Anonymous));
        assert!(fault(Some("http://localhost@example.com"), Credential::Anonymous));
        assert!(!fault(Some("http://127.0.0.1:1"), Credential::Anonymous));
        assert!(!fault(Some("http://localhost:1"), Credential::Default));
    }
}
