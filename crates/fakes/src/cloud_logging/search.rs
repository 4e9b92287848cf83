//! `entries.list`: which entries a search finds, and their pages.
//! <https://cloud.google.com/logging/docs/reference/v2/rest/v2/entries/list>

use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::entry::Entry;
use super::store::{Store, Stored};
use super::wire::{Code, LoggingError};
use crate::logging_filter::LoggingFilter;
use crate::paged_search::{self, PagedSearches};
use crate::stable_hash;

const PAGE_ENTRIES: usize = 50;
const PAGE_ENTRIES_MAX: usize = 1_000;
const RESOURCES_MAX: usize = 100;

/// How answers are cut into pages, and what goes wrong with them.
///
/// With `duplicates` each entry comes twice, and one that was written twice comes four times. Without it, one answer
/// holds only one of the entries of a project with the same timestamp and `insertId`, as documented for one query.
pub type Paging = paged_search::Paging<EntryOrder>;

/// The order of entries over all pages of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryOrder {
    /// By timestamp as documented, and by `insertId` where timestamps are equal.
    Sorted,
    /// By timestamp; equal timestamps are shuffled, the same way for the same seed. The default, with seed 0: one page
    /// of the documentation orders such entries by `insertId`, another by `logName` first.
    ShuffledTies(u64),
    /// Shuffled completely, which the cloud does not do: for readers that need no order.
    Shuffled(u64),
}

impl Default for EntryOrder {
    fn default() -> Self {
        Self::ShuffledTies(0)
    }
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
    pub(super) pages: PagedSearches<ListLogEntries, Stored, EntryOrder>,
    pub(super) hides_private_logs: bool,
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
        let token = Some(std::mem::take(&mut input.page_token)).filter(|token| !token.is_empty());
        let bookmark = match &token {
            Some(token) => self.pages.resume(token, &input, now).ok_or_else(LoggingError::token_gone)?,
            None => {
                let hides_private = self.hides_private_logs;
                let is_shown = |stored: &Arc<Stored>| {
                    stored.visible_from <= now
                        && !(hides_private && stored.entry.is_private())
                        && filter.fits(&stored.entry.json)
                };
                let found = projects.into_iter().flatten().filter(|stored| is_shown(stored)).cloned().collect();
                let entries = arrange(&self.pages.paging, found, direction);
                self.pages.begin(input, entries, now)
            }
        };
        let page = self.pages.page(bookmark, token.as_deref(), now, |entries| entries.len().min(page_entries));
        let entries: Vec<&Value> = page.records.iter().map(|stored| &stored.entry.json).collect();
        // Proto JSON leaves out what is empty.
        let mut answer = json!({});
        if !entries.is_empty() {
            answer["entries"] = json!(entries);
        }
        if let Some(token) = page.next_token {
            answer["nextPageToken"] = json!(token);
        }
        Ok(answer)
    }
}

fn arrange(paging: &Paging, mut entries: Vec<Arc<Stored>>, direction: Direction) -> Vec<Arc<Stored>> {
    if paging.duplicates {
        entries.extend_from_within(..);
    } else {
        let mut seen = HashSet::new();
        entries.retain(|stored| seen.insert(stored.entry.identity()));
    }
    match paging.order {
        EntryOrder::Sorted => entries.sort_by(|a, b| a.entry.order().cmp(&b.entry.order())),
        EntryOrder::ShuffledTies(seed) => {
            entries = stable_hash::shuffle_by_key(entries, seed, |stored| stored.entry.timestamp);
        }
        EntryOrder::Shuffled(seed) => entries = stable_hash::shuffle(entries, seed),
    }
    if direction == Direction::NewestFirst {
        entries.reverse();
    }
    entries
}

impl ListLogEntries {
    /// Checks everything that does not depend on a project.
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
        if self.resource_names.iter().any(|name| store.denied.contains(name)) {
            return Err(LoggingError::denied());
        }
        let found = self.resource_names.iter().map(|name| projects(name, store));
        Ok(found.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    }
}

/// Finds the project of a resource's name, or those of a view.
fn projects<'s>(name: &str, store: &'s Store) -> Result<Vec<&'s [Arc<Stored>]>, LoggingError> {
    let parts: Vec<&str> = name.split('/').collect();
    match parts[..] {
        ["projects", project] if Entry::is_project(project) => store
            .project(project)
            .map(|entries| vec![entries])
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
        ] if !id.is_empty() => match store.views.get(name) {
            Some(projects) => Ok(projects.iter().filter_map(|project| store.project(project)).collect()),
            None => Err(LoggingError::new(Code::NotFound, format!("{name} does not exist"))),
        },
        _ => Err(LoggingError::invalid_field("resource_names", format!("{name:?} is not the name of a resource"))),
    }
}
