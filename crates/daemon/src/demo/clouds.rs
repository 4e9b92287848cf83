//! The demo's clouds: a fake of each that is built in, with the log of one cluster, fed with recordings.

use std::io::Read;

use anyhow::{Context, Result};
use flate2::read::GzDecoder;
use stakeout_core::time::Second;

/// What the recordings of a cloud look like, and its fake.
pub(super) enum Cloud {
    #[cfg(feature = "aws")]
    Eks(stakeout_fakes::CloudWatchLogs),
    #[cfg(feature = "gcp")]
    Gke(stakeout_fakes::CloudLogging),
    #[cfg(feature = "azure")]
    Aks(stakeout_fakes::LogAnalytics),
}

/// What a fake handed out.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Served {
    pub(super) records: u64,
    pub(super) bytes: u64,
    pub(super) answers: u64,
}

/// The log group that the fake of CloudWatch Logs keeps, and a stream of the recorded API server.
#[cfg(feature = "aws")]
const GROUP: &str = "/aws/eks/eks-demo/cluster";
#[cfg(feature = "aws")]
const STREAM: &str = "kube-apiserver-audit-0a1b2c3d4e5f60718293a4b5c6d7e8f9";
/// Whom the recordings name.
#[cfg(feature = "gcp")]
const PROJECT: &str = "prod-123456";
#[cfg(feature = "azure")]
const WORKSPACE: &str = "0f3a5a1e-0000-4000-8000-aabbccddeeff";

impl Cloud {
    /// Starts a fake of each cloud that is built in.
    pub(super) async fn start_all() -> Result<Vec<Cloud>> {
        let context = "cannot start a fake";
        Ok(vec![
            #[cfg(feature = "aws")]
            Cloud::Eks(stakeout_fakes::CloudWatchLogs::start().await.context(context)?),
            #[cfg(feature = "gcp")]
            Cloud::Gke(stakeout_fakes::CloudLogging::start().await.context(context)?),
            #[cfg(feature = "azure")]
            Cloud::Aks(stakeout_fakes::LogAnalytics::start().await.context(context)?),
        ])
    }

