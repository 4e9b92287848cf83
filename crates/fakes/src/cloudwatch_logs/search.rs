//! `FilterLogEvents`: which events a search finds, and their pages.
//! <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html>

use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::place::Seen;
use super::store::{Event, Group, LogGroupClass};
use super::wire::{LogsError, constrain, constrain_length, constrain_range};
use super::write::{constrain_group_name, constrain_stream_name};
use crate::filter_pattern::{FilterPattern, PATTERN_CHARS_MAX};
use crate::paged_search::{self, PagedSearches, Record};
use crate::stable_hash;

const PAGE_EVENTS_MAX: usize = 10_000;
const PAGE_BYTES_MAX: usize = 1_048_576;
/// 2024-01-01, before which a search cannot begin with the latest event.
const FROM_TAIL_MIN_MS: i64 = 1_704_067_200_000;

/// How answers are cut into pages, and what goes wrong with them.
pub type Paging = paged_search::Paging<EventOrder>;

/// The order of events over all pages of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventOrder {
    /// Shuffled, the same way for the same seed. The default, with seed 0: a reader must not rely on an order.
    Shuffled(u64),
    /// By timestamp, then by ingestion, as documented.
    Sorted,
}

impl Default for EventOrder {
    fn default() -> Self {
        Self::Shuffled(0)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct FilterLogEvents {
    log_group_name: Option<String>,
    log_group_identifier: Option<String>,
    log_stream_names: Option<Vec<String>>,
    log_stream_name_prefix: Option<String>,
    start_time: Option<i64>,
    end_time: Option<i64>,
    filter_pattern: Option<String>,
    next_token: Option<String>,
    limit: Option<i64>,
    start_from_head: Option<bool>,
    interleaved: Option<bool>,
    unmask: Option<bool>,
}

/// What must be equal in all requests of a search.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Query {
    input: FilterLogEvents,
    /// The account and the region.
    caller: (String, String),
}

pub(super) type Searches = PagedSearches<Query, Event, EventOrder>;

impl Record for Event {
    fn text_bytes(&self) -> usize {
        self.message.len()
    }
}

impl Searches {
    pub(super) fn filter_log_events(
        &mut self,
        seen: &Seen<'_>,
        mut input: FilterLogEvents,
        now: Timestamp,
    ) -> Result<Value, LogsError> {
        let pattern = input.check()?;
        let group = input.group(seen)?;
        let token = input.next_token.take();
        let query = Query { input, caller: seen.caller() };
        let limit = query.input.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(PAGE_EVENTS_MAX);
        let bookmark = match &token {
            Some(token) => self.resume(token, &query, now).ok_or_else(LogsError::token_gone)?,
            None => {
                let from_head = query.input.start_from_head.unwrap_or(true);
                let events = self.arrange(query.input.select(group, &pattern), from_head);
                self.begin(query, events, now)
            }
        };
        let page = self.page(bookmark, token.as_deref(), now, |events| fitting(events, limit));
        let events: Vec<Value> = page.records.iter().map(|event| describe(event)).collect();
        let mut answer = json!({"events": events, "searchedLogStreams": []});
        if let Some(token) = page.next_token {
            answer["nextToken"] = json!(token);
        }
        Ok(answer)
    }

