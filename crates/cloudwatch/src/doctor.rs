//! Checks a log group for `stakeout doctor`: is it readable, does it show scans, is it alive, and what does a window
//! cost. It sends a few requests and repeats none; what needs a wider permission is reported as unknown.

use std::error::Error;
use std::fmt::Debug;

use aws_sdk_cloudwatchlogs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_cloudwatchlogs::types::{LogGroup, LogGroupClass};
use stakeout_aws::{CREDENTIALS_FIX, NO_CREDENTIALS};
use stakeout_core::check::{Check, Examination, Price, ReadCost, Status};
use stakeout_core::prefilter::Prefilter;
use stakeout_core::record::FetchError;
use stakeout_core::text::{bounded, counted, visible};
use stakeout_core::time::Window;
use stakeout_http::error_chain::message;

use crate::config::{audit_log_command, group_arn, group_name, requests_per_second};
use crate::fetch::CloudWatch;

/// Pages that are read of one window to measure its cost.
const PAGES_MAX: u64 = 20;
/// Longest text of the service that is shown.
const MESSAGE_CHARS_MAX: usize = 300;

/// AWS charges nothing for `FilterLogEvents`, and for data that leaves a region about so much.
/// <https://aws.amazon.com/cloudwatch/pricing/>, <https://aws.amazon.com/ec2/pricing/on-demand/#Data_Transfer>
const PRICE: Price =
    Price { dollars_per_gb: 0.09, what: "that leaves the region, nothing within it; FilterLogEvents itself is free" };

/// What reading a window takes.
struct WindowCost {
    pages: u64,
    records: u64,
    bytes: u64,
    /// Whether pages follow that were not read.
    has_more: bool,
}

impl CloudWatch {
    /// Checks the log. `window` is the last complete one, `prefilter` what the daemon would ask for in it, and `now_ms`
    /// the time from which the age of the newest event counts.
    pub async fn checks(&self, window: Window, prefilter: &Prefilter, now_ms: i64) -> Examination {
        let cost = self.cost(window, prefilter).await;
        if let Err(FetchError::Unavailable { reason } | FetchError::Denied { reason }) = &cost
            && reason.starts_with(NO_CREDENTIALS)
        {
            let parts = reason.strip_suffix(')').and_then(|reason| reason.split_once(" ("));
            let (finding, fix) = parts.unwrap_or((reason, CREDENTIALS_FIX));
            return Examination { checks: vec![Check::of("credentials", Status::Bad, finding, fix)], cost: None };
        }
        let is_denied = matches!(cost, Err(FetchError::Denied { .. }));
        let mut checks = vec![self.permission(&cost)];
        checks.extend(self.group().await);
        if !is_denied {
            checks.extend(self.streams(now_ms).await);
            checks.extend(self.quota(&cost));
        }
        let cost = cost.ok().filter(|cost| !cost.has_more).map(|WindowCost { pages, records, bytes, .. }| ReadCost {
            requests: pages,
            records,
            bytes,
            billed_bytes: bytes,
            price: PRICE,
        });
        Examination { checks, cost }
    }

    /// Returns which way each endpoint is reached, and which permission each call needs. Sends nothing.
    #[must_use]
    pub fn setup(&self) -> Vec<Check> {
        let route = |url: &str| Check::good("route", format!("{url}: {}", self.network().way(url)));
        let role = self.config().access.assume_role.as_ref().map_or("", |_| "sts:AssumeRole first, then ");
        let calls =
            format!("{role}logs:FilterLogEvents; logs:DescribeLogGroups and logs:DescribeLogStreams for doctor alone");
        let routes = self.config().access.addresses("logs");
        routes.iter().map(|url| route(url)).chain([Check::good("calls", calls)]).collect()
    }

    /// Reads the window as the daemon would, at most [`PAGES_MAX`] pages of it.
    async fn cost(&self, window: Window, prefilter: &Prefilter) -> Result<WindowCost, FetchError> {
        let (mut pages, mut records, mut bytes, mut token) = (0, 0, 0, None);
        loop {
            let page = self.page(window, prefilter, token.as_ref()).await?;
            pages += 1;
            records += page.records.len() as u64;
            bytes += page.bytes;
            token = page.next;
            if token.is_none() || pages == PAGES_MAX {
                return Ok(WindowCost { pages, records, bytes, has_more: token.is_some() });
            }
        }
    }

    fn permission(&self, cost: &Result<WindowCost, FetchError>) -> Check {
        let group = &self.config().log_group;
        match cost {
            Ok(_) => Check::good("permission", format!("log group {group} is readable")),
            Err(FetchError::Denied { reason }) => Check::of(
                "permission",
                Status::Bad,
                reason,
                format!(
                    "aws logs filter-log-events --region {} --log-group-name {} --limit 1 must work with these credentials; \
                     the policy for them is deploy/iam/eks-cloudwatch.json",
                    self.config().access.region,
                    group_name(group)
                ),
            ),
            Err(error) => Check::of(
                "permission",
                Status::Bad,
                error.to_string(),
                "check that the endpoint is reachable from here, and run doctor again",
            ),
        }
    }

