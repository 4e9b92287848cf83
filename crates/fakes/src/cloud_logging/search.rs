//! `entries.list`: a search is fixed when its first page is asked for, and its tokens lead through it.
//! <https://cloud.google.com/logging/docs/reference/v2/rest/v2/entries/list>

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::entry::Entry;
use super::store::{Store, Stored, hash};
use super::wire::{Code, LoggingError};
use crate::logging_filter::LoggingFilter;

const PAGE_ENTRIES: usize = 50;
const PAGE_ENTRIES_MAX: usize = 1_000;
const RESOURCES_MAX: usize = 100;
/// The API's pages name no life of a token; nobody may lean on more than a day.
const TOKEN_LIFE: Duration = Duration::from_hours(24);
/// Searches whose tokens are kept; a test that leaves more of them open loses the oldest.
const SEARCHES_MAX: usize = 1_000;

/// How answers are cut into pages, and what goes wrong with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paging {
    /// The most entries of a page, below what was asked for.
    pub page_entries: usize,
    /// Empty pages with a token before each page with entries.
    pub empty_pages: u32,
    /// Gives a token on the last page too; an empty page without one follows.
    pub last_page_has_token: bool,
    /// Answers with the token that was asked with, for ever.
    pub same_token: bool,
    /// How often a token can be used; `None` is without limit.
    pub token_uses: Option<u32>,
    /// Refuses the token of one page.
    pub token_gone: Option<TokenGone>,
    /// Delivers each entry twice, and those that were written twice as often as they were written. Without it, of entries
    /// of one project with the same timestamp and `insertId` only one is in an answer, as documented for one query.
    pub duplicates: bool,
    /// The order of entries over all pages of a search.
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

/// The order of entries over all pages of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// By timestamp as documented, and by `insertId` where timestamps are equal.
    Sorted,
    /// By timestamp; equal timestamps are shuffled, the same way for the same seed. The default, with seed 0: of such
    /// entries one page says that `insertId` orders them, another that `logName` goes before it.
    ShuffledTies(u64),
    /// Shuffled altogether, which the cloud does not do: for readers that want no order.
    Shuffled(u64),
}

impl Default for Paging {
    fn default() -> Self {
        Self {
            page_entries: PAGE_ENTRIES_MAX,
            empty_pages: 0,
            last_page_has_token: false,
            same_token: false,
            token_uses: None,
            token_gone: None,
            duplicates: false,
            order: Order::ShuffledTies(0),
        }
    }
}

/// What was handed out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// Pages, empty ones included.
    pub pages: u64,
    /// Entries, each time that they were handed out.
    pub entries: u64,
    /// Bytes of their JSON.
    pub bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ListLogEntries {
    #[serde(default)]
    resource_names: Vec<String>,
    #[serde(default)]
    filter: String,
    #[serde(default)]
    order_by: String,
    #[serde(default)]
    page_size: i32,
    #[serde(default)]
    page_token: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    OldestFirst,
    NewestFirst,
}

#[derive(Debug, Default)]
pub(super) struct Searches {
    pub(super) paging: Paging,
    pub(super) served: Served,
    pub(super) hides_private_logs: bool,
    open: BTreeMap<u64, Search>,
    tokens: HashMap<String, Bookmark>,
    begun: u64,
}

#[derive(Debug)]
struct Search {
    input: ListLogEntries,
    entries: Vec<Arc<Stored>>,
}

/// Where a token leads to.
#[derive(Clone, Copy, Debug)]
struct Bookmark {
    search: u64,
    page: u32,
    entry: usize,
    empty_pages_left: u32,
    uses: u32,
    given: Timestamp,
}

