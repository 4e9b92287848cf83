//! The tables of the audit log of AKS and of its other logs, and their columns.
//! <https://learn.microsoft.com/en-us/azure/azure-monitor/reference/tables/aksaudit>
//! <https://learn.microsoft.com/en-us/azure/azure-monitor/reference/tables/azurediagnostics>
//!
//! `AzureDiagnostics` has a column for each field that any resource ever sent; this is the part that AKS fills.

use crate::kql::{Column, ColumnType};

/// Columns of `AKSAudit`, and of `AKSAuditAdmin`, which lacks only the reading verbs.
const AKS_AUDIT: &[(&str, ColumnType)] = &[
    ("TenantId", ColumnType::String),
    ("TimeGenerated", ColumnType::DateTime),
    ("Level", ColumnType::String),
    ("AuditId", ColumnType::String),
    ("Stage", ColumnType::String),
    ("RequestUri", ColumnType::String),
    ("Verb", ColumnType::String),
    ("User", ColumnType::Dynamic),
    ("SourceIps", ColumnType::Dynamic),
    ("UserAgent", ColumnType::String),
    ("ObjectRef", ColumnType::Dynamic),
    ("ResponseStatus", ColumnType::Dynamic),
    ("RequestObject", ColumnType::Dynamic),
    ("ResponseObject", ColumnType::Dynamic),
    ("RequestReceivedTime", ColumnType::DateTime),
    ("StageReceivedTime", ColumnType::DateTime),
    ("Annotations", ColumnType::Dynamic),
    ("PodName", ColumnType::String),
    ("SourceSystem", ColumnType::String),
    ("Type", ColumnType::String),
    ("_ResourceId", ColumnType::String),
];

const AZURE_DIAGNOSTICS: &[(&str, ColumnType)] = &[
    ("TenantId", ColumnType::String),
    ("TimeGenerated", ColumnType::DateTime),
    ("ResourceId", ColumnType::String),
    ("Category", ColumnType::String),
    ("ResourceGroup", ColumnType::String),
    ("SubscriptionId", ColumnType::String),
    ("ResourceProvider", ColumnType::String),
    ("Resource", ColumnType::String),
    ("ResourceType", ColumnType::String),
    ("OperationName", ColumnType::String),
    ("SourceSystem", ColumnType::String),
    ("log_s", ColumnType::String),
    ("stream_s", ColumnType::String),
    ("pod_s", ColumnType::String),
    ("containerID_s", ColumnType::String),
    ("Type", ColumnType::String),
    ("_ResourceId", ColumnType::String),
];

/// <https://learn.microsoft.com/en-us/azure/azure-monitor/reference/tables/akscontrolplane>
const AKS_CONTROL_PLANE: &[(&str, ColumnType)] = &[
    ("TenantId", ColumnType::String),
    ("TimeGenerated", ColumnType::DateTime),
    ("Category", ColumnType::String),
    ("Level", ColumnType::String),
    ("Message", ColumnType::String),
    ("PodName", ColumnType::String),
    ("SourceSystem", ColumnType::String),
    ("Type", ColumnType::String),
    ("_ResourceId", ColumnType::String),
];

/// The tables by name.
const TABLES: &[(&str, &[(&str, ColumnType)])] = &[
    ("AKSAudit", AKS_AUDIT),
    ("AKSAuditAdmin", AKS_AUDIT),
    ("AKSControlPlane", AKS_CONTROL_PLANE),
    ("AzureDiagnostics", AZURE_DIAGNOSTICS),
];

/// The column that orders the rows of every table.
pub(super) const TIME: &str = "TimeGenerated";

/// Returns the columns of a table; `None` if the fake does not know it.
pub fn columns(table: &str) -> Option<Vec<Column>> {
    let (_, columns) = TABLES.iter().find(|(name, _)| *name == table)?;
    Some(columns.iter().map(|(name, kind)| Column { name: (*name).to_owned(), kind: *kind }).collect())
}
