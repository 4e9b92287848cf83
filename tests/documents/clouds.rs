//! Fakes of the three clouds and of Slack, in which a scan has just been logged, as each quick start makes one.

use std::fs::File;
use std::io::Read;

use flate2::read::GzDecoder;
use jiff::Timestamp;
use serde_json::Value;
use stakeout_fakes::cloudwatch_logs::LogGroupClass;
use stakeout_fakes::{CloudLogging, CloudWatchLogs, LogAnalytics, Slack};
use tokio::runtime::Runtime;

use super::checkout;

/// The minute in which all that kube-hunter did was recorded.
const RECORDED: &str = "2026-11-22T01:00:";
/// How long ago the clouds saw the scan: the default schedule leaves the newest ten minutes for the next tick.
const SCANNED_MINUTES_AGO: i64 = 15;
/// How long ago the file's API server saw it: the config of its quick start leaves one minute.
const SCANNED_FILE_MINUTES_AGO: i64 = 4;

/// The clouds, and Slack.
pub(crate) struct Clouds {
    pub(crate) cloudwatch: CloudWatchLogs,
    pub(crate) cloud_logging: CloudLogging,
    pub(crate) log_analytics: LogAnalytics,
    pub(crate) slack: Slack,
    /// Last, so that it ends after the fakes that live in it.
    _runtime: Runtime,
}

impl Clouds {
    /// Starts the fakes and logs the scan.
    pub(crate) fn start() -> Clouds {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let (cloudwatch, cloud_logging, log_analytics, slack) = runtime.block_on(async {
            (
                CloudWatchLogs::start().await.expect("a port"),
                CloudLogging::start().await.expect("a port"),
                LogAnalytics::start().await.expect("a port"),
                Slack::start().await.expect("a port"),
            )
        });
        let clouds = Clouds { cloudwatch, cloud_logging, log_analytics, slack, _runtime: runtime };
        clouds.log_to_cloudwatch();
        clouds.log_to_cloud_logging();
        clouds.log_to_log_analytics();
        clouds
    }

    fn log_to_cloudwatch(&self) {
        let group = "/aws/eks/prod/cluster";
        self.cloudwatch.create_group(group, LogGroupClass::Standard);
        for line in moved(&recorded("audit/kube-hunter.audit.log.gz"), SCANNED_MINUTES_AGO).lines() {
            let event: Value = serde_json::from_str(line).expect("an audit event");
            let at: Timestamp = event["stageTimestamp"].as_str().and_then(|at| at.parse().ok()).expect("a time");
            self.cloudwatch.ingest(group, "kube-apiserver-audit-0a1b2c3d", at.as_millisecond(), line);
        }
    }

    fn log_to_cloud_logging(&self) {
        self.cloud_logging.create_project("acme-prod");
        let answer = recorded("cloud/kube-hunter.gke.json.gz")
            .replace("prod-123456", "acme-prod")
            .replace("gke-prod", "prod")
            .replace("us-central1-a", "europe-west1");
        self.cloud_logging.ingest_answer(&moved(&answer, SCANNED_MINUTES_AGO));
    }

    fn log_to_log_analytics(&self) {
        let answer = moved(&recorded("cloud/kube-hunter.aks-audit.json.gz"), SCANNED_MINUTES_AGO);
        let answer: Value = serde_json::from_str(&answer).expect("an answer");
        let table = &answer["tables"][0];
        let names: Vec<&str> =
            table["columns"].as_array().expect("columns").iter().filter_map(|column| column["name"].as_str()).collect();
        for cells in table["rows"].as_array().expect("rows") {
            let cells = cells.as_array().expect("cells").iter().cloned();
            let row: Value = names.iter().map(|name| (*name).to_owned()).zip(cells).collect();
            self.log_analytics.ingest("0f3a5a1e-0000-4000-8000-aabbccddeeff", "AKSAudit", row).expect("a row");
        }
    }
}

/// Returns the log file of an API server that was scanned a few minutes ago.
pub(crate) fn audit_log() -> String {
    moved(&recorded("audit/kube-hunter.audit.log.gz"), SCANNED_FILE_MINUTES_AGO)
}

/// Returns the text of a recording in `tests/data`.
pub(crate) fn recorded(name: &str) -> String {
    let file = File::open(checkout().join("tests/data").join(name)).expect("a recording");
    let mut text = String::new();
    GzDecoder::new(file).read_to_string(&mut text).expect("gzip");
    text
}

/// Moves a recording of one minute in time.
#[expect(clippy::disallowed_methods, reason = "the pages read the newest window, so the scan must be recent")]
fn moved(recording: &str, minutes_ago: i64) -> String {
    assert!(recording.contains(RECORDED), "the recording is of another minute");
    let at = Timestamp::now().as_second() - 60 * minutes_ago;
    let minute = Timestamp::from_second(at - at % 60).expect("a time").to_string();
    recording.replace(RECORDED, minute.strip_suffix("00Z").expect("a whole minute"))
}
