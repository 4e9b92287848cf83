//! `FilterLogEvents`: a search is fixed when its first page is asked for, and its tokens lead through it.
//! <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html>

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::store::{Event, Group, LogGroupClass, Store, hash, name_of_identifier};
use super::wire::{LogsError, constrain, constrain_length, constrain_range};
use super::write::{constrain_group_name, constrain_stream_name};
use crate::filter_pattern::{FilterPattern, PATTERN_CHARS_MAX};

const PAGE_EVENTS_MAX: usize = 10_000;
const PAGE_BYTES_MAX: usize = 1_048_576;
const TOKEN_LIFE: Duration = Duration::from_hours(24);
/// Searches whose tokens are kept; a test that leaves more of them open loses the oldest.
const SEARCHES_MAX: usize = 1_000;
/// 2024-01-01, before which a search cannot begin with the latest event.
const FROM_TAIL_MIN_MS: i64 = 1_704_067_200_000;

/// How answers are cut into pages, and what goes wrong with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paging {
    /// The most events of a page, below the cloud's 10,000 and 1 MB.
    pub page_events: usize,
    /// Empty pages with a token before each page with events.
    pub empty_pages: u32,
    /// Gives a token on the last page too; an empty page without one follows.
    pub last_page_has_token: bool,
    /// Answers with the token that was asked with, for ever.
    pub same_token: bool,
    /// How often a token can be used; `None` is without limit.
    pub token_uses: Option<u32>,
    /// Refuses the token of one page.
    pub token_gone: Option<TokenGone>,
    /// Delivers each event twice with the same id.
    pub duplicates: bool,
    /// The order of events over all pages of a search.
    pub order: Order,
}

/// Refuses the token of one page, a number of times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenGone {
    /// The page that is not given; the first page is 1 and needs no token, empty pages count.
    pub page: u32,
    /// How many times.
    pub times: u32,
}

/// The order of events over all pages of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Shuffled, the same way for the same seed. The default, with seed 0: nobody may lean on an order.
    Shuffled(u64),
    /// By timestamp, then by ingestion, as documented.
    Sorted,
}

impl Default for Paging {
    fn default() -> Self {
        Self {
            page_events: PAGE_EVENTS_MAX,
            empty_pages: 0,
            last_page_has_token: false,
            same_token: false,
            token_uses: None,
            token_gone: None,
            duplicates: false,
            order: Order::Shuffled(0),
        }
    }
}

/// What was handed out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// Pages, empty ones included.
    pub pages: u64,
    /// Events, each time that they were handed out.
    pub events: u64,
    /// Bytes of their messages.
    pub bytes: u64,
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

#[derive(Debug, Default)]
pub(super) struct Searches {
    pub(super) paging: Paging,
    pub(super) served: Served,
    open: BTreeMap<u64, Search>,
    tokens: HashMap<String, Bookmark>,
    begun: u64,
}

#[derive(Debug)]
struct Search {
    input: FilterLogEvents,
    region: String,
    events: Vec<Arc<Event>>,
}

/// Where a token leads to.
#[derive(Clone, Copy, Debug)]
struct Bookmark {
    search: u64,
    page: u32,
    event: usize,
    empty_pages_left: u32,
    uses: u32,
    given: Timestamp,
}

impl Searches {
    pub(super) fn filter_log_events(
        &mut self,
        store: &Store,
        mut input: FilterLogEvents,
        region: &str,
        now: Timestamp,
    ) -> Result<Value, LogsError> {
        let pattern = input.check()?;
        let group = input.group(store, region)?;
        let token = input.next_token.take();
        let bookmark = match &token {
            Some(token) => self.resume(token, &input, region, now)?,
            None => self.begin(&input, group, &pattern, region, now),
        };
        let page_events = input.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(PAGE_EVENTS_MAX);
        Ok(self.page(bookmark, page_events, token, now))
    }

    /// Forgets every search, so that no token is valid.
    pub(super) fn forget(&mut self) {
        self.open.clear();
        self.tokens.clear();
    }

    fn begin(
        &mut self,
        input: &FilterLogEvents,
        group: &Group,
        pattern: &FilterPattern,
        region: &str,
        now: Timestamp,
    ) -> Bookmark {
        let events = self.arrange(input.select(group, pattern), input.start_from_head.unwrap_or(true));
        self.begun += 1;
        self.open.insert(self.begun, Search { input: input.clone(), region: region.to_owned(), events });
        if self.open.len() > SEARCHES_MAX {
            self.open.pop_first();
            let open = &self.open;
            self.tokens.retain(|_, bookmark| open.contains_key(&bookmark.search));
        }
        let empty_pages_left = self.paging.empty_pages;
        Bookmark { search: self.begun, page: 1, event: 0, empty_pages_left, uses: 0, given: now }
    }

