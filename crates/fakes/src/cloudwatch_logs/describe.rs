//! `DescribeLogGroups` and `DescribeLogStreams`. Their tokens are the name or ARN after which a page begins.

use serde::Deserialize;
use serde_json::{Value, json};

use super::place::Seen;
use super::store::{Group, LogGroupClass, Stream, group_arn};
use super::wire::{LogsError, constrain_range};
use super::write::constrain_stream_name;

/// The default and the maximum of both operations.
const LIMIT: i64 = 50;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct DescribeLogGroups {
    log_group_name_prefix: Option<String>,
    log_group_name_pattern: Option<String>,
    log_group_class: Option<LogGroupClass>,
    #[serde(default)]
    include_linked_accounts: bool,
    next_token: Option<String>,
    limit: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct DescribeLogStreams {
    log_group_name: Option<String>,
    log_group_identifier: Option<String>,
    log_stream_name_prefix: Option<String>,
    #[serde(default)]
    order_by: OrderBy,
    #[serde(default)]
    descending: bool,
    next_token: Option<String>,
    limit: Option<i64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
enum OrderBy {
    #[default]
    LogStreamName,
    LastEventTime,
}

impl Seen<'_> {
    pub(super) fn describe_log_groups(&self, input: &DescribeLogGroups) -> Result<Value, LogsError> {
        if input.log_group_name_prefix.is_some() && input.log_group_name_pattern.is_some() {
            return Err(LogsError::invalid("logGroupNamePrefix and logGroupNamePattern are mutually exclusive."));
        }
        let prefix = input.log_group_name_prefix.as_deref().unwrap_or_default();
        let pattern = input.log_group_name_pattern.as_deref().unwrap_or_default();
        let wanted = |name: &str, group: &Group| {
            let has_class = input.log_group_class.is_none_or(|class| class == group.class);
            has_class && name.starts_with(prefix) && name.to_lowercase().contains(&pattern.to_lowercase())
        };
        let named =
            self.groups(input.include_linked_accounts).into_iter().filter(|(_, name, group)| wanted(name, group));
        let described = named.map(|(account, name, group)| {
            let arn = group_arn(self.region, account, name);
            (arn.clone(), describe_group(name, group, &arn))
        });
        let groups: Vec<_> = described.collect();
        page("logGroups", &groups, input.next_token.as_deref(), input.limit)
    }

    pub(super) fn describe_log_streams(&self, input: &DescribeLogStreams) -> Result<Value, LogsError> {
        let identifier = match (&input.log_group_name, &input.log_group_identifier) {
            (Some(name), None) => name,
            (None, Some(identifier)) => identifier,
            _ => {
                return Err(LogsError::invalid("Exactly one of logGroupName and logGroupIdentifier must be given."));
            }
        };
        let prefix = input.log_stream_name_prefix.as_deref();
        if let Some(prefix) = prefix {
            constrain_stream_name("logStreamNamePrefix", prefix)?;
        }
        if prefix.is_some() && input.order_by == OrderBy::LastEventTime {
            return Err(LogsError::invalid("Cannot order by LastEventTime with a logStreamNamePrefix."));
        }
        let (account, name, group) = self.group(identifier)?;
        let arn = group_arn(self.region, account, name);
        let streams = group.streams.iter();
        let mut streams: Vec<_> = streams.filter(|(name, _)| name.starts_with(prefix.unwrap_or_default())).collect();
        if input.order_by == OrderBy::LastEventTime {
            streams.sort_by_key(|(_, stream)| stream.last_event_ms);
        }
        if input.descending {
            streams.reverse();
        }
        let describe = |(stream, facts): (&String, _)| (stream.clone(), describe_stream(stream, facts, &arn));
        let described: Vec<_> = streams.into_iter().map(describe).collect();
        page("logStreams", &described, input.next_token.as_deref(), input.limit)
    }
}

fn describe_group(name: &str, group: &Group, arn: &str) -> Value {
    json!({
        "logGroupName": name,
        "arn": format!("{arn}:*"),
        "logGroupArn": arn,
        "creationTime": group.created_ms,
        "logGroupClass": group.class.as_str(),
        "metricFilterCount": 0,
        "storedBytes": group.stored_bytes(),
    })
}

fn describe_stream(name: &str, stream: &Stream, group_arn: &str) -> Value {
    let mut described = json!({
        "logStreamName": name,
        "arn": format!("{group_arn}:log-stream:{name}"),
        "creationTime": stream.created_ms,
        "storedBytes": 0,
    });
    let times = [
        ("firstEventTimestamp", stream.first_event_ms),
        ("lastEventTimestamp", stream.last_event_ms),
        ("lastIngestionTime", stream.last_ingestion_ms),
    ];
    for (member, time) in times {
        if let Some(time) = time {
            described[member] = json!(time);
        }
    }
    described
}

fn page(member: &str, all: &[(String, Value)], after: Option<&str>, limit: Option<i64>) -> Result<Value, LogsError> {
    let limit = limit.unwrap_or(LIMIT);
    constrain_range("limit", limit, 1, LIMIT)?;
    let start = match after {
        None => 0,
        Some(token) => 1 + all.iter().position(|(name, _)| name == token).ok_or_else(LogsError::token_gone)?,
    };
    let end = all.len().min(start + usize::try_from(limit).unwrap_or_default());
    let mut answer = json!({member: all[start..end].iter().map(|(_, described)| described).collect::<Vec<_>>()});
    if end < all.len() {
        answer["nextToken"] = json!(all[end - 1].0);
    }
    Ok(answer)
}