    /// Looks at the group's class, which decides whether it can be searched at all.
    async fn group(&self) -> Vec<Check> {
        let name = group_name(&self.config().log_group);
        let asked = self.client().await.client.describe_log_groups().log_group_name_prefix(name).limit(50).send().await;
        let groups = match asked {
            Ok(answer) => answer.log_groups.unwrap_or_default(),
            Err(error) => return vec![unreadable("log", &error, "logs:DescribeLogGroups")],
        };
        match groups.into_iter().find(|group| group.log_group_name() == Some(name)) {
            Some(group) => vec![self.class(name, &group)],
            // A group that another account shares is not in this account's list.
            None if group_arn(&self.config().log_group).is_some() => Vec::new(),
            None => vec![Check::of(
                "log",
                Status::Bad,
                format!("log group {name} does not exist in {}", self.config().access.region),
                self.turn_on(name),
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
                    "a class cannot be changed: turn audit logging off, delete the group, run \
                     `aws logs create-log-group --region {} --log-group-name {name} --log-group-class STANDARD`, \
                     and turn audit logging on again",
                    self.config().access.region
                ),
            ),
        }
    }

    /// Looks for the audit log's streams: a group of an EKS cluster may hold other logs of the control plane only.
    async fn streams(&self, now_ms: i64) -> Vec<Check> {
        let config = self.config();
        let lease = self.client().await;
        let request = lease
            .client
            .describe_log_streams()
            .set_log_stream_name_prefix(Some(&config.stream_prefix).filter(|prefix| !prefix.is_empty()).cloned());
        let asked = match group_arn(&config.log_group) {
            Some(arn) => request.log_group_identifier(arn),
            None => request.log_group_name(&config.log_group),
        };
        let streams = match asked.send().await {
            Ok(answer) => answer.log_streams.unwrap_or_default(),
            Err(error) => return vec![unreadable("scans", &error, "logs:DescribeLogStreams")],
        };
        if streams.is_empty() {
            let name = group_name(&config.log_group);
            let finding = format!("log group {name} has no stream {}*: audit logging is off", config.stream_prefix);
            return vec![Check::of("scans", Status::Bad, finding, self.turn_on(name))];
        }
        let scans = Check::good("scans", format!("the audit log is on: {}", counted(streams.len(), "stream")));
        let newest = streams.iter().filter_map(|stream| stream.last_event_timestamp()).max();
        let age = match newest {
            Some(newest) => newest_event(now_ms.saturating_sub(newest) / 60_000),
            None => Check::of(
                "newest event",
                Status::Doubtful,
                "no stream contains an event",
                "wait some minutes after turning the log on, and run doctor again",
            ),
        };
        vec![scans, age]
    }

    fn quota(&self, cost: &Result<WindowCost, FetchError>) -> Option<Check> {
        let WindowCost { pages, records, has_more, .. } = cost.as_ref().ok()?;
        let per_second = requests_per_second(&self.config().access.region);
        let seconds = pages.div_ceil(u64::from(per_second).max(1)).max(1);
        if *has_more {
            return Some(Check::of(
                "quota",
                Status::Doubtful,
                format!(
                    "the last window takes more than {}; {per_second} per second are allowed",
                    counted(*pages, "request")
                ),
                "narrow the rules, or read more often with a shorter window (schedule)",
            ));
        }
        let finding = format!(
            "the last window took {} for {}: {seconds} s of the quota of {per_second} per second",
            counted(*pages, "request"),
            counted(*records, "record")
        );
        Some(Check::good("quota", finding))
    }

    /// Returns the command that turns on the audit log of an EKS cluster.
    fn turn_on(&self, group: &str) -> String {
        let cluster = group.strip_prefix("/aws/eks/").and_then(|rest| rest.strip_suffix("/cluster")).unwrap_or("NAME");
        audit_log_command(&self.config().access.region, cluster)
    }
}

/// Checks how old the newest event is. CloudWatch Logs itself may know it an hour late.
/// <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_LogStream.html>
fn newest_event(minutes: i64) -> Check {
    let finding = format!("the newest event is {} old", counted(minutes.max(0), "minute"));
    if minutes <= 120 {
        return Check::good("newest event", finding);
    }
    Check::of(
        "newest event",
        Status::Doubtful,
        finding,
        "if the cluster is in use, check that its control plane log type audit is on; CloudWatch itself may know of an \
         event an hour late",
    )
}

/// Returns the check of something that could not be read, for which the log is not to blame.
fn unreadable<E: ProvideErrorMetadata + Error + 'static, R: Debug + 'static>(
    subject: &'static str,
    error: &SdkError<E, R>,
    action: &str,
) -> Check {
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code);
    let reason = match (code, error.as_service_error().and_then(ProvideErrorMetadata::message)) {
        (Some(code), message) => format!("{code}: {}", message.unwrap_or("no message")),
        (None, _) => message(error),
    };
    Check::of(
        subject,
        Status::Unknown,
        format!("cannot be checked: {}", visible(&bounded(&reason, MESSAGE_CHARS_MAX))),
        format!("to let doctor check this, allow {action}; the daemon itself does not need it"),
    )
}
