//! Which log to read, with which identity, and what follows from that without a request: the budget for its queries.
//!
//! Parsing and checking YAML is not done here.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use stakeout_http::Endpoint;

/// How many queries an identity may send within [`REQUESTS_PERIOD`].
///
/// <https://learn.microsoft.com/azure/azure-monitor/service-limits>, "User query throttling".
pub const REQUESTS_MAX: u32 = 200;
/// The span that [`REQUESTS_MAX`] counts over.
pub const REQUESTS_PERIOD: Duration = Duration::from_secs(30);

/// Where the public cloud answers queries.
pub(crate) const PUBLIC_ENDPOINT: &str = "https://api.loganalytics.io";

/// The audit log of a cluster, or of all of them, in one workspace, and how to reach it.
#[derive(Clone, Debug)]
pub struct AzureMonitorConfig {
    /// The workspace's id, a GUID (`customerId`), not its name.
    pub workspace_id: String,
    /// The table that the cluster's diagnostic setting writes to.
    pub table: AuditTable,
    /// The table's plan.
    pub plan: Plan,
    /// The cluster's name, or its whole resource id where several clusters of one name write to the workspace; empty for all
    /// clusters.
    pub cluster: String,
    /// The address to query instead of the public cloud's: another cloud's, or a fake on this machine, which gives out
    /// the tokens as well.
    pub endpoint: Option<Endpoint>,
    /// The identity that reads it.
    pub credential: Credential,
}

/// A table that AKS writes its audit log to.
/// <https://learn.microsoft.com/azure/aks/monitor-aks#aks-control-plane-resource-logs>
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AuditTable {
    /// Every request; the resource-specific table of the category `kube-audit`.
    AksAudit,
    /// Requests that change something; the resource-specific table of `kube-audit-admin`. It holds neither get nor
    /// list, so it shows hardly any scan.
    AksAuditAdmin,
    /// The shared table of all resources, where an audit event is a text in `log_s`.
    AzureDiagnostics,
}

/// What a table costs, and which queries it allows.
/// <https://learn.microsoft.com/azure/azure-monitor/logs/basic-logs-query>
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Plan {
    /// Queries are free and take their bounds in the text.
    #[default]
    Analytics,
    /// Queries are billed by the gigabyte that they scan, and take their bounds beside the text.
    Basic,
}

/// The identity that reads a workspace.
#[derive(Clone, Debug)]
pub enum Credential {
    /// A pod's federated identity. What is `None` comes from AZURE_TENANT_ID, AZURE_CLIENT_ID and
    /// AZURE_FEDERATED_TOKEN_FILE, which the workload identity webhook sets.
    /// <https://learn.microsoft.com/azure/aks/workload-identity-overview>
    WorkloadIdentity {
        /// The directory that the identity lives in.
        tenant_id: Option<String>,
        /// The identity's client id.
        client_id: Option<String>,
        /// The file that holds the service account's token.
        token_file: Option<PathBuf>,
    },
    /// The identity of the machine, as its metadata service gives it out.
    ManagedIdentity {
        /// The client id of a user-assigned identity, or `None` for the machine's own.
        client_id: Option<String>,
    },
    /// An application and its secret.
    ClientSecret {
        /// The directory that the application is registered in.
        tenant_id: String,
        /// The application's client id.
        client_id: String,
        /// Its secret.
        secret: SecretString,
    },
    /// No identity, for a fake on this machine.
    Anonymous,
}

impl AzureMonitorConfig {
    /// Returns the config of a cluster's log in a table of the plan Analytics in the public cloud.
    #[must_use]
    pub fn new(
        workspace_id: impl Into<String>,
        table: AuditTable,
        cluster: impl Into<String>,
        credential: Credential,
    ) -> AzureMonitorConfig {
        AzureMonitorConfig {
            workspace_id: workspace_id.into(),
            table,
            plan: Plan::default(),
            cluster: cluster.into(),
            endpoint: None,
            credential,
        }
    }

