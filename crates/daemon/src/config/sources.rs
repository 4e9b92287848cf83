//! The logs to read: `sources`.
//!
//! A source has a name for people, and a `LogId` that its state belongs to: a renamed source goes on where it was.

use std::path::PathBuf;

use stakeout_aws::{Access, AssumeRole};
use stakeout_core::diagnostic::Diagnostic;
use stakeout_core::source::{LogId, Provider, Source};
use stakeout_core::yaml::{At, Map};

use super::aws::{self, LogGroup};
use super::azure::{self, AzureMonitor};
use super::google::{self, CloudLogging};
use super::reading::{self, Reading, keys};
use super::schedule::{self, Schedule};

/// At the lowest quota, 5 requests a second for an account and region, an hour leaves each of them 70 pages.
const SOURCES_MAX: usize = 256;
/// EKS writes the audit log into streams that begin so, and other control plane logs beside them:
/// Amazon EKS user guide, "Send control plane logs to CloudWatch Logs".
const AUDIT_STREAM_PREFIX: &str = "kube-apiserver-audit";
const KINDS: [&str; 4] = ["cloudwatch", "cloud_logging", "azure_monitor", "file"];
/// What of them is built in, and by which cargo feature.
const BUILT_IN: [(&str, &str, bool); 3] = [
    ("cloudwatch", "aws", cfg!(feature = "aws")),
    ("cloud_logging", "gcp", cfg!(feature = "gcp")),
    ("azure_monitor", "azure", cfg!(feature = "azure")),
];

/// One log, and how it is read.
#[derive(Clone, Debug)]
pub(crate) struct SourceConfig {
    /// Name, provider, cluster and log.
    pub(crate) source: Source,
    /// The service or file that keeps the log.
    pub(crate) kind: SourceKind,
    /// How long after its end a window is read again, ascending.
    pub(crate) reread_seconds: Vec<i64>,
    /// Where the very first window begins, counted from the tick.
    pub(crate) start_seconds: i64,
}

/// What keeps a log.
#[derive(Clone, Debug)]
pub(crate) enum SourceKind {
    /// Amazon CloudWatch Logs.
    Cloudwatch(Cloudwatch),
    /// Google Cloud Logging.
    CloudLogging(CloudLogging),
    /// Log Analytics of Azure Monitor.
    AzureMonitor(AzureMonitor),
    /// An audit log file.
    File {
        /// The file that is written now; its rotated siblings lie beside it.
        path: PathBuf,
    },
}

/// A log group of CloudWatch Logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cloudwatch {
    /// Region, role and endpoint.
    pub(crate) access: Access,
    /// The log group.
    pub(crate) log_group: LogGroup,
    /// What the names of the audit log's streams begin with.
    pub(crate) stream_prefix: String,
}

/// Reads `sources`; a fault in one of them does not hide those in the others.
pub(super) fn read(
    top: &Map<'_>,
    schedule: &Schedule,
    reading: &mut Reading<'_>,
    faults: &mut Vec<Diagnostic>,
) -> Option<Vec<SourceConfig>> {
    let items = items(top).map_err(|fault| faults.push(fault)).ok()?;
    let mut read: Vec<(SourceConfig, At<'_>)> = Vec::new();
    for at in items {
        let source = source(&at, schedule, reading).and_then(|source| {
            check_unique(&source, &at, &read)?;
            Ok(source)
        });
        match source {
            Ok(source) => {
                warn_of_one_cluster(&source, &at, &read, reading);
                read.push((source, at));
            }
            Err(fault) => faults.push(fault),
        }
    }
    Some(read.into_iter().map(|(source, _)| source).collect())
}

fn items<'a>(top: &Map<'a>) -> Result<Vec<At<'a>>, Diagnostic> {
    let fix = "add at least one log, such as - {name: prod, file: {path: /var/log/kubernetes/audit.log}}";
    let at = top.need("sources", fix)?;
    let items = at.list()?;
    match items.len() {
        0 => Err(at.fault("no log is named", fix)),
        1..=SOURCES_MAX => Ok(items),
        number => Err(at.fault(
            format!("{number} sources"),
            format!("keep at most {SOURCES_MAX}, and run a second daemon for the others"),
        )),
    }
}

