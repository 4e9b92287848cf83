//! A search whose answer comes in pages. Its records are fixed when the first page is requested, and its tokens lead
//! through them.
//!
//! Which records a search finds, their order, and how many fit on one page belong to each service.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::stable_hash;

/// How long a token is valid. CloudWatch Logs documents 24 hours; Cloud Logging documents nothing, and a reader must
/// not rely on more.
const TOKEN_LIFE: Duration = Duration::from_hours(24);
/// Searches whose tokens are kept; a test that leaves more of them open loses the oldest.
const SEARCHES_MAX: usize = 1_000;

/// How answers are cut into pages, and what goes wrong with them. `O` is the service's orders of records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paging<O> {
    /// The most records of a page, below the limits of the service and of the request.
    pub page_records: usize,
    /// Empty pages with a token before each page with records.
    pub empty_pages: u32,
    /// Gives a token on the last page too; an empty page without one follows.
    pub last_page_has_token: bool,
    /// Answers each request with the token that it came with, forever.
    pub same_token: bool,
    /// How often a token can be used; `None` is without limit.
    pub token_uses: Option<u32>,
    /// Refuses the token of one page.
    pub token_gone: Option<TokenGone>,
    /// Delivers each record twice.
    pub duplicates: bool,
    /// The order of records over all pages of a search.
    pub order: O,
}

/// Refuses the token of one page, a number of times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenGone {
    /// The page that is withheld; the first page is 1 and needs no token, empty pages count.
    pub page: u32,
    /// How many times.
    pub times: u32,
}

impl<O: Default> Default for Paging<O> {
    fn default() -> Self {
        Self {
            page_records: usize::MAX,
            empty_pages: 0,
            last_page_has_token: false,
            same_token: false,
            token_uses: None,
            token_gone: None,
            duplicates: false,
            order: O::default(),
        }
    }
}

/// What the pages delivered so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// Pages, empty ones included.
    pub pages: u64,
    /// Records, counted each time that they were delivered.
    pub records: u64,
    /// Bytes of their text.
    pub bytes: u64,
}

/// A record that a search finds.
pub(crate) trait Record {
    /// The bytes of its text, for [`Served`].
    fn text_bytes(&self) -> usize;
}

/// The searches of one service: `Q` is what must be equal in all requests of a search, `R` a record.
#[derive(Debug)]
pub(crate) struct PagedSearches<Q, R, O> {
    pub(crate) paging: Paging<O>,
    pub(crate) served: Served,
    open: BTreeMap<u64, Search<Q, R>>,
    tokens: HashMap<String, Bookmark>,
    begun: u64,
}

#[derive(Debug)]
struct Search<Q, R> {
    query: Q,
    records: Vec<Arc<R>>,
}

/// Where a token leads to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bookmark {
    search: u64,
    page: u32,
    record: usize,
    empty_pages_left: u32,
    uses: u32,
    issued: Timestamp,
}

/// One page of an answer.
#[derive(Debug)]
pub(crate) struct Page<R> {
    pub(crate) records: Vec<Arc<R>>,
    pub(crate) next_token: Option<String>,
}

impl<Q, R, O: Default> Default for PagedSearches<Q, R, O> {
    fn default() -> Self {
        Self {
            paging: Paging::default(),
            served: Served::default(),
            open: BTreeMap::new(),
            tokens: HashMap::new(),
            begun: 0,
        }
    }
}

impl<Q: PartialEq, R: Record, O> PagedSearches<Q, R, O> {
    /// Forgets every search, so that no token is valid.
    pub(crate) fn forget(&mut self) {
        self.open.clear();
        self.tokens.clear();
    }

    /// Begins a search that found `records`, and returns its first page's bookmark.
    pub(crate) fn begin(&mut self, query: Q, records: Vec<Arc<R>>, now: Timestamp) -> Bookmark {
        self.begun += 1;
        self.open.insert(self.begun, Search { query, records });
        if self.open.len() > SEARCHES_MAX {
            self.open.pop_first();
            let open = &self.open;
            self.tokens.retain(|_, bookmark| open.contains_key(&bookmark.search));
        }
        let empty_pages_left = self.paging.empty_pages;
        Bookmark { search: self.begun, page: 1, record: 0, empty_pages_left, uses: 0, issued: now }
    }

    /// Returns where `token` leads to, or `None` where it is unknown, expired, used up, withheld or of another query.
    pub(crate) fn resume(&mut self, token: &str, query: &Q, now: Timestamp) -> Option<Bookmark> {
        let bookmark = self.tokens.get_mut(token)?;
        bookmark.uses += 1;
        let bookmark = *bookmark;
        let search = self.open.get(&bookmark.search)?;
        let is_used_up = self.paging.token_uses.is_some_and(|uses| bookmark.uses > uses);
        let is_expired = now.duration_since(bookmark.issued).unsigned_abs() > TOKEN_LIFE;
        let is_valid = search.query == *query && !is_used_up && !is_expired && !self.withholds(bookmark.page);
        is_valid.then_some(bookmark)
    }

    /// Returns whether to refuse the token of this page, and counts the refusal.
    fn withholds(&mut self, page: u32) -> bool {
        match &mut self.paging.token_gone {
            Some(gone) if gone.page == page && gone.times > 0 => {
                gone.times -= 1;
                true
            }
            _ => false,
        }
    }

    /// Returns the page at a bookmark. `fitting` counts how many of the remaining records the service puts on one page;
    /// `token` is the one that the request came with.
    pub(crate) fn page(
        &mut self,
        at: Bookmark,
        token: Option<&str>,
        now: Timestamp,
        fitting: impl FnOnce(&[Arc<R>]) -> usize,
    ) -> Page<R> {
        let all = self.open.get(&at.search).map_or(&[][..], |search| &search.records);
        let rest = &all[at.record..];
        let count = match at.empty_pages_left {
            0 => fitting(rest).min(self.paging.page_records.max(1)),
            _ => 0,
        };
        let records = rest[..count].to_vec();
        let goes_on = at.empty_pages_left > 0 || count < rest.len() || (count > 0 && self.paging.last_page_has_token);
        self.served.pages += 1;
        self.served.records += count as u64;
        self.served.bytes += records.iter().map(|record| record.text_bytes() as u64).sum::<u64>();
        let next_token = goes_on.then(|| self.issue(at.next(count, self.paging.empty_pages, now), token));
        Page { records, next_token }
    }

    /// Makes the token of a bookmark: the same one each time, so that repeating a request leads the same way.
    fn issue(&mut self, next: Bookmark, token: Option<&str>) -> String {
        if let (true, Some(token)) = (self.paging.same_token, token) {
            return token.to_owned();
        }
        let parts = [next.search, u64::from(next.page), next.record as u64];
        let token = format!("{:032x}{:032x}", stable_hash::of_numbers(1, &parts), stable_hash::of_numbers(2, &parts));
        self.tokens.entry(token.clone()).or_insert(next);
        token
    }
}

impl Bookmark {
    /// Returns the bookmark behind a page of `count` records.
    fn next(self, count: usize, empty_pages: u32, now: Timestamp) -> Self {
        let empty_pages_left = match self.empty_pages_left {
            0 => empty_pages,
            left => left - 1,
        };
        Self { page: self.page + 1, record: self.record + count, empty_pages_left, uses: 0, issued: now, ..self }
    }
}