impl Searches {
    pub(super) fn list_log_entries(
        &mut self,
        store: &Store,
        mut input: ListLogEntries,
        now: Timestamp,
    ) -> Result<Value, LoggingError> {
        let filter = input.check()?;
        let projects = input.projects(store)?;
        let page_entries = input.page_entries()?;
        let direction = input.direction()?;
        let token = std::mem::take(&mut input.page_token);
        let bookmark = if token.is_empty() {
            let hides_private = self.hides_private_logs;
            let is_shown = |stored: &Arc<Stored>| {
                stored.visible_from <= now
                    && !(hides_private && stored.entry.is_private())
                    && filter.fits(&stored.entry.json)
            };
            let found = projects.into_iter().flatten().filter(|stored| is_shown(stored)).cloned().collect();
            let entries = self.arrange(found, direction);
            self.begin(input, entries, now)
        } else {
            self.resume(&token, &input, now)?
        };
        Ok(self.page(bookmark, page_entries, &token, now))
    }

    /// Forgets every search, so that no token is valid.
    pub(super) fn forget(&mut self) {
        self.open.clear();
        self.tokens.clear();
    }

    fn begin(&mut self, input: ListLogEntries, entries: Vec<Arc<Stored>>, now: Timestamp) -> Bookmark {
        self.begun += 1;
        self.open.insert(self.begun, Search { input, entries });
        if self.open.len() > SEARCHES_MAX {
            self.open.pop_first();
            let open = &self.open;
            self.tokens.retain(|_, bookmark| open.contains_key(&bookmark.search));
        }
        let empty_pages_left = self.paging.empty_pages;
        Bookmark { search: self.begun, page: 1, entry: 0, empty_pages_left, uses: 0, given: now }
    }