    fn arrange(&self, mut events: Vec<Arc<Event>>, from_head: bool) -> Vec<Arc<Event>> {
        if self.paging.duplicates {
            events.extend_from_within(..);
        }
        match self.paging.order {
            EventOrder::Sorted => {
                events.sort_by_key(|event| (event.timestamp_ms, event.ingestion_ms));
                if !from_head {
                    events.reverse();
                }
                events
            }
            EventOrder::Shuffled(seed) => stable_hash::shuffle(events, seed),
        }
    }
}

impl FilterLogEvents {
    /// Checks everything that needs no log group.
    fn check(&self) -> Result<FilterPattern, LogsError> {
        if let Some(limit) = self.limit {
            constrain_range("limit", limit, 1, 10_000)?;
        }
        for (member, time) in [("startTime", self.start_time), ("endTime", self.end_time)] {
            constrain_range(member, time.unwrap_or_default(), 0, i64::MAX)?;
        }
        if self.start_time.unwrap_or(0) > self.end_time.unwrap_or(i64::MAX) {
            return Err(LogsError::invalid("startTime must not be after endTime."));
        }
        if self.start_from_head == Some(false) && self.start_time.unwrap_or(0) < FROM_TAIL_MIN_MS {
            return Err(LogsError::invalid("startFromHead=false needs a startTime on or after 2024-01-01T00:00:00Z."));
        }
        if self.log_stream_names.is_some() && self.log_stream_name_prefix.is_some() {
            return Err(LogsError::invalid("logStreamNames and logStreamNamePrefix are mutually exclusive."));
        }
        if let Some(prefix) = &self.log_stream_name_prefix {
            constrain_stream_name("logStreamNamePrefix", prefix)?;
        }
        if let Some(names) = &self.log_stream_names {
            let count = names.len();
            constrain(
                (1..=100).contains(&count),
                "logStreamNames",
                &count.to_string(),
                "have length between 1 and 100",
            )?;
            names.iter().try_for_each(|name| constrain_stream_name("logStreamNames", name))?;
        }
        self.pattern()
    }

    fn pattern(&self) -> Result<FilterPattern, LogsError> {
        let text = self.filter_pattern.as_deref().unwrap_or_default();
        let fits = text.chars().count() <= PATTERN_CHARS_MAX;
        constrain(fits, "filterPattern", text, &format!("have length less than or equal to {PATTERN_CHARS_MAX}"))?;
        FilterPattern::parse(text).map_err(|error| LogsError::invalid(format!("Invalid filter pattern: {error}")))
    }

    fn group<'s>(&self, seen: &Seen<'s>) -> Result<&'s Group, LogsError> {
        let identifier = match (&self.log_group_name, &self.log_group_identifier) {
            (Some(name), None) => {
                constrain_group_name(name)?;
                name
            }
            (None, Some(identifier)) => {
                constrain_length("logGroupIdentifier", identifier, 2048)?;
                identifier
            }
            _ => {
                return Err(LogsError::invalid("Exactly one of logGroupName and logGroupIdentifier must be given."));
            }
        };
        let (_, _, group) = seen.group(identifier)?;
        if group.class != LogGroupClass::Standard {
            return Err(LogsError::class_without_search());
        }
        let mut named = self.log_stream_names.iter().flatten();
        match named.all(|stream| group.streams.contains_key(stream)) {
            true => Ok(group),
            false => Err(LogsError::not_found("log stream")),
        }
    }

    fn select(&self, group: &Group, pattern: &FilterPattern) -> Vec<Arc<Event>> {
        let prefix = self.log_stream_name_prefix.as_deref().unwrap_or_default();
        let names = self.log_stream_names.as_deref();
        group
            .between(self.start_time.unwrap_or(0), self.end_time.unwrap_or(i64::MAX))
            .filter(|event| event.stream.starts_with(prefix))
            .filter(|event| names.is_none_or(|names| names.contains(&event.stream)))
            .filter(|event| pattern.fits(&event.message))
            .cloned()
            .collect()
    }
}

/// Returns how many of these events fit on one page: at least one, so that a search always makes progress.
fn fitting(events: &[Arc<Event>], events_max: usize) -> usize {
    let mut bytes = 0;
    let fits = |event: &&Arc<Event>| {
        bytes += event.billed_bytes();
        bytes <= PAGE_BYTES_MAX
    };
    let count = events.iter().take(events_max.max(1)).take_while(fits).count();
    count.max(1).min(events.len())
}

fn describe(event: &Event) -> Value {
    json!({
        "logStreamName": event.stream,
        "timestamp": event.timestamp_ms,
        "message": event.message,
        "ingestionTime": event.ingestion_ms,
        "eventId": event.id,
    })
}
