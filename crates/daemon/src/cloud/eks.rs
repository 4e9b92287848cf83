//! EKS: its audit log in CloudWatch Logs, `cloudwatch` in the config.

mod discovery;

use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use stakeout_aws::{Access, AssumeRole};
use stakeout_cloudwatch::{CloudWatch, CloudWatchConfig, requests_per_second};
use stakeout_core::decode::{self, DecodeError, Enveloped};
use stakeout_core::diagnostic::Diagnostic;
use stakeout_core::yaml::At;
use stakeout_http::Endpoint;
use stakeout_notify::console::Service;

use super::budget::{Budget, Budgets, Quota};
use super::{Export, OptionalMember};
use crate::outbound::Outbound;
use crate::section::aws::{self, Arn};
use crate::section::{SectionReader, keys};

/// EKS writes the audit log into streams with this prefix, beside the other logs of the control plane:
/// Amazon EKS user guide, "Send control plane logs to CloudWatch Logs".
const AUDIT_STREAM_PREFIX: &str = "kube-apiserver-audit";

pub(crate) use discovery::{Discovery, Finder};

/// A client of CloudWatch Logs.
pub(crate) type Client = Box<CloudWatch>;

/// The audit log of one EKS cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Region, role and endpoint.
    pub(crate) access: Access,
    /// The log group.
    pub(crate) log_group: LogGroup,
    /// The prefix of the audit log's stream names.
    pub(crate) stream_prefix: String,
}

/// A log group of CloudWatch Logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogGroup {
    /// The name, such as `/aws/eks/prod/cluster`.
    pub(crate) name: String,
    /// The ARN without the final `:*`, where the config has one: for a group that another account shares.
    pub(crate) arn: Option<String>,
}

/// Events of CloudWatch Logs: FilterLogEvents answers, S3 exports, subscription data.
pub(super) const EXPORT: Export = Export {
    envelope: Some(stakeout_cloudwatch::decode::exported),
    is_translated: false,
    own_needles: None,
    optional_members: &[OptionalMember { name: "timestamp", alias: None, value: "0" }],
};

/// Returns the event in a record of the service.
pub(super) fn decode(body: &str) -> Result<Enveloped, DecodeError> {
    let decoded = decode::decode(body.as_bytes())?;
    Ok(Enveloped { decoded, time_ms: 0, record_id: String::new(), cluster: None, cluster_id: None })
}

impl Settings {
    /// Reads `cloudwatch`.
    pub(super) fn read(at: &At<'_>, _: &SectionReader<'_>) -> Result<Settings, Diagnostic> {
        let map = keys(at, &["region", "log_group", "stream_prefix", "assume_role", "endpoint", "credential"])?;
        let at = map.need("log_group", "add the log group, such as /aws/eks/NAME/cluster")?;
        let (log_group, arn_region) = log_group(&at)?;
        let stream_prefix = map.get("stream_prefix").map(|at| stream_prefix(&at));
        Ok(Settings {
            access: aws::access(&map, arn_region)?,
            log_group,
            stream_prefix: stream_prefix.transpose()?.unwrap_or_else(|| AUDIT_STREAM_PREFIX.to_owned()),
        })
    }

    /// Returns which log this is. The account is that of the group, else that of the role. Where neither is known, the
    /// endpoint takes its place.
    pub(super) fn log(&self) -> String {
        let Settings { access, log_group, .. } = self;
        let account = log_group.account().unwrap_or_else(|| account_of(access));
        format!("cloudwatch/{account}/{}/{}", access.region, log_group.name)
    }

    /// Returns the cluster's name, where EKS named the group after it:
    /// Amazon EKS user guide, "Send control plane logs to CloudWatch Logs".
    pub(super) fn cluster(&self) -> Option<&str> {
        let name = self.log_group.name.strip_prefix("/aws/eks/")?.strip_suffix("/cluster")?;
        Some(name).filter(|name| !name.is_empty() && !name.contains('/'))
    }

    /// Returns where the log can be searched.
    pub(super) fn console(&self) -> Option<Service> {
        Some(Service::CloudWatch {
            region: self.access.region.clone(),
            log_group: self.log_group.arn.clone().unwrap_or_else(|| self.log_group.name.clone()),
            stream_prefix: self.stream_prefix.clone(),
        })
    }

    /// Returns nothing: requests come to the API server as they are.
    #[expect(clippy::unused_self, reason = "every cloud is asked in the same way")]
    pub(super) fn control_plane_proxies(&self) -> Vec<IpNet> {
        Vec::new()
    }

    /// Sets up the client, with the budget that its requests draw on.
    pub(super) fn connect(&self, budgets: &mut Budgets, outbound: &Outbound) -> anyhow::Result<(Client, Arc<Budget>)> {
        let config = CloudWatchConfig {
            access: self.access.clone(),
            log_group: self.log_group.arn.clone().unwrap_or_else(|| self.log_group.name.clone()),
            stream_prefix: self.stream_prefix.clone(),
            page_size: None,
        };
        let requests = requests_per_second(&config.access.region);
        let budget = budgets.of(config.budget_key(), Quota { requests, span: Duration::from_secs(1), at_once: None });
        Ok((Box::new(CloudWatch::sharing(config, &outbound.aws, &outbound.sessions)), budget))
    }
}