    fn resume(&mut self, token: &str, input: &ListLogEntries, now: Timestamp) -> Result<Bookmark, LoggingError> {
        let bookmark = self.tokens.get_mut(token).ok_or_else(LoggingError::token_gone)?;
        bookmark.uses += 1;
        let bookmark = *bookmark;
        let search = self.open.get(&bookmark.search).ok_or_else(LoggingError::token_gone)?;
        let is_worn = self.paging.token_uses.is_some_and(|uses| bookmark.uses > uses);
        let is_old = now.duration_since(bookmark.given).unsigned_abs() > TOKEN_LIFE;
        if search.input != *input || is_worn || is_old || self.loses(bookmark.page) {
            return Err(LoggingError::token_gone());
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

    fn arrange(&self, mut entries: Vec<Arc<Stored>>, direction: Direction) -> Vec<Arc<Stored>> {
        if self.paging.duplicates {
            entries.extend_from_within(..);
        } else {
            let mut seen = HashSet::new();
            entries.retain(|stored| seen.insert(stored.entry.identity()));
        }
        // Of equal keys the order of ingestion stays, so that a shuffle is the same for the same seed.
        let place = |index: u64, seed| hash(seed, &index.to_le_bytes());
        let mut placed: Vec<_> = (0_u64..).zip(entries).collect();
        match self.paging.order {
            Order::Sorted => placed.sort_by(|(_, a), (_, b)| a.entry.order().cmp(&b.entry.order())),
            Order::ShuffledTies(seed) => {
                placed.sort_by_cached_key(|(index, stored)| (stored.entry.timestamp, place(*index, seed)));
            }
            Order::Shuffled(seed) => placed.sort_by_cached_key(|(index, _)| place(*index, seed)),
        }
        let mut arranged: Vec<_> = placed.into_iter().map(|(_, stored)| stored).collect();
        if direction == Direction::NewestFirst {
            arranged.reverse();
        }
        arranged
    }

    fn page(&mut self, at: Bookmark, page_entries: usize, asked_with: &str, now: Timestamp) -> Value {
        let all = self.open.get(&at.search).map_or(&[][..], |search| &search.entries);
        let rest = &all[at.entry..];
        let count = match at.empty_pages_left {
            0 => rest.len().min(page_entries).min(self.paging.page_entries.max(1)),
            _ => 0,
        };
        let entries: Vec<&Value> = rest[..count].iter().map(|stored| &stored.entry.json).collect();
        let goes_on = at.empty_pages_left > 0 || count < rest.len() || (count > 0 && self.paging.last_page_has_token);
        // Proto JSON leaves out what is empty.
        let mut answer = json!({});
        if !entries.is_empty() {
            answer["entries"] = json!(entries);
        }
        self.served.pages += 1;
        self.served.entries += count as u64;
        self.served.bytes += rest[..count].iter().map(|stored| stored.entry.bytes as u64).sum::<u64>();
        if goes_on {
            let next = at.next(count, &self.paging, now);
            answer["nextPageToken"] = json!(self.give(next, asked_with));
        }
        answer
    }

    /// Makes the token of a bookmark: the same one each time, so that asking a page again leads the same way.
    fn give(&mut self, next: Bookmark, asked_with: &str) -> String {
        if self.paging.same_token && !asked_with.is_empty() {
            return asked_with.to_owned();
        }
        let place = format!("{} {} {}", next.search, next.page, next.entry);
        let token = format!("E{:032x}{:032x}", hash(1, place.as_bytes()), hash(2, place.as_bytes()));
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
        Self { page: self.page + 1, entry: self.entry + count, empty_pages_left, uses: 0, given: now, ..self }
    }
}

impl ListLogEntries {
    /// Checks everything that needs no project.
    fn check(&self) -> Result<LoggingFilter, LoggingError> {
        self.page_entries()?;
        self.direction()?;
        if !(1..=RESOURCES_MAX).contains(&self.resource_names.len()) {
            let wanted = format!("between 1 and {RESOURCES_MAX} resources must be named");
            return Err(LoggingError::invalid_field("resource_names", wanted));
        }
        LoggingFilter::parse(&self.filter)
            .map_err(|error| LoggingError::invalid(format!("Unparseable filter: {error}")))
    }

    /// "If the value is negative or exceeds 1000, the request is rejected."
    fn page_entries(&self) -> Result<usize, LoggingError> {
        match usize::try_from(self.page_size) {
            Ok(0) => Ok(PAGE_ENTRIES),
            Ok(size) if size <= PAGE_ENTRIES_MAX => Ok(size),
            _ => Err(LoggingError::invalid_field("page_size", "must be between 0 and 1000")),
        }
    }

    fn direction(&self) -> Result<Direction, LoggingError> {
        match self.order_by.as_str() {
            "" | "timestamp asc" => Ok(Direction::OldestFirst),
            "timestamp desc" => Ok(Direction::NewestFirst),
            _ => Err(LoggingError::invalid_field("order_by", "must be 'timestamp asc' or 'timestamp desc'")),
        }
    }

    fn projects<'s>(&self, store: &'s Store) -> Result<Vec<&'s [Arc<Stored>]>, LoggingError> {
        let names: HashSet<&String> = self.resource_names.iter().collect();
        if names.len() < self.resource_names.len() {
            return Err(LoggingError::invalid_field("resource_names", "a resource is named twice"));
        }
        self.resource_names.iter().map(|name| project(name, store)).collect()
    }
}

/// Finds the project of a resource's name.
fn project<'s>(name: &str, store: &'s Store) -> Result<&'s [Arc<Stored>], LoggingError> {
    let parts: Vec<&str> = name.split('/').collect();
    match parts[..] {
        ["projects", project] if Entry::is_project(project) => store
            .project(project)
            .ok_or_else(|| LoggingError::new(Code::NotFound, format!("Project does not exist: {project}"))),
        ["organizations" | "folders" | "billingAccounts", id] if !id.is_empty() => Err(LoggingError::denied()),
        [
            "projects" | "organizations" | "folders" | "billingAccounts",
            id,
            "locations",
            _,
            "buckets",
            _,
            "views",
            _,
        ] if !id.is_empty() => {
            Err(LoggingError::new(Code::NotFound, format!("{name} is not there: the fake has no log views")))
        }
        _ => Err(LoggingError::invalid_field("resource_names", format!("{name:?} is no resource's name"))),
    }
}
