//! The reader against the strict fake of Log Analytics, Entra and the metadata service: real requests over loopback,
//! and a real evaluation of its queries. What the reader makes of single answers is tested beside it, in `src`.

mod credentials;
mod doctor;
mod faults;
mod prefilters;
mod superset;
mod windows;

use serde_json::{Value, json};
use stakeout_azure_monitor::{AuditTable, AzureMonitor, AzureMonitorConfig, Credential, Plan};
use stakeout_core::field::Field;
use stakeout_core::prefilter::{Literal, Prefilter};
use stakeout_core::time::{Second, Window};
use stakeout_fakes::LogAnalytics;
use stakeout_fakes::log_analytics;
use stakeout_http::{Endpoint, Network};

const WORKSPACE: &str = "0f3a5a1e-0000-4000-8000-aabbccddeeff";
const RESOURCE: &str =
    "/subscriptions/1/resourcegroups/rg/providers/microsoft.containerservice/managedclusters/aks-prod";

fn config(logs: &LogAnalytics, table: AuditTable) -> AzureMonitorConfig {
    let config = AzureMonitorConfig::new(WORKSPACE, table, "AKS-prod", Credential::Anonymous);
    AzureMonitorConfig { endpoint: Endpoint::parse_base(&logs.endpoint()).ok(), ..config }
}

async fn client(config: AzureMonitorConfig) -> AzureMonitor {
    AzureMonitor::new(config, &Network::default()).expect("a config")
}

/// Starts a fake that has an empty table, and a client that reads it.
async fn start(table: AuditTable, plan: Plan) -> (LogAnalytics, AzureMonitor) {
    let logs = LogAnalytics::start().await.expect("a free port");
    let of_table = match plan {
        Plan::Analytics => log_analytics::TablePlan::Analytics,
        Plan::Basic => log_analytics::TablePlan::Basic,
    };
    logs.set_plan(WORKSPACE, table.as_str(), of_table).expect("a table");
    let config = AzureMonitorConfig { plan, ..config(&logs, table) };
    let azure_monitor = client(config).await;
    (logs, azure_monitor)
}

fn window() -> Window {
    Window::new(Second(1_795_308_600), Second(1_795_312_200)).expect("not empty")
}

fn forbidden() -> Prefilter {
    Prefilter::Is { field: Field::Named("responseStatus.code"), literal: Literal::Number(403) }
}

/// A row of a table, `after_ms` after the window's beginning.
fn row(table: AuditTable, id: &str, after_ms: i64, code: u16) -> Value {
    let at = jiff::Timestamp::from_millisecond(window().earliest().millis() + after_ms).expect("a time").to_string();
    let event = json!({
        "kind": "Event", "auditID": id, "stage": "ResponseComplete", "verb": "list", "user": {"username": "jane"},
        "sourceIPs": ["8.8.8.8"], "responseStatus": {"metadata": {}, "code": code},
        "requestReceivedTimestamp": at, "stageTimestamp": at,
    });
    match table {
        AuditTable::AzureDiagnostics => json!({
            "TimeGenerated": at, "Category": "kube-audit", "log_s": format!("{event}\n"), "_ResourceId": RESOURCE,
            "ResourceId": RESOURCE.to_uppercase(),
        }),
        AuditTable::AksAudit | AuditTable::AksAuditAdmin => json!({
            "TimeGenerated": at, "AuditId": id, "Stage": event["stage"], "Verb": event["verb"], "User": event["user"],
            "SourceIps": event["sourceIPs"], "ResponseStatus": event["responseStatus"].to_string(),
            "RequestReceivedTime": at, "StageReceivedTime": at, "_ResourceId": RESOURCE,
        }),
    }
}

fn ingest(logs: &LogAnalytics, table: AuditTable, row: Value) {
    logs.ingest(WORKSPACE, table.as_str(), row).expect("a row");
}

/// The `auditID`s of records, in order, each as often as it came.
fn sorted_ids<'a>(bodies: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut ids: Vec<String> = bodies
        .into_iter()
        .map(|body| {
            let read = stakeout_azure_monitor::decode::row(body).expect("an event");
            assert_eq!(read.cluster.as_deref(), Some("aks-prod"));
            read.decoded.event.audit_id.expect("an id")
        })
        .collect();
    ids.sort();
    ids
}