    fn resume(
        &mut self,
        token: &str,
        input: &FilterLogEvents,
        region: &str,
        now: Timestamp,
    ) -> Result<Bookmark, LogsError> {
        let bookmark = self.tokens.get_mut(token).ok_or_else(LogsError::token_gone)?;
        bookmark.uses += 1;
        let bookmark = *bookmark;
        let search = self.open.get(&bookmark.search).ok_or_else(LogsError::token_gone)?;
        let is_worn = self.paging.token_uses.is_some_and(|uses| bookmark.uses > uses);
        let is_old = now.duration_since(bookmark.given).unsigned_abs() > TOKEN_LIFE;
        if search.input != *input || search.region != region || is_worn || is_old || self.loses(bookmark.page) {
            return Err(LogsError::token_gone());
        }
        Ok(bookmark)
    }

    /// Tells whether the token of this page is to be refused, and counts that.
    fn loses(&mut self, page: u32) -> bool {
        match &mut self.paging.token_gone {
            Some(gone) if gone.page == page && gone.times > 0 => {
                gone.times -= 1;
                true
            }
            _ => false,
        }
    }

    fn arrange(&self, mut events: Vec<Arc<Event>>, from_head: bool) -> Vec<Arc<Event>> {
        if self.paging.duplicates {
            events.extend_from_within(..);
        }
        match self.paging.order {
            Order::Sorted => {
                events.sort_by_key(|event| (event.timestamp_ms, event.ingestion_ms));
                if !from_head {
                    events.reverse();
                }
                events
            }
            Order::Shuffled(seed) => {
                let place = |(index, _): &(u64, Arc<Event>)| hash(seed, &[*index]);
                let mut placed: Vec<_> = (0..).zip(events).collect();
                placed.sort_by_cached_key(place);
                placed.into_iter().map(|(_, event)| event).collect()
            }
        }
    }

    fn page(&mut self, at: Bookmark, limit: usize, asked_with: Option<String>, now: Timestamp) -> Value {
        let all = self.open.get(&at.search).map_or(&[][..], |search| &search.events);
        let rest = &all[at.event..];
        let count = match at.empty_pages_left {
            0 => fitting(rest, limit.min(self.paging.page_events)),
            _ => 0,
        };
        let events: Vec<Value> = rest[..count].iter().map(|event| describe(event)).collect();
        let bytes: usize = rest[..count].iter().map(|event| event.message.len()).sum();
        let goes_on = at.empty_pages_left > 0 || count < rest.len() || (count > 0 && self.paging.last_page_has_token);
        self.served.pages += 1;
        self.served.events += count as u64;
        self.served.bytes += bytes as u64;
        let mut answer = json!({"events": events, "searchedLogStreams": []});
        if goes_on {
            let next = at.next(count, &self.paging, now);
            answer["nextToken"] = json!(self.give(next, asked_with));
        }
        answer
    }

    /// Makes the token of a bookmark: the same one each time, so that asking a page again leads the same way.
    fn give(&mut self, next: Bookmark, asked_with: Option<String>) -> String {
        if let (true, Some(token)) = (self.paging.same_token, asked_with) {
            return token;
        }
        let parts = [next.search, u64::from(next.page), next.event as u64];
        let token = format!("{:032x}{:032x}", hash(1, &parts), hash(2, &parts));
        self.tokens.entry(token.clone()).or_insert(next);
        token
    }
}

impl Bookmark {
    fn next(self, count: usize, paging: &Paging, now: Timestamp) -> Self {
        let empty_pages_left = match self.empty_pages_left {
            0 => paging.empty_pages,
            left => left - 1,
        };
        Self { page: self.page + 1, event: self.event + count, empty_pages_left, uses: 0, given: now, ..self }
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

    fn group<'s>(&self, store: &'s Store, region: &str) -> Result<&'s Group, LogsError> {
        let name = match (&self.log_group_name, &self.log_group_identifier) {
            (Some(name), None) => {
                constrain_group_name(name)?;
                name
            }
            (None, Some(identifier)) => {
                constrain_length("logGroupIdentifier", identifier, 2048)?;
                name_of_identifier(identifier, region)?
            }
            _ => {
                return Err(LogsError::invalid("Exactly one of logGroupName and logGroupIdentifier must be given."));
            }
        };
        let group = store.group(name)?;
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

/// How many of these events go on one page: at least one, so that a search always gets on.
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