fn source(at: &At<'_>, schedule: &Schedule, reading: &mut Reading<'_>) -> Result<SourceConfig, Diagnostic> {
    let known = ["name", "cluster", "reread", "start"];
    let map = keys(at, &[&known[..], &KINDS].concat())?;
    let name = reading::name(&map.need("name", "give each source a name of its own")?)?;
    let kind = kind(&map, reading)?;
    let cluster = cluster(&map, &name, &kind)?;
    let reread = map.get("reread").map(|at| schedule::reread(&at));
    let start = map.get("start").map(|at| schedule::start(&at, schedule));
    Ok(SourceConfig {
        source: Source { name, provider: kind.provider(), cluster: cluster.into(), log: kind.log() },
        kind,
        reread_seconds: reread.transpose()?.unwrap_or_else(|| schedule.reread_seconds.clone()),
        start_seconds: start.transpose()?.unwrap_or(schedule.start_seconds),
    })
}

fn kind(map: &Map<'_>, reading: &mut Reading<'_>) -> Result<SourceKind, Diagnostic> {
    let named: Vec<_> = map.entries().filter(|(name, _)| KINDS.contains(name)).collect();
    let (name, at) = match named.as_slice() {
        [] => return Err(map.at().fault("no log is named", format!("add one of {}", KINDS.join(", ")))),
        [only] => only,
        [(first, _), (second, at), ..] => {
            return Err(at.fault(
                format!("a second log beside {first}"),
                format!("give {second} an entry and a name of its own"),
            ));
        }
    };
    if let Some((_, feature, _)) = BUILT_IN.iter().find(|(kind, _, is_built_in)| kind == name && !is_built_in) {
        return Err(at.fault(
            format!("{name} is not built into this binary"),
            format!("build with the cargo feature {feature}, or remove this source"),
        ));
    }
    match *name {
        "cloudwatch" => cloudwatch(at).map(SourceKind::Cloudwatch),
        "cloud_logging" => google::read(at).map(SourceKind::CloudLogging),
        "azure_monitor" => azure::read(at, reading).map(SourceKind::AzureMonitor),
        _ => file(at, reading),
    }
}

fn cloudwatch(at: &At<'_>) -> Result<Cloudwatch, Diagnostic> {
    let map = keys(at, &["region", "log_group", "stream_prefix", "assume_role", "endpoint", "credential"])?;
    let at = map.need("log_group", "add the log group, such as /aws/eks/NAME/cluster")?;
    let (log_group, arn_region) = aws::log_group(&at)?;
    let stream_prefix = map.get("stream_prefix").map(|at| stream_prefix(&at));
    Ok(Cloudwatch {
        access: aws::access(&map, arn_region)?,
        log_group,
        stream_prefix: stream_prefix.transpose()?.unwrap_or_else(|| AUDIT_STREAM_PREFIX.to_owned()),
    })
}

/// Stream names hold neither `:` nor `*` and have at most 512 characters: CloudWatch Logs API reference, CreateLogStream.
fn stream_prefix(at: &At<'_>) -> Result<String, Diagnostic> {
    let text = at.text()?;
    let is_allowed = |c: char| c.is_ascii_graphic() && c != ':' && c != '*';
    if text.len() <= 512 && text.chars().all(is_allowed) {
        return Ok(text.to_owned());
    }
    Err(at.fault(format!("`{text}` begins no stream's name"), "write the beginning as it stands, without a star"))
}

fn file(at: &At<'_>, reading: &Reading<'_>) -> Result<SourceKind, Diagnostic> {
    let map = keys(at, &["path"])?;
    let at = map.need("path", "add the path of the audit log")?;
    if at.text()?.contains(['*', '?']) {
        return Err(at.fault(
            "a pattern where one file is needed",
            "name the file that is written now: its rotated siblings are followed",
        ));
    }
    Ok(SourceKind::File { path: reading.path(&at)? })
}

