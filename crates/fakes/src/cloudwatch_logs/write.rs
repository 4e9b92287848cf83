//! `CreateLogGroup`, `CreateLogStream` and `PutLogEvents`.
//! <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html>

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::store::{EVENT_OVERHEAD_BYTES, Group, LogGroupClass, Store, Stream};
use super::wire::{LogsError, constrain, constrain_length};

const BATCH_BYTES_MAX: usize = 1_048_576;
const EVENT_BYTES_MAX: usize = 1_048_576;
const BATCH_EVENTS_MAX: usize = 10_000;
const HOUR_MS: i64 = 3_600_000;
const BATCH_SPAN_MS_MAX: i64 = 24 * HOUR_MS;
const AGE_MS_MAX: i64 = 14 * 24 * HOUR_MS;
const AHEAD_MS_MAX: i64 = 2 * HOUR_MS;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct CreateLogGroup {
    log_group_name: String,
    #[serde(default)]
    log_group_class: LogGroupClass,
    #[serde(default, rename = "tags")]
    _tags: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct CreateLogStream {
    log_group_name: String,
    log_stream_name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct PutLogEvents {
    log_group_name: String,
    log_stream_name: String,
    log_events: Vec<InputLogEvent>,
    /// Ignored by the cloud too.
    #[serde(default, rename = "sequenceToken")]
    _sequence_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct InputLogEvent {
    timestamp: i64,
    message: String,
}

impl Store {
    pub(super) fn create_log_group(&mut self, input: CreateLogGroup, now: Timestamp) -> Result<(), LogsError> {
        let name = input.log_group_name;
        constrain_group_name(&name)?;
        if name.starts_with("aws/") {
            return Err(LogsError::invalid("Log groups starting with 'aws/' are reserved"));
        }
        if self.groups.contains_key(&name) {
            return Err(LogsError::already_exists("log group"));
        }
        self.groups.insert(name, Group::new(input.log_group_class, now));
        Ok(())
    }

    pub(super) fn create_log_stream(&mut self, input: &CreateLogStream, now: Timestamp) -> Result<(), LogsError> {
        constrain_stream_name("logStreamName", &input.log_stream_name)?;
        self.group(&input.log_group_name)?;
        let group = self.group_or_new(&input.log_group_name, now);
        if group.streams.contains_key(&input.log_stream_name) {
            return Err(LogsError::already_exists("log stream"));
        }
        group.streams.insert(input.log_stream_name.clone(), Stream::new(now));
        Ok(())
    }

    pub(super) fn put_log_events(&mut self, input: &PutLogEvents, now: Timestamp) -> Result<Value, LogsError> {
        constrain_stream_name("logStreamName", &input.log_stream_name)?;
        if !self.group(&input.log_group_name)?.streams.contains_key(&input.log_stream_name) {
            return Err(LogsError::not_found("log stream"));
        }
        check_batch(&input.log_events)?;
        let span = self.accepted_span(now.as_millisecond());
        let too_old = input.log_events.iter().take_while(|event| event.timestamp < span.0).count();
        let new_enough = input.log_events.iter().take_while(|event| event.timestamp <= span.1).count();
        let accepted = input.log_events.get(too_old..new_enough).unwrap_or_default();
        check_span(accepted)?;
        for event in accepted {
            self.ingest(&input.log_group_name, &input.log_stream_name, event.timestamp, &event.message, now);
        }
        Ok(put_answer(too_old, new_enough, input.log_events.len()))
    }

    /// Returns the earliest and latest valid timestamp of a batch.
    fn accepted_span(&self, now_ms: i64) -> (i64, i64) {
        let earliest = if self.accepts_any_age { i64::MIN } else { now_ms - AGE_MS_MAX };
        (earliest, now_ms + AHEAD_MS_MAX)
    }
}

fn put_answer(too_old: usize, new_enough: usize, events: usize) -> Value {
    let mut rejected = serde_json::Map::new();
    if too_old > 0 {
        rejected.insert("tooOldLogEventEndIndex".to_owned(), json!(too_old));
    }
    if new_enough < events {
        rejected.insert("tooNewLogEventStartIndex".to_owned(), json!(new_enough));
    }
    let mut answer = json!({"nextSequenceToken": "49600000000000000000000000000000000000000000000000000000"});
    if !rejected.is_empty() {
        answer["rejectedLogEventsInfo"] = Value::Object(rejected);
    }
    answer
}

fn check_batch(events: &[InputLogEvent]) -> Result<(), LogsError> {
    let count = events.len();
    let bounds = format!("have length between 1 and {BATCH_EVENTS_MAX}");
    constrain((1..=BATCH_EVENTS_MAX).contains(&count), "logEvents", &count.to_string(), &bounds)?;
    for event in events {
        constrain(!event.message.is_empty(), "logEvents.member.message", "", "have length greater than or equal to 1")?;
        let timestamp = event.timestamp.to_string();
        constrain(
            event.timestamp >= 0,
            "logEvents.member.timestamp",
            &timestamp,
            "have value greater than or equal to 0",
        )?;
        let bytes = event.message.len() + EVENT_OVERHEAD_BYTES;
        if bytes > EVENT_BYTES_MAX {
            let message = format!("Log event too large: {bytes} bytes exceeds limit of {EVENT_BYTES_MAX}");
            return Err(LogsError::invalid(message));
        }
    }
    let bytes: usize = events.iter().map(|event| event.message.len() + EVENT_OVERHEAD_BYTES).sum();
    if bytes > BATCH_BYTES_MAX {
        return Err(LogsError::invalid(format!("Upload too large: {bytes} bytes exceeds limit of {BATCH_BYTES_MAX}")));
    }
    if !events.is_sorted_by_key(|event| event.timestamp) {
        let message = "Log events in a single PutLogEvents request must be in chronological order.";
        return Err(LogsError::invalid(message));
    }
    Ok(())
}

fn check_span(accepted: &[InputLogEvent]) -> Result<(), LogsError> {
    match accepted {
        [first, .., last] if last.timestamp - first.timestamp > BATCH_SPAN_MS_MAX => Err(LogsError::invalid(
            "The batch of log events in a single PutLogEvents request cannot span more than 24 hours.",
        )),
        _ => Ok(()),
    }
}

/// Checks the characters of a group's name.
pub(super) fn constrain_group_name(name: &str) -> Result<(), LogsError> {
    constrain_length("logGroupName", name, 512)?;
    let fits = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '/' | '#'));
    constrain(fits, "logGroupName", name, r"satisfy regular expression pattern: [\.\-_/#A-Za-z0-9]+")
}

/// Checks the characters of a stream's name or of a prefix of one.
pub(super) fn constrain_stream_name(member: &str, name: &str) -> Result<(), LogsError> {
    constrain_length(member, name, 512)?;
    constrain(!name.contains([':', '*']), member, name, "satisfy regular expression pattern: [^:*]*")
}
