//! The tables that AKS writes its audit log to, and their columns.
//! <https://learn.microsoft.com/en-us/azure/azure-monitor/reference/tables/aksaudit>
//! <https://learn.microsoft.com/en-us/azure/azure-monitor/reference/tables/azurediagnostics>
//!
//! `AzureDiagnostics` has a column for each field that any resource ever sent; here are those that AKS fills.

use crate::kql::{Column, Kind};

/// Columns of `AKSAudit`, and of `AKSAuditAdmin`, which is the same but for the reading verbs.
const AKS_AUDIT: &[(&str, Kind)] = &[
    ("TenantId", Kind::String),
    ("TimeGenerated", Kind::DateTime),
    ("Level", Kind::String),
    ("AuditId", Kind::String),
    ("Stage", Kind::String),
    ("RequestUri", Kind::String),
    ("Verb", Kind::String),
    ("User", Kind::Dynamic),
    ("SourceIps", Kind::Dynamic),
    ("UserAgent", Kind::String),
    ("ObjectRef", Kind::Dynamic),
    ("ResponseStatus", Kind::Dynamic),
    ("RequestObject", Kind::Dynamic),
    ("ResponseObject", Kind::Dynamic),
    ("RequestReceivedTime", Kind::DateTime),
    ("StageReceivedTime", Kind::DateTime),
    ("Annotations", Kind::Dynamic),
    ("PodName", Kind::String),
    ("SourceSystem", Kind::String),
    ("Type", Kind::String),
    ("_ResourceId", Kind::String),
];

const AZURE_DIAGNOSTICS: &[(&str, Kind)] = &[
    ("TenantId", Kind::String),
    ("TimeGenerated", Kind::DateTime),
    ("ResourceId", Kind::String),
    ("Category", Kind::String),
    ("ResourceGroup", Kind::String),
    ("SubscriptionId", Kind::String),
    ("ResourceProvider", Kind::String),
    ("Resource", Kind::String),
    ("ResourceType", Kind::String),
    ("OperationName", Kind::String),
    ("SourceSystem", Kind::String),
    ("log_s", Kind::String),
    ("stream_s", Kind::String),
    ("pod_s", Kind::String),
    ("containerID_s", Kind::String),
    ("Type", Kind::String),
    ("_ResourceId", Kind::String),
];

/// The tables by name.
const TABLES: &[(&str, &[(&str, Kind)])] =
    &[("AKSAudit", AKS_AUDIT), ("AKSAuditAdmin", AKS_AUDIT), ("AzureDiagnostics", AZURE_DIAGNOSTICS)];

/// The column of every table that its rows are ordered and kept by.
pub(super) const TIME: &str = "TimeGenerated";

/// Returns the columns of a table; `None` where the fake does not know it.
pub fn columns(table: &str) -> Option<Vec<Column>> {
    let (_, columns) = TABLES.iter().find(|(name, _)| *name == table)?;
    Some(columns.iter().map(|(name, kind)| Column { name: (*name).to_owned(), kind: *kind }).collect())
}
