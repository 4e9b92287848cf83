//! Maps a failed query to what the caller may do about it, and names the fix for a person.
//!
//! Nothing here retries or waits.

use std::time::Duration;

use azure_core::error::ErrorKind;
use serde::Deserialize;
use stakeout_core::record::FetchError;
use stakeout_core::text;
use stakeout_http::error_chain::{chain, find, message};
use stakeout_http::web_page;

use crate::config::{AuditTable, AzureMonitorConfig, Credential};
use crate::transport::TransportError;

/// Deepest error within an error that is read.
const INNER_MAX: usize = 8;

/// The codes for which a shorter window would be answered.
/// <https://learn.microsoft.com/azure/azure-monitor/logs/api/errors>
const TOO_MUCH: &[&str] = &["ResponseSizeError", "ResponsePayloadTooLarge", "QueryTimeout", "GatewayTimeout"];
/// Those of them that an outage has as well.
const TIMEOUTS: &[&str] = &["QueryTimeout", "GatewayTimeout"];
/// The code of an unknown table or column.
/// <https://learn.microsoft.com/kusto/query/errors/sem0100>
const NO_SUCH_NAME: &str = "SEM0100";

/// What to do where the machine's kind of managed identity cannot be used.
const UNSUPPORTED_FIX: &str =
    "use `credential: client_secret` on this machine, or run Stakeout on a virtual machine or in AKS";

/// A failed query, with the check that it belongs to and the fix.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) subject: &'static str,
    pub(crate) error: FetchError,
    pub(crate) fix: Option<String>,
    /// Whether the query itself was not understood, as opposed to any other part of the request.
    pub(crate) is_query_refused: bool,
    /// Whether the answer took too long, as opposed to being too long.
    pub(crate) is_timeout: bool,
}

