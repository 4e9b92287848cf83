//! `DescribeLogGroups` and `DescribeLogStreams`. Their tokens are the name after which a page begins.

use serde::Deserialize;
use serde_json::{Value, json};

use super::store::{Group, LogGroupClass, Store, Stream, group_arn, name_of_identifier};
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

impl Store {
    pub(super) fn describe_log_groups(&self, input: &DescribeLogGroups, region: &str) -> Result<Value, LogsError> {
        if input.log_group_name_prefix.is_some() && input.log_group_name_pattern.is_some() {
            return Err(LogsError::invalid("logGroupNamePrefix and logGroupNamePattern are mutually exclusive."));
        }
        let prefix = input.log_group_name_prefix.as_deref().unwrap_or_default();
        let pattern = input.log_group_name_pattern.as_deref().unwrap_or_default();
        let wanted = |name: &str, group: &Group| {
            let has_class = input.log_group_class.is_none_or(|class| class == group.class);
            has_class && name.starts_with(prefix) && name.to_lowercase().contains(&pattern.to_lowercase())
        };
        let named = self.groups.iter().filter(|(name, group)| wanted(name, group));
        let groups: Vec<_> = named.map(|(name, group)| (name.clone(), describe_group(name, group, region))).collect();
        page("logGroups", &groups, input.next_token.as_deref(), input.limit)
    }

    pub(super) fn describe_log_streams(&self, input: &DescribeLogStreams, region: &str) -> Result<Value, LogsError> {
        let name = match (&input.log_group_name, &input.log_group_identifier) {
            (Some(name), None) => name,
            (None, Some(identifier)) => name_of_identifier(identifier, region)?,
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
        let streams = self.group(name)?.streams.iter();
        let mut streams: Vec<_> = streams.filter(|(name, _)| name.starts_with(prefix.unwrap_or_default())).collect();
        if input.order_by == OrderBy::LastEventTime {
            streams.sort_by_key(|(_, stream)| stream.last_event_ms);
        }
        if input.descending {
            streams.reverse();
        }
        let describe = |(stream, facts): (&String, _)| (stream.clone(), describe_stream(stream, facts, name, region));
        let described: Vec<_> = streams.into_iter().map(describe).collect();
        page("logStreams", &described, input.next_token.as_deref(), input.limit)
    }
}

fn describe_group(name: &str, group: &Group, region: &str) -> Value {
    let arn = group_arn(region, name);
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

fn describe_stream(name: &str, stream: &Stream, group: &str, region: &str) -> Value {
    let mut described = json!({
        "logStreamName": name,
        "arn": format!("{}:log-stream:{name}", group_arn(region, group)),
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