    /// Returns what people call it.
    pub(super) fn name(&self) -> &'static str {
        match *self {
            #[cfg(feature = "aws")]
            Cloud::Eks(_) => "CloudWatch Logs (EKS)",
            #[cfg(feature = "gcp")]
            Cloud::Gke(_) => "Cloud Logging (GKE)",
            #[cfg(feature = "azure")]
            Cloud::Aks(_) => "Log Analytics (AKS)",
        }
    }

    /// Returns where the fake is.
    pub(super) fn endpoint(&self) -> String {
        match *self {
            #[cfg(feature = "aws")]
            Cloud::Eks(ref logs) => logs.endpoint(),
            #[cfg(feature = "gcp")]
            Cloud::Gke(ref logs) => logs.endpoint(),
            #[cfg(feature = "azure")]
            Cloud::Aks(ref logs) => logs.endpoint(),
        }
    }

    /// Returns the source's line of the config.
    pub(super) fn source(&self) -> String {
        let endpoint = self.endpoint();
        match *self {
            #[cfg(feature = "aws")]
            Cloud::Eks(_) => format!(
                "  - {{name: eks-demo, cloudwatch: {{region: eu-west-1, log_group: {GROUP}, endpoint: \"{endpoint}\"}}}}\n"
            ),
            #[cfg(feature = "gcp")]
            Cloud::Gke(_) => format!(
                "  - {{name: gke-prod, cloud_logging: {{project: {PROJECT}, cluster: gke-prod, endpoint: \"{endpoint}\"}}}}\n"
            ),
            #[cfg(feature = "azure")]
            Cloud::Aks(_) => format!(
                "  - {{name: aks-prod, azure_monitor: {{workspace_id: {WORKSPACE}, cluster: aks-prod, endpoint: \"{endpoint}\"}}}}\n"
            ),
        }
    }

    /// Returns what was handed out so far.
    pub(super) fn served(&self) -> Served {
        match *self {
            #[cfg(feature = "aws")]
            Cloud::Eks(ref logs) => {
                let served = logs.served();
                Served { records: served.records, bytes: served.bytes, answers: served.pages }
            }
            #[cfg(feature = "gcp")]
            Cloud::Gke(ref logs) => {
                let served = logs.served();
                Served { records: served.records, bytes: served.bytes, answers: served.pages }
            }
            #[cfg(feature = "azure")]
            Cloud::Aks(ref logs) => {
                let served = logs.served();
                Served { records: served.rows, bytes: served.bytes, answers: served.answers }
            }
        }
    }

    /// Puts what the first API server audited into the log, moved in time so that it begins at `begin`; returns its
    /// records. Only the EKS cluster has such recordings.
    #[cfg(feature = "aws")]
    pub(super) fn feed_lines(&self, recording: &[u8], begin: Second) -> Result<usize> {
        use stakeout_fakes::cloudwatch_logs::LogGroupClass;

        #[cfg_attr(
            not(any(feature = "gcp", feature = "azure")),
            expect(irrefutable_let_patterns, reason = "one cloud")
        )]
        let Cloud::Eks(logs) = self else { return Ok(0) };
        let text = unpacked(recording)?;
        let timed: Vec<(i64, &str)> = text
            .lines()
            .filter_map(|line| {
                Some((stakeout_core::decode::decode(line.as_bytes()).ok()?.event.stage_time_ms()?, line))
            })
            .collect();
        let first = timed.iter().map(|(at, _)| *at).min().context("the recording is empty")?;
        logs.create_group(GROUP, LogGroupClass::Standard);
        for (at, line) in &timed {
            logs.ingest(GROUP, STREAM, begin.millis() + at - first, line);
        }
        Ok(timed.len())
    }

    /// Puts kube-hunter's visit to this cloud's cluster into its log; returns its records.
    pub(super) fn feed_kube_hunter(&self, begin: Second) -> Result<usize> {
        match *self {
            #[cfg(feature = "aws")]
            Cloud::Eks(_) => {
                self.feed_lines(include_bytes!("../../../../tests/data/audit/kube-hunter.audit.log.gz"), begin)
            }
            #[cfg(feature = "gcp")]
            Cloud::Gke(ref logs) => {
                let text = unpacked(include_bytes!("../../../../tests/data/cloud/kube-hunter.gke.json.gz"))?;
                let mut answer: serde_json::Value = serde_json::from_str(&text)?;
                let entries = answer["entries"].as_array_mut().context("the recording is empty")?;
                move_to(entries, "timestamp", begin)?;
                entries.iter().for_each(|entry| logs.ingest(&entry.to_string()));
                Ok(entries.len())
            }
            #[cfg(feature = "azure")]
            Cloud::Aks(ref logs) => {
                let text = unpacked(include_bytes!("../../../../tests/data/cloud/kube-hunter.aks-audit.json.gz"))?;
                let answer: serde_json::Value = serde_json::from_str(&text)?;
                let table = &answer["tables"][0];
                let columns = table["columns"].as_array().context("a table without columns")?;
                let names: Vec<&str> = columns.iter().filter_map(|column| column["name"].as_str()).collect();
                let cells =
                    table["rows"].as_array().context("a table without rows")?.iter().filter_map(|row| row.as_array());
                let mut rows: Vec<serde_json::Value> = cells
                    .map(|cells| names.iter().map(|name| (*name).to_owned()).zip(cells.iter().cloned()).collect())
                    .collect();
                move_to(&mut rows, "TimeGenerated", begin)?;
                for row in &rows {
                    logs.ingest(WORKSPACE, "AKSAudit", row.clone())?;
                }
                Ok(rows.len())
            }
        }
    }
}

fn unpacked(recording: &[u8]) -> Result<String> {
    let mut text = String::new();
    GzDecoder::new(recording).read_to_string(&mut text).context("the recording is damaged")?;
    Ok(text)
}

/// Moves records in time so that the earliest has `begin` under `key`.
#[cfg(any(feature = "gcp", feature = "azure"))]
fn move_to(records: &mut [serde_json::Value], key: &str, begin: Second) -> Result<()> {
    use jiff::Timestamp;

    let time = |record: &serde_json::Value| -> Result<i64> {
        let text = record[key].as_str().context("a record without a time")?;
        Ok(text.parse::<Timestamp>()?.as_millisecond())
    };
    let times = records.iter().map(time).collect::<Result<Vec<i64>>>()?;
    let first = times.iter().min().context("the recording is empty")?;
    for (record, at) in records.iter_mut().zip(&times) {
        let moved = Timestamp::from_millisecond(begin.millis() + at - first)?;
        record[key] = serde_json::Value::from(format!("{moved:.3}"));
    }
    Ok(())
}
