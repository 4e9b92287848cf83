//! Log groups, their streams and their events. Events are in order of timestamp, so that a window is a range.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;

use super::wire::LogsError;
use crate::stable_hash;

/// The class of a log group; only the standard class can be searched with `FilterLogEvents`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum LogGroupClass {
    /// Everything works.
    #[default]
    Standard,
    /// Cheaper, without `FilterLogEvents`.
    InfrequentAccess,
    /// For delivery only.
    Delivery,
}

impl LogGroupClass {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "STANDARD",
            Self::InfrequentAccess => "INFREQUENT_ACCESS",
            Self::Delivery => "DELIVERY",
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Store {
    pub(super) groups: BTreeMap<String, Group>,
    pub(super) accepts_any_age: bool,
    ingested: u64,
}

#[derive(Debug)]
pub(super) struct Group {
    pub(super) class: LogGroupClass,
    pub(super) created_ms: i64,
    pub(super) streams: BTreeMap<String, Stream>,
    /// Keyed by timestamp and order of arrival.
    pub(super) events: BTreeMap<(i64, u64), Arc<Event>>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Stream {
    pub(super) created_ms: i64,
    pub(super) first_event_ms: Option<i64>,
    pub(super) last_event_ms: Option<i64>,
    pub(super) last_ingestion_ms: Option<i64>,
}

#[derive(Debug)]
pub(super) struct Event {
    pub(super) id: String,
    pub(super) stream: String,
    pub(super) timestamp_ms: i64,
    pub(super) ingestion_ms: i64,
    pub(super) message: String,
}

impl Store {
    pub(super) fn group_or_new(&mut self, group: &str, now: Timestamp) -> &mut Group {
        self.groups.entry(group.to_owned()).or_insert_with(|| Group::new(LogGroupClass::Standard, now))
    }

    /// Finds a group by name.
    pub(super) fn group(&self, name: &str) -> Result<&Group, LogsError> {
        self.groups.get(name).ok_or_else(|| LogsError::not_found("log group"))
    }

    pub(super) fn ingest(
        &mut self,
        group: &str,
        stream: &str,
        timestamp_ms: i64,
        message: &str,
        now: Timestamp,
    ) -> String {
        self.ingested += 1;
        let arrival = self.ingested;
        let id = event_id(timestamp_ms, arrival);
        let event = Event {
            id: id.clone(),
            stream: stream.to_owned(),
            timestamp_ms,
            ingestion_ms: now.as_millisecond(),
            message: message.to_owned(),
        };
        let group = self.group_or_new(group, now);
        group.streams.entry(stream.to_owned()).or_insert_with(|| Stream::new(now)).note(&event);
        group.events.insert((timestamp_ms, arrival), Arc::new(event));
        id
    }
}

impl Group {
    pub(super) fn new(class: LogGroupClass, now: Timestamp) -> Self {
        Self { class, created_ms: now.as_millisecond(), streams: BTreeMap::new(), events: BTreeMap::new() }
    }

    /// All events between two moments, both included.
    pub(super) fn between(&self, start_ms: i64, end_ms: i64) -> impl Iterator<Item = &Arc<Event>> {
        self.events.range((start_ms, 0)..=(end_ms, u64::MAX)).map(|(_, event)| event)
    }

    pub(super) fn stored_bytes(&self) -> usize {
        self.events.values().map(|event| event.billed_bytes()).sum()
    }
}

impl Stream {
    pub(super) fn new(now: Timestamp) -> Self {
        let created_ms = now.as_millisecond();
        Self { created_ms, first_event_ms: None, last_event_ms: None, last_ingestion_ms: None }
    }

    fn note(&mut self, event: &Event) {
        let first = self.first_event_ms.unwrap_or(event.timestamp_ms);
        self.first_event_ms = Some(first.min(event.timestamp_ms));
        self.last_event_ms = self.last_event_ms.max(Some(event.timestamp_ms));
        self.last_ingestion_ms = Some(event.ingestion_ms);
    }
}

impl Event {
    /// Returns the billed size of an event: its message and 26 bytes.
    pub(super) fn billed_bytes(&self) -> usize {
        self.message.len() + EVENT_OVERHEAD_BYTES
    }
}

/// Bytes that the cloud adds to each event when it bills.
pub(super) const EVENT_OVERHEAD_BYTES: usize = 26;

/// Returns the ARN of a log group, without the `:*` for its streams.
pub(super) fn group_arn(region: &str, account: &str, name: &str) -> String {
    format!("arn:aws:logs:{region}:{account}:log-group:{name}")
}

/// An id of 56 digits, as the cloud's are.
fn event_id(timestamp_ms: i64, arrival: u64) -> String {
    let digits = stable_hash::of_numbers(arrival, &[timestamp_ms.unsigned_abs()]) % 10_u128.pow(22);
    format!("3{:013}{digits:022}{arrival:020}", timestamp_ms.unsigned_abs() % 10_u64.pow(13))
}