    /// Returns the same settings for one cluster alone, by its resource id.
    #[must_use]
    pub fn of_cluster(&self, id: &str) -> AzureMonitorConfig {
        AzureMonitorConfig { cluster: id.to_owned(), ..self.clone() }
    }

    /// Returns whether it is the log of all clusters of the workspace.
    #[must_use]
    pub fn is_of_all_clusters(&self) -> bool {
        self.cluster.is_empty()
    }

    /// Returns the key of the quota that a query counts against: the identity and the endpoint. Sources with equal keys
    /// share [`REQUESTS_MAX`] and [`Plan::concurrent_requests_max`], whatever workspace they read: the service counts by
    /// user.
    #[must_use]
    pub fn budget_key(&self) -> (String, String) {
        (self.credential.identity(), self.endpoint().trim_end_matches('/').to_ascii_lowercase())
    }

    pub(crate) fn endpoint(&self) -> &str {
        self.endpoint.as_ref().map_or(PUBLIC_ENDPOINT, Endpoint::as_str)
    }
}

impl AuditTable {
    /// Every table, in the order of how well it shows scans.
    pub const ALL: [AuditTable; 3] = [AuditTable::AksAudit, AuditTable::AzureDiagnostics, AuditTable::AksAuditAdmin];

    /// Returns the table's name in the workspace.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            AuditTable::AksAudit => "AKSAudit",
            AuditTable::AksAuditAdmin => "AKSAuditAdmin",
            AuditTable::AzureDiagnostics => "AzureDiagnostics",
        }
    }
}

impl Plan {
    /// Returns how many queries of one identity the service works on at once; more are refused or queued.
    ///
    /// <https://learn.microsoft.com/azure/azure-monitor/service-limits>, "User query throttling", and
    /// <https://learn.microsoft.com/azure/azure-monitor/logs/basic-logs-query>, "Concurrent queries".
    #[must_use]
    pub fn concurrent_requests_max(self) -> usize {
        match self {
            Plan::Analytics => 5,
            Plan::Basic => 2,
        }
    }
}

impl Credential {
    /// Returns a pod's federated identity, all of it from the environment.
    #[must_use]
    pub fn workload_identity() -> Credential {
        Credential::WorkloadIdentity { tenant_id: None, client_id: None, token_file: None }
    }

    /// Returns a distinct name of the identity, without anything secret.
    fn identity(&self) -> String {
        match self {
            Credential::WorkloadIdentity { client_id, .. } => {
                format!("workload_identity/{}", client_id.as_deref().unwrap_or(""))
            }
            Credential::ManagedIdentity { client_id } => {
                format!("managed_identity/{}", client_id.as_deref().unwrap_or(""))
            }
            Credential::ClientSecret { tenant_id, client_id, .. } => format!("client_secret/{tenant_id}/{client_id}"),
            Credential::Anonymous => "anonymous".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_belongs_to_the_identity_and_the_endpoint() {
        let secret = Credential::ClientSecret {
            tenant_id: "t".to_owned(),
            client_id: "c".to_owned(),
            secret: SecretString::from("hush-hush"),
        };
        let config = AzureMonitorConfig::new("w-1", AuditTable::AksAudit, "prod", secret);
        let key = ("client_secret/t/c".to_owned(), PUBLIC_ENDPOINT.to_owned());
        assert_eq!(config.budget_key(), key);
        let other = AzureMonitorConfig { workspace_id: "w-2".to_owned(), ..config.clone() };
        assert_eq!(other.budget_key(), key);
        let fake = AzureMonitorConfig {
            endpoint: Endpoint::parse_base("http://127.0.0.1:4566/").ok(),
            credential: Credential::Anonymous,
            ..config.clone()
        };
        assert_eq!(fake.budget_key(), ("anonymous".to_owned(), "http://127.0.0.1:4566".to_owned()));
        assert!(!format!("{config:?}").contains("hush"));
    }
}
