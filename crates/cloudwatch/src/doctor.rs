//! What a doctor asks of a log group: may we read it, is it the one that shows scans, is it alive, and what does a
//! window cost. A few requests, none of them repeated; what only a wider permission shows is said to be unknown.

use aws_sdk_cloudwatchlogs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_cloudwatchlogs::types::{LogGroup, LogGroupClass};
use stakeout_core::check::{Check, Status};
use stakeout_core::prefilter::Prefilter;
use stakeout_core::record::FetchError;
use stakeout_core::text::{bounded, visible};
use stakeout_core::time::Window;

use crate::config::{group_arn, group_name, requests_per_second};
use crate::fetch::CloudWatch;

/// Pages that are read of one window to tell what it costs.
const PAGES_MAX: u64 = 20;
/// Longest text of the service that is shown.
const WORDS_CHARS_MAX: usize = 300;

impl CloudWatch {
    /// Looks the log over. `window` is the last one that is over, `prefilter` what the daemon would ask for in it, and
    /// `now_ms` tells how old the newest event is.
    pub async fn checks(&self, window: Window, prefilter: &Prefilter, now_ms: i64) -> Vec<Check> {
        let reading = self.cost(window, prefilter).await;
        let is_denied = matches!(reading, Err(FetchError::Denied { .. }));
        let mut checks = vec![self.permission(&reading)];
        checks.extend(self.group().await);
        if !is_denied {
            checks.extend(self.streams(now_ms).await);
            checks.extend(self.quota(&reading));
        }
        checks
    }

    /// Reads the window as the daemon would, at most [`PAGES_MAX`] pages of it; returns pages, records, and whether more
    /// would follow.
    async fn cost(&self, window: Window, prefilter: &Prefilter) -> Result<(u64, u64, bool), FetchError> {
        let (mut pages, mut records, mut token) = (0, 0, None);
        loop {
            let page = self.page(window, prefilter, token.as_ref()).await?;
            pages += 1;
            records += page.records.len() as u64;
            token = page.next;
            if token.is_none() || pages == PAGES_MAX {
                return Ok((pages, records, token.is_some()));
            }
        }
    }

    fn permission(&self, reading: &Result<(u64, u64, bool), FetchError>) -> Check {
        let group = &self.config().log_group;
        match reading {
            Ok(_) => Check::good("permission", format!("log group {group} may be read")),
            Err(FetchError::Denied { reason }) => Check::of(
                "permission",
                Status::Bad,
                reason,
                format!(
                    "aws logs filter-log-events --region {} --log-group-name {} --limit 1 must work as this user; \
                     the policy that it needs is deploy/iam/eks-cloudwatch.json",
                    self.config().access.region,
                    group_name(group)
                ),
            ),
            Err(fault) => Check::of(
                "permission",
                Status::Bad,
                fault.to_string(),
                "see that the endpoint can be reached from here, and run doctor again",
            ),
        }
    }

    /// Looks at the group's class, which decides whether it can be searched at all.
    async fn group(&self) -> Vec<Check> {
        let name = group_name(&self.config().log_group);
        let asked = self.client().describe_log_groups().log_group_name_prefix(name).limit(50).send().await;
        let groups = match asked {
            Ok(answer) => answer.log_groups.unwrap_or_default(),
            Err(fault) => return vec![unseen("log", &fault, "logs:DescribeLogGroups")],
        };
        match groups.into_iter().find(|group| group.log_group_name() == Some(name)) {
            Some(group) => vec![self.class(name, &group)],
            // A group that another account shares is not listed among our own.
            None if group_arn(&self.config().log_group).is_some() => Vec::new(),
            None => vec![Check::of(
                "log",
                Status::Bad,
                format!("log group {name} does not exist in {}", self.config().access.region),
                self.switch_on(name),
            )],
        }
    }

    fn class(&self, name: &str, group: &LogGroup) -> Check {
        match group.log_group_class() {
            None | Some(LogGroupClass::Standard) => {
                Check::good("log", format!("log group {name} exists, in the class STANDARD"))
            }
            Some(class) => Check::of(
                "log",
                Status::Bad,
                format!("log group {name} has the class {class}, which cannot be searched"),
                format!(
                    "a class cannot be changed: switch audit logging off, delete the group, run \
                     `aws logs create-log-group --region {} --log-group-name {name} --log-group-class STANDARD`, \
                     and switch audit logging on again",
                    self.config().access.region
                ),
            ),
        }
    }