impl SourceKind {
    fn provider(&self) -> Provider {
        match self {
            SourceKind::Cloudwatch(_) => Provider::Cloudwatch,
            SourceKind::CloudLogging(_) => Provider::CloudLogging,
            SourceKind::AzureMonitor(_) => Provider::AzureMonitor,
            SourceKind::File { .. } => Provider::File,
        }
    }

    /// Returns what the log is.
    fn log(&self) -> LogId {
        LogId(match self {
            SourceKind::Cloudwatch(cloudwatch) => cloudwatch.log(),
            SourceKind::CloudLogging(log) => log.log(),
            SourceKind::AzureMonitor(log) => log.log(),
            SourceKind::File { path } => format!("file/{}", path.display()),
        })
    }
}

impl Cloudwatch {
    /// Returns what the log is: the account is the group's, else the role's, else the endpoint stands for it.
    fn log(&self) -> String {
        let Cloudwatch { access, log_group, .. } = self;
        let account = log_group
            .account()
            .or_else(|| access.assume_role.as_ref().and_then(AssumeRole::account))
            .or_else(|| access.authority())
            .unwrap_or("own");
        format!("cloudwatch/{account}/{}/{}", access.region, log_group.name)
    }
}

/// Returns the cluster as named, else as the log tells it, else a file's source stands for it.
fn cluster(map: &Map<'_>, name: &str, kind: &SourceKind) -> Result<String, Diagnostic> {
    let told = match kind {
        SourceKind::File { .. } => Some(name),
        SourceKind::Cloudwatch(cloudwatch) => eks_cluster(&cloudwatch.log_group.name),
        SourceKind::CloudLogging(log) => Some(log.cluster.as_str()),
        SourceKind::AzureMonitor(log) => Some(log.cluster_name()),
    };
    match (map.get("cluster"), told) {
        (None, Some(told)) => Ok(told.to_owned()),
        _ => {
            let fix = "add the cluster's name: only /aws/eks/NAME/cluster tells it";
            reading::cluster(&map.need("cluster", fix)?)
        }
    }
}

/// EKS names its log groups so: Amazon EKS user guide, "Send control plane logs to CloudWatch Logs".
fn eks_cluster(log_group: &str) -> Option<&str> {
    log_group.strip_prefix("/aws/eks/")?.strip_suffix("/cluster").filter(|name| !name.is_empty() && !name.contains('/'))
}

fn check_unique(source: &SourceConfig, at: &At<'_>, before: &[(SourceConfig, At<'_>)]) -> Result<(), Diagnostic> {
    for (other, other_at) in before {
        let line = other_at.line();
        if other.source.name == source.source.name {
            return Err(place(at, "name")
                .fault(format!("the source in line {line} has this name too"), "give each source a name of its own"));
        }
        if other.source.log == source.source.log {
            return Err(place(at, source.source.provider.as_str()).fault(
                format!("reads the same log as {} in line {line}", other.source.name),
                "remove one of the two: each request would count twice",
            ));
        }
    }
    Ok(())
}

fn warn_of_one_cluster(
    source: &SourceConfig,
    at: &At<'_>,
    before: &[(SourceConfig, At<'_>)],
    reading: &mut Reading<'_>,
) {
    let twin = before.iter().find(|(other, _)| {
        other.source.cluster == source.source.cluster && other.source.provider == source.source.provider
    });
    if let Some((other, other_at)) = twin {
        reading.warn(at.fault(
            format!(
                "cluster {} is also that of {} in line {}",
                source.source.cluster,
                other.source.name,
                other_at.line()
            ),
            "if they are two clusters, add `cluster:` with a name that tells them apart",
        ));
    }
}

/// Returns the place of `key` within `at`, or `at` where it has no such key.
fn place<'a>(at: &At<'a>, key: &str) -> At<'a> {
    at.any_map().ok().and_then(|map| map.get(key)).unwrap_or_else(|| at.clone())
}
