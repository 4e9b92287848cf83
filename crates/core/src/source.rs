//! Sources: the logs that are read. State belongs to the log itself, not to the name that a config gives it.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The service that keeps the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Provider {
    /// Amazon CloudWatch Logs, where EKS writes.
    Cloudwatch,
    /// An audit log file of a self-managed cluster.
    File,
    /// Google Cloud Logging, where GKE writes.
    CloudLogging,
    /// Log Analytics of Azure Monitor, where AKS writes.
    AzureMonitor,
}

impl Provider {
    /// Returns the name that rules, metrics and messages use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Provider::Cloudwatch => "cloudwatch",
            Provider::File => "file",
            Provider::CloudLogging => "cloud_logging",
            Provider::AzureMonitor => "azure_monitor",
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The identity of a log, whatever name the config gives it: two sources with one `LogId` read the same log.
///
/// For CloudWatch `cloudwatch/ACCOUNT-OR-ENDPOINT/REGION/LOG-GROUP`, for Cloud Logging
/// `cloud_logging/PROJECT/LOCATION/CLUSTER`, for Log Analytics `azure_monitor/WORKSPACE/TABLE/CLUSTER`, for a file
/// `file/PATH`. For all clusters at once it is `cloud_logging/*/FIRST-RESOURCE` and
/// `azure_monitor/WORKSPACE/TABLE/*`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LogId(pub String);

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The number that the ledger gives a log when it first sees it; keys of stored minutes begin with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SourceId(pub u32);

/// The cluster of a source whose log holds events of several.
pub const ALL_CLUSTERS: &str = "*";

/// One log, of one cluster or of several, as configured.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Source {
    /// The name from the config, for people.
    pub name: String,
    /// The service that keeps the log.
    pub provider: Provider,
    /// The cluster whose API server writes the log; [`ALL_CLUSTERS`] where several do.
    pub cluster: Arc<str>,
    /// What the log is.
    pub log: LogId,
}