impl LogGroup {
    /// Returns the account of the group, where its ARN contains it.
    fn account(&self) -> Option<&str> {
        Arn::parse(self.arn.as_deref()?).map(|arn| arn.account)
    }
}

/// Returns the account of a role; where it is unknown, the endpoint.
fn account_of(access: &Access) -> &str {
    let account = access.assume_role.as_ref().and_then(AssumeRole::account);
    account.or_else(|| access.endpoint.as_ref().map(Endpoint::authority)).unwrap_or("own")
}

/// Reads a log group, by name or ARN, and returns the region of the ARN.
fn log_group<'a>(at: &At<'a>) -> Result<(LogGroup, Option<&'a str>), Diagnostic> {
    let text = at.text()?;
    let not_a_group = || {
        at.error(
            format!("`{text}` is not a log group"),
            "write a name such as /aws/eks/NAME/cluster, or arn:aws:logs:REGION:ACCOUNT:log-group:NAME",
        )
    };
    if !text.starts_with("arn:") {
        let name = is_group_name(text).then(|| text.to_owned());
        let group = LogGroup { name: name.ok_or_else(not_a_group)?, arn: None };
        return Ok((group, None));
    }
    let bare = text.strip_suffix(":*").unwrap_or(text);
    let arn = Arn::parse(bare).filter(|arn| arn.service == "logs" && arn.has_region()).ok_or_else(not_a_group)?;
    let name = arn.resource.strip_prefix("log-group:").filter(|name| is_group_name(name)).ok_or_else(not_a_group)?;
    let group = LogGroup { name: name.to_owned(), arn: Some(bare.to_owned()) };
    Ok((group, Some(arn.region)))
}

/// CloudWatch Logs accepts 1 to 512 of these: its API reference, CreateLogGroup, `logGroupName`.
fn is_group_name(text: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "_-/.#".contains(c);
    (1..=512).contains(&text.len()) && text.chars().all(is_allowed)
}

/// Stream names contain neither `:` nor `*`, and at most 512 characters: CloudWatch Logs API reference,
/// CreateLogStream.
fn stream_prefix(at: &At<'_>) -> Result<String, Diagnostic> {
    let text = at.text()?;
    let is_allowed = |c: char| c.is_ascii_graphic() && c != ':' && c != '*';
    if text.len() <= 512 && text.chars().all(is_allowed) {
        return Ok(text.to_owned());
    }
    Err(at.error(format!("`{text}` is not the prefix of a stream name"), "write the prefix itself, without a star"))
}

#[cfg(feature = "demo")]
pub(super) use fake::start as start_fake;

/// The demo's EKS cluster.
#[cfg(feature = "demo")]
mod fake {
    use anyhow::{Context, Result};
    use stakeout_core::decode::decode;
    use stakeout_core::time::Second;
    use stakeout_fakes::CloudWatchLogs;
    use stakeout_fakes::cloudwatch_logs::LogGroupClass;

    use crate::cloud::fake::{Fake, Served, unpacked};

    const GROUP: &str = "/aws/eks/eks-demo/cluster";
    const STREAM: &str = "kube-apiserver-audit-0a1b2c3d4e5f60718293a4b5c6d7e8f9";
    const KUBE_HUNTER: &[u8] = include_bytes!("../../../../tests/data/audit/kube-hunter.audit.log.gz");

    /// Starts the fake.
    pub(in crate::cloud) async fn start() -> Result<CloudWatchLogs> {
        CloudWatchLogs::start().await.context("cannot start the fake of CloudWatch Logs")
    }

    impl Fake for CloudWatchLogs {
        fn name(&self) -> &'static str {
            "CloudWatch Logs (EKS)"
        }

        fn endpoint(&self) -> String {
            CloudWatchLogs::endpoint(self)
        }

        fn source(&self) -> String {
            let endpoint = CloudWatchLogs::endpoint(self);
            format!(
                "{{name: eks-demo, cloudwatch: {{region: eu-west-1, log_group: {GROUP}, endpoint: \"{endpoint}\"}}}}"
            )
        }

        fn served(&self) -> Served {
            let served = CloudWatchLogs::served(self);
            Served { records: served.records, bytes: served.bytes, answers: served.pages }
        }

        fn add_kube_hunter(&self, begin: Second) -> Result<usize> {
            self.add_audit_log(KUBE_HUNTER, begin)
        }

        fn add_audit_log(&self, recording: &[u8], begin: Second) -> Result<usize> {
            let text = unpacked(recording)?;
            let time_of = |line: &str| decode(line.as_bytes()).ok()?.event.stage_time_ms();
            let timed: Vec<(i64, &str)> = text.lines().filter_map(|line| Some((time_of(line)?, line))).collect();
            let first = timed.iter().map(|(at, _)| *at).min().context("the recording is empty")?;
            self.create_group(GROUP, LogGroupClass::Standard);
            for (at, line) in &timed {
                self.ingest(GROUP, STREAM, begin.millis() + at - first, line);
            }
            Ok(timed.len())
        }
    }
}