    /// Looks for the audit log's streams: a group of an EKS cluster may hold other logs of the control plane only.
    async fn streams(&self, now_ms: i64) -> Vec<Check> {
        let config = self.config();
        let request = self
            .client()
            .describe_log_streams()
            .set_log_stream_name_prefix(Some(&config.stream_prefix).filter(|prefix| !prefix.is_empty()).cloned());
        let asked = match group_arn(&config.log_group) {
            Some(arn) => request.log_group_identifier(arn),
            None => request.log_group_name(&config.log_group),
        };
        let streams = match asked.send().await {
            Ok(answer) => answer.log_streams.unwrap_or_default(),
            Err(fault) => return vec![unseen("scans", &fault, "logs:DescribeLogStreams")],
        };
        if streams.is_empty() {
            let name = group_name(&config.log_group);
            let finding = format!("log group {name} has no stream {}*: audit logging is off", config.stream_prefix);
            return vec![Check::of("scans", Status::Bad, finding, self.switch_on(name))];
        }
        let scans = Check::good("scans", format!("the audit log is on: {} streams", streams.len()));
        let newest = streams.iter().filter_map(|stream| stream.last_event_timestamp()).max();
        let age = match newest {
            Some(newest) => newest_event(now_ms.saturating_sub(newest) / 60_000),
            None => Check::of(
                "newest event",
                Status::Doubtful,
                "no stream tells of an event",
                "wait some minutes after switching the log on, and run doctor again",
            ),
        };
        vec![scans, age]
    }

    fn quota(&self, reading: &Result<(u64, u64, bool), FetchError>) -> Option<Check> {
        let (pages, records, has_more) = reading.as_ref().ok()?;
        let per_second = requests_per_second(&self.config().access.region);
        let seconds = pages.div_ceil(u64::from(per_second).max(1)).max(1);
        if *has_more {
            return Some(Check::of(
                "quota",
                Status::Doubtful,
                format!("the last window takes more than {pages} requests; {per_second} a second are allowed"),
                "narrow the rules, or read more often with a shorter window (schedule)",
            ));
        }
        let finding = format!(
            "the last window took {pages} requests for {records} records: {seconds} s of the quota of {per_second} a second"
        );
        Some(Check::good("quota", finding))
    }

    /// Returns the command that switches the audit log of an EKS cluster on.
    fn switch_on(&self, group: &str) -> String {
        let cluster = group.strip_prefix("/aws/eks/").and_then(|rest| rest.strip_suffix("/cluster")).unwrap_or("NAME");
        format!(
            "aws eks update-cluster-config --region {} --name {cluster} --logging \
             '{{\"clusterLogging\":[{{\"types\":[\"audit\"],\"enabled\":true}}]}}'",
            self.config().access.region
        )
    }
}

/// Says how old the newest event is. CloudWatch Logs itself may know it an hour late.
/// <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_LogStream.html>
fn newest_event(minutes: i64) -> Check {
    let finding = format!("the newest event is {} minutes old", minutes.max(0));
    if minutes <= 120 {
        return Check::good("newest event", finding);
    }
    Check::of(
        "newest event",
        Status::Doubtful,
        finding,
        "see that the cluster still runs and that its control plane log type audit is on",
    )
}

/// Says that something could not be looked at, which is no fault of the log.
fn unseen<E: ProvideErrorMetadata, R>(subject: &'static str, fault: &SdkError<E, R>, action: &str) -> Check {
    let code = fault.as_service_error().and_then(ProvideErrorMetadata::code).unwrap_or("no answer");
    let words = fault.as_service_error().and_then(ProvideErrorMetadata::message).unwrap_or("the request failed");
    Check::of(
        subject,
        Status::Unknown,
        format!("not looked at: {}", visible(&bounded(&format!("{code}: {words}"), WORDS_CHARS_MAX))),
        format!("to let doctor look, allow {action}; the daemon itself does not need it"),
    )
}