/// An answer that is not a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<Duration>,
    /// The problem, if a web page came in place of Azure's answer.
    pub(crate) web_page: Option<String>,
    /// Codes and messages, from the outermost to the innermost.
    pub(crate) errors: Vec<(String, String)>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ErrorBody {
    error: Option<InnerError>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct InnerError {
    code: Option<String>,
    message: Option<String>,
    innererror: Option<Box<InnerError>>,
}

impl Failure {
    fn of(subject: &'static str, error: FetchError) -> Failure {
        Failure { subject, error, fix: None, is_query_refused: false, is_timeout: false }
    }

    fn denied(subject: &'static str, reason: String, fix: String) -> Failure {
        Failure { fix: Some(fix), ..Failure::of(subject, FetchError::Denied { reason }) }
    }

    /// Returns the failure of an unexpected answer.
    pub(crate) fn unavailable(reason: &str) -> Failure {
        Failure::of("log", FetchError::Unavailable { reason: text::reason(reason) })
    }

    /// Returns the failure of a token that a new one replaces with the next query.
    pub(crate) fn token_refused() -> Failure {
        let reason = "the service no longer accepts the token: the next query requests a new one".to_owned();
        Failure::of("credentials", FetchError::Unavailable { reason })
    }

    /// Returns the failure of an incomplete answer.
    pub(crate) fn truncated(reason: &str) -> Failure {
        Failure::of("quota", FetchError::Truncated { reason: text::reason(reason) })
    }

    /// Returns what the caller may do, with the fix in the reason.
    pub(crate) fn into_fetch_error(self) -> FetchError {
        self.error.with_fix(self.fix)
    }
}

impl Refusal {
    /// Reads a refusal. A body of another kind, such as a proxy's, leaves no code.
    pub(crate) fn read(status: u16, retry_after: Option<Duration>, body: &[u8]) -> Refusal {
        let ErrorBody { mut error } = serde_json::from_slice(body).unwrap_or_default();
        let mut errors = Vec::new();
        while let Some(InnerError { code, message, innererror }) = error {
            errors.push((code.unwrap_or_default(), message.unwrap_or_default()));
            error = innererror.map(|inner| *inner).filter(|_| errors.len() < INNER_MAX);
        }
        Refusal { status, retry_after, web_page: web_page(status, None, body), errors }
    }

    /// Returns what the caller may do.
    pub(crate) fn failure(&self, config: &AzureMonitorConfig) -> Failure {
        let reason = self.reason();
        // A service that is busy may say for how long.
        if self.status == 429 || (self.status == 503 && self.retry_after.is_some()) {
            return Failure::of("quota", FetchError::Throttled { retry_after: self.retry_after, reason });
        }
        if matches!(self.status, 413 | 504) || self.has_code(|code| TOO_MUCH.contains(&code)) {
            let is_timeout = self.status == 504 || self.has_code(|code| TIMEOUTS.contains(&code));
            return Failure { is_timeout, ..Failure::of("quota", FetchError::Truncated { reason }) };
        }
        if matches!(self.status, 408 | 500..=599) {
            return Failure::of("log", FetchError::Unavailable { reason });
        }
        let (subject, fix) = self.fix(config);
        let is_query_refused = self.status == 400
            && !self.has_code(|code| code == NO_SUCH_NAME)
            && self.has_code(|code| ["SYN", "SEM"].iter().any(|kind| code.starts_with(kind)) || code == "SyntaxError");
        Failure { is_query_refused, ..Failure::denied(subject, reason, fix) }
    }

    /// Returns whether the service refuses the token itself: 401, and 403 with a code of its own.
    /// <https://learn.microsoft.com/azure/azure-monitor/logs/api/errors>
    pub(crate) fn is_of_token(&self) -> bool {
        let is_token_code =
            |code: &str| code.starts_with("InvalidAuthenticationToken") || code == "ExpiredAuthenticationToken";
        self.status == 401 || (self.status == 403 && self.has_code(is_token_code))
    }

    fn has_code(&self, is: impl Fn(&str) -> bool) -> bool {
        self.errors.iter().any(|(code, _)| is(code))
    }

    fn reason(&self) -> String {
        let codes: Vec<&str> = self.errors.iter().map(|(code, _)| code.as_str()).collect();
        let message = self.errors.last().map_or("no message", |(_, message)| message.as_str());
        match codes.as_slice() {
            [] => self.web_page.clone().unwrap_or_else(|| format!("http status {}", self.status)),
            codes => text::reason(&format!("{}: {message}", codes.join("/"))),
        }
    }

    /// Returns the part of the setup that a permanent refusal points at, and the fix.
    fn fix(&self, config: &AzureMonitorConfig) -> (&'static str, String) {
        let workspace = &config.workspace_id;
        if self.has_code(|code| code == NO_SUCH_NAME) {
            return ("log", missing_table(config));
        }
        match self.status {
            _ if self.is_of_token() => (
                "credentials",
                "the token was not accepted: check that the identity's tenant is the workspace's and that the endpoint is of the same cloud".to_owned(),
            ),
            403 => (
                "permission",
                format!(
                    "give the identity the role Log Analytics Reader: az role assignment create --role \"Log Analytics Reader\" --assignee CLIENT_ID --scope {}",
                    workspace_resource(config)
                ),
            ),
            404 => (
                "permission",
                format!(
                    "no workspace has the id {workspace}: it is the GUID that az monitor log-analytics workspace show --query customerId prints"
                ),
            ),
            300..=399 => ("log", "redirects are not followed: correct the endpoint".to_owned()),
            _ => ("log", "correct the source's config: workspace_id, table, plan and endpoint".to_owned()),
        }
    }
}

/// Returns how a cluster's log gets into the table that is read.
pub(crate) fn missing_table(config: &AzureMonitorConfig) -> String {
    format!(
        "the table {} holds nothing of the cluster until a diagnostic setting sends its log there: {}",
        config.table.as_str(),
        diagnostic_setting(config, config.table)
    )
}

/// Returns the command that sends the cluster's log to a table. Of the shared one, all of it.
#[must_use]
pub fn diagnostic_setting(config: &AzureMonitorConfig, table: AuditTable) -> String {
    let cluster = match config.cluster.as_str() {
        "" => "ID-OF-THE-CLUSTER".to_owned(),
        id if id.starts_with('/') => id.to_owned(),
        _ => format!("\"$(az aks list --query \"[?name=='{}'].id\" -o tsv)\"", config.cluster),
    };
    let (category, mode) = match table {
        AuditTable::AksAudit => ("kube-audit", " --export-to-resource-specific true"),
        AuditTable::AksAuditAdmin => ("kube-audit-admin", " --export-to-resource-specific true"),
        AuditTable::AzureDiagnostics => ("kube-audit", ""),
    };
    format!(
        "az monitor diagnostic-settings create --name stakeout --resource {cluster} --workspace {workspace} --logs '[{{\"category\":\"{category}\",\"enabled\":true}}]'{mode}",
        workspace = workspace_resource(config),
    )
}

/// Returns what a shell makes the resource id of the workspace of, which is known by its GUID only.
fn workspace_resource(config: &AzureMonitorConfig) -> String {
    let id = &config.workspace_id;
    format!("\"$(az monitor log-analytics workspace list --query \"[?customerId=='{id}'].id\" -o tsv)\"")
}

/// Maps a query whose answer is missing or too long.
pub(crate) fn unanswered(error: &azure_core::Error, config: &AzureMonitorConfig) -> Failure {
    match find::<TransportError>(error) {
        Some(TransportError::NoToken { status, retry_after, message }) => {
            no_token(*status, *retry_after, message, &config.credential)
        }
        Some(error @ TransportError::TooLong { .. }) => Failure::truncated(&error.to_string()),
        Some(error @ TransportError::Interrupted { .. }) => Failure::unavailable(&error.to_string()),
        Some(error @ TransportError::Foreign { .. }) => {
            Failure::of("log", FetchError::Denied { reason: error.to_string() })
        }
        None => no_credential(error, config),
    }
}

/// Maps a credential that cannot be created or renewed. A garbled answer is temporary; a gap in the environment is not.
pub(crate) fn no_credential(error: &azure_core::Error, config: &AzureMonitorConfig) -> Failure {
    let is_garbled = chain(error)
        .filter_map(|cause| cause.downcast_ref::<azure_core::Error>())
        .any(|error| *error.kind() == ErrorKind::DataConversion);
    let reason = text::reason(&message(error));
    if is_garbled {
        return Failure::of("credentials", FetchError::Unavailable { reason });
    }
    // Azure Arc, Service Fabric, Azure ML and Cloud Shell, which the reason names.
    let is_unsupported = reason.contains("managed identity isn't supported");
    let fix = if is_unsupported { UNSUPPORTED_FIX } else { credential_fix(&config.credential) };
    Failure::denied("credentials", reason, fix.to_owned())
}

/// Maps a refused token. The metadata service answers 404 and 410 while it starts and while it
/// is updated.
/// <https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token#error-handling>
fn no_token(status: u16, retry_after: Option<Duration>, message: &str, credential: &Credential) -> Failure {
    let reason = format!("no token: status {status}, {message}");
    let passes = matches!(credential, Credential::ManagedIdentity { .. }) && matches!(status, 404 | 410);
    match status {
        429 => Failure::of("credentials", FetchError::Throttled { retry_after, reason }),
        408 | 500..=599 => Failure::of("credentials", FetchError::Unavailable { reason }),
        _ if passes => Failure::of("credentials", FetchError::Unavailable { reason }),
        _ => Failure::denied("credentials", reason, credential_fix(credential).to_owned()),
    }
}

fn credential_fix(credential: &Credential) -> &'static str {
    match credential {
        Credential::WorkloadIdentity { .. } => {
            "label the pod azure.workload.identity/use: \"true\", give its service account the annotation azure.workload.identity/client-id, and let az identity federated-credential create name this cluster's issuer and that service account"
        }
        Credential::ManagedIdentity { .. } => {
            "assign the identity to this machine with az vm identity assign, and check its client_id"
        }
        Credential::ClientSecret { .. } => {
            "check tenant_id and client_id, and renew the secret with az ad app credential reset"
        }
        Credential::Anonymous => "name a credential",
    }
}
