//! The reader against the strict fake of Cloud Logging: real requests of the official SDK over loopback, and a real
//! evaluation of the filters.

mod doctor;
mod faults;
mod passes;
mod superset;

use serde_json::{Value, json};
use stakeout_cloud_logging::{CloudLogging, CloudLoggingConfig};
use stakeout_core::field::Field;
use stakeout_core::prefilter::{Literal, Prefilter};
use stakeout_core::record::{FetchError, RawRecord};
use stakeout_core::time::{Second, Window};
use stakeout_fakes::CloudLogging as FakeCloudLogging;
use stakeout_http::{Endpoint, Network};

const PROJECT: &str = "acme-prod";
/// 2026-11-22T01:00:00Z, and ten minutes of it.
const BEGIN: i64 = 1_795_309_200;
const SECONDS: i64 = 600;

fn endpoint(text: &str) -> Endpoint {
    Endpoint::parse_base(text).expect("an address")
}

fn config(logs: &FakeCloudLogging) -> CloudLoggingConfig {
    CloudLoggingConfig::fake(PROJECT, "prod", endpoint(&logs.endpoint()))
}

/// Starts a fake with a project, and makes a reader of it.
async fn start() -> (FakeCloudLogging, CloudLogging) {
    stakeout_http::install_crypto_provider();
    let logs = FakeCloudLogging::start().await.expect("a free port");
    logs.create_project(PROJECT);
    let reader = CloudLogging::new(config(&logs), &Network::default());
    (logs, reader)
}

fn window() -> Window {
    Window::new(Second(BEGIN), Second(BEGIN + SECONDS)).expect("not empty")
}

fn forbidden() -> Prefilter {
    Prefilter::Is { field: Field::Named("responseStatus.code"), literal: Literal::Number(403) }
}

/// Reads a window from its first page to its last. Answers the records and the number of pages.
async fn read(reader: &CloudLogging, prefilter: &Prefilter) -> Result<(Vec<RawRecord>, usize), FetchError> {
    let (mut records, mut pages, mut token) = (Vec::new(), 0, None);
    loop {
        let page = reader.page(window(), prefilter, token.as_ref()).await?;
        records.extend(page.records);
        pages += 1;
        token = page.next;
        if token.is_none() {
            return Ok((records, pages));
        }
    }
}

/// The ids of records, in order, each as often as it came.
fn sorted_ids(records: Vec<RawRecord>) -> Vec<String> {
    let mut ids: Vec<String> = records.into_iter().map(|record| record.record_id).collect();
    ids.sort();
    ids
}

/// One audit entry of the cluster.
#[derive(Clone)]
struct Entry {
    log: &'static str,
    cluster: &'static str,
    service: &'static str,
    grpc: i64,
    at_ms: i64,
    id: String,
    agent: String,
}

impl Entry {
    /// Returns a denied read.
    fn denied(id: impl Into<String>, at_ms: i64) -> Entry {
        Entry {
            log: "data_access",
            cluster: "prod",
            service: "k8s.io",
            grpc: 7,
            at_ms,
            id: id.into(),
            agent: "curl/8.5.0".to_owned(),
        }
    }

    /// Puts it into the log and answers the id that its record must have.
    fn ingest(&self, logs: &FakeCloudLogging) -> String {
        let at = jiff::Timestamp::from_millisecond(self.at_ms).expect("a time");
        let log_name = format!("projects/{PROJECT}/logs/cloudaudit.googleapis.com%2F{}", self.log);
        let entry = json!({
            "insertId": self.id,
            "logName": log_name,
            "timestamp": at.to_string(),
            "resource": {"type": "k8s_cluster", "labels": {"project_id": PROJECT, "location": "europe-west1", "cluster_name": self.cluster}},
            "operation": {"id": self.id, "first": true, "last": true, "producer": "k8s.io"},
            "protoPayload": {
                "@type": "type.googleapis.com/google.cloud.audit.AuditLog",
                "serviceName": self.service,
                "methodName": "io.k8s.core.v1.pods.list",
                "resourceName": "core/v1/pods",
                "authenticationInfo": {"principalEmail": "system:anonymous"},
                "requestMetadata": {"callerIp": "198.51.100.7", "callerSuppliedUserAgent": self.agent},
                "status": if self.grpc == 0 { json!({}) } else { json!({"code": self.grpc}) },
            },
        });
        logs.ingest(&entry.to_string());
        format!("{log_name}/{at}/{}", self.id)
    }
}

/// Returns the members of the requests that the fake got.
fn asked(logs: &FakeCloudLogging) -> Vec<Value> {
    logs.requests().iter().map(|request| serde_json::from_str(&request.body).expect("JSON")).collect()
}
