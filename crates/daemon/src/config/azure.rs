//! An AKS cluster's audit log in Log Analytics: `azure_monitor`. Only the spelling is checked; nobody is asked.

use secrecy::SecretString;
use stakeout_core::diagnostic::{Diagnostic, suggestion};
use stakeout_core::yaml::{At, Map};

use super::credential;
use super::reading::{Reading, keys};
use super::secret;
use super::url;

const CREDENTIALS: [&str; 3] = ["workload_identity", "managed_identity", "client_secret"];
const TABLES: [(&str, Table); 3] = [
    ("AKSAudit", Table::AksAudit),
    ("AKSAuditAdmin", Table::AksAuditAdmin),
    ("AzureDiagnostics", Table::AzureDiagnostics),
];

/// The audit log of one AKS cluster.
#[derive(Clone, Debug)]
pub(crate) struct AzureMonitor {
    /// The workspace's id, which is not its name; in small letters.
    pub(crate) workspace_id: String,
    /// The table that the diagnostic setting writes to.
    pub(crate) table: Table,
    /// Whether the table has the Basic plan, which is searched and not queried.
    pub(crate) is_basic: bool,
    /// The cluster's name, or its resource id.
    pub(crate) cluster: String,
    /// What takes the place of Azure's own endpoint.
    pub(crate) endpoint: Option<String>,
    /// As whom it is asked.
    pub(crate) credential: Credential,
}

/// The tables that hold audit events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    /// Every request.
    AksAudit,
    /// No get and no list: blind to scans.
    AksAuditAdmin,
    /// The older form: one table for all resources, the event as text.
    AzureDiagnostics,
}

/// As whom Log Analytics is asked.
#[derive(Clone, Debug)]
pub(crate) enum Credential {
    /// The pod's federated identity, as the AZURE_* variables of the webhook describe it.
    WorkloadIdentity,
    /// The machine's identity, or one of several by its client id.
    ManagedIdentity {
        /// Which one, where there are several.
        client_id: Option<String>,
    },
    /// An app registration and its secret.
    ClientSecret {
        /// The tenant.
        tenant_id: String,
        /// The app.
        client_id: String,
        /// The secret.
        secret: SecretString,
    },
    /// Nobody, at a fake.
    Anonymous,
}

impl Table {
    /// Returns the table's name.
    pub(crate) fn as_str(self) -> &'static str {
        TABLES.iter().find(|(_, table)| *table == self).map_or("", |(name, _)| name)
    }
}

impl AzureMonitor {
    /// Returns what the log is, as its state is kept.
    pub(super) fn log(&self) -> String {
        format!("azure_monitor/{}/{}/{}", self.workspace_id, self.table.as_str(), self.cluster.to_ascii_lowercase())
    }

    /// Returns the cluster's name, which ends its resource id.
    pub(super) fn cluster_name(&self) -> &str {
        self.cluster.rsplit('/').next().unwrap_or(&self.cluster)
    }
}

/// Reads `azure_monitor`.
pub(super) fn read(at: &At<'_>, reading: &mut Reading<'_>) -> Result<AzureMonitor, Diagnostic> {
    let known = [
        "workspace_id",
        "table",
        "plan",
        "cluster",
        "endpoint",
        "credential",
        "tenant_id",
        "client_id",
        "client_secret",
        "client_secret_file",
    ];
    let map = keys(at, &known)?;
    let workspace_fix =
        "add the workspace's id, as `az monitor log-analytics workspace show --query customerId` prints it";
    let workspace_id = guid(&map.need("workspace_id", workspace_fix)?)?;
    let table = map.get("table").map_or(Ok(Table::AksAudit), |at| table(&at))?;
    let is_basic = map.get("plan").map_or(Ok(false), |at| is_basic(&at))?;
    let cluster = cluster(&map.need("cluster", "add the cluster's name, as `az aks list` shows it")?)?;
    let endpoint = map.get("endpoint").map(|at| url::endpoint(&at)).transpose()?;
    let credential = credential(&map, endpoint.as_deref(), reading)?;
    Ok(AzureMonitor { workspace_id, table, is_basic, cluster, endpoint, credential })
}

fn table(at: &At<'_>) -> Result<Table, Diagnostic> {
    let text = at.text()?;
    let known = TABLES.map(|(name, _)| name);
    TABLES
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(text))
        .map(|(_, table)| *table)
        .ok_or_else(|| at.fault(format!("`{text}` holds no audit events"), suggestion(text, &known)))
}

fn is_basic(at: &At<'_>) -> Result<bool, Diagnostic> {
    match at.text()? {
        "analytics" => Ok(false),
        "basic" => Ok(true),
        word => Err(at.fault(format!("unknown plan `{word}`"), suggestion(word, &["analytics", "basic"]))),
    }
}

fn guid(at: &At<'_>) -> Result<String, Diagnostic> {
    let text = at.text()?;
    let parts: Vec<usize> = text.split('-').map(str::len).collect();
    if parts == [8, 4, 4, 4, 12] && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-') {
        return Ok(text.to_ascii_lowercase());
    }
    Err(at.fault("not an id", "write the id with its five groups of hexadecimal digits, not the name"))
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
    Err(at.fault(
        format!("`{text}` is not an AKS cluster"),
        "write its name, or its resource id /subscriptions/.../managedClusters/NAME",
    ))
}

fn credential(map: &Map<'_>, endpoint: Option<&str>, reading: &mut Reading<'_>) -> Result<Credential, Diagnostic> {
    let word = credential::word(map, endpoint, &CREDENTIALS)?;
    let allowed: &[&str] = match word {
        Some("client_secret") => &["tenant_id", "client_id", "client_secret", "client_secret_file"],
        Some("managed_identity") => &["client_id"],
        _ => &[],
    };
    let own = ["tenant_id", "client_id", "client_secret", "client_secret_file"];
    if let Some((name, at)) = map.entries().find(|(name, _)| own.contains(name) && !allowed.contains(name)) {
        return Err(at.fault(
            format!("`{name}` is not used by this credential"),
            "take it out, or write `credential: client_secret`",
        ));
    }
    match word {
        Some("workload_identity") => Ok(Credential::WorkloadIdentity),
        Some("managed_identity") => {
            Ok(Credential::ManagedIdentity { client_id: map.get("client_id").map(|at| guid(&at)).transpose()? })
        }
        Some("client_secret") => Ok(Credential::ClientSecret {
            tenant_id: guid(&map.need("tenant_id", "add the id of the tenant")?)?,
            client_id: guid(&map.need("client_id", "add the id of the app registration")?)?,
            secret: secret::need(map, "client_secret", "the secret of the app registration", reading)?.value,
        }),
        Some(_) => Ok(Credential::Anonymous),
        None => Err(map.at().fault(
            "nothing says as whom the workspace is asked",
            format!("add `credential:` with one of {}", CREDENTIALS.join(", ")),
        )),
    }
}
