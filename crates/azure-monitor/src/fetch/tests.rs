//! What a config alone allows and refuses, and where its queries go.

use super::*;
use crate::config::AuditTable;

const WORKSPACE: &str = "0f3a5a1e-0000-4000-8000-aabbccddeeff";

fn config(endpoint: &str, credential: Credential) -> AzureMonitorConfig {
    let config = AzureMonitorConfig::new(WORKSPACE, AuditTable::AksAudit, "prod", credential);
    AzureMonitorConfig { endpoint: Some(Endpoint::parse_base(endpoint).expect("an address")), ..config }
}

#[tokio::test]
async fn only_a_fake_is_asked_without_a_credential() {
    for endpoint in ["https://api.loganalytics.us", "https://127.0.0.1:1"] {
        let refused = AzureMonitor::new(config(endpoint, Credential::Anonymous), &Network::default());
        assert_eq!(refused.err(), Some(SetupError::Anonymous));
        assert!(AzureMonitor::new(config(endpoint, Credential::workload_identity()), &Network::default()).is_ok());
    }
    for endpoint in ["http://127.0.0.1:1", "http://[::1]:1/", "http://localhost:1"] {
        assert!(AzureMonitor::new(config(endpoint, Credential::Anonymous), &Network::default()).is_ok(), "{endpoint}");
    }
}

#[tokio::test]
async fn a_query_goes_to_the_workspace_by_the_path_of_its_plan() {
    let of = async |config: AzureMonitorConfig| {
        AzureMonitor::new(config, &Network::default()).expect("a config").url.to_string()
    };
    let public = AzureMonitorConfig::new(WORKSPACE, AuditTable::AksAudit, "prod", Credential::workload_identity());
    let path = format!("https://api.loganalytics.io/v1/workspaces/{WORKSPACE}");
    assert_eq!(of(public.clone()).await, format!("{path}/query"));
    assert_eq!(of(AzureMonitorConfig { plan: Plan::Basic, ..public.clone() }).await, format!("{path}/search"));
    let odd = AzureMonitorConfig { workspace_id: "../../x?y#z".to_owned(), ..public };
    assert_eq!(of(odd).await, "https://api.loganalytics.io/v1/workspaces/..%2F..%2Fx%3Fy%23z/query");
}
