//! Asks Cloud Logging for one page. One call is one request.
//!
//! Nothing here retries, waits or logs, because the caller holds the budget that all sources of a project share. What the
//! answers mean is in `page`, `page_position` and `failure`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use stakeout_core::known_clusters::{Census, ClusterLogs};
use stakeout_core::prefilter::Prefilter;
use stakeout_core::record::{FetchError, Page, PageToken};
use stakeout_core::time::{Second, Window};
use stakeout_http::{Lease, Network, Session};
use tokio::time::timeout;

use crate::config::CloudLoggingConfig;
use crate::failure::Failure;
use crate::page;
use crate::page_position::{PagePosition, Pass};
use crate::pushdown::{self, AuditLog};
use crate::service::{ListAnswer, ListRequest, Service};

/// Longest wait for an answer and the credentials that it may need first.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// The most entries that a page may be asked for.
/// <https://cloud.google.com/logging/docs/reference/v2/rest/v2/entries/list>
const PAGE_SIZE_MAX: i32 = 1_000;
/// How many empty pages are followed to find out whether there is any record at all. The service sends one where it did
/// not find an entry in the time it takes for a page.
const EMPTY_PAGES_MAX: usize = 10;
/// Requests of a census, and entries that each asks for: the clusters that are loudest come first.
const CENSUS_REQUESTS_MAX: usize = 5;
const CENSUS_ENTRIES: i32 = 200;

/// The audit log of one cluster, or of all clusters of some resources, ready to be read.
#[derive(Clone)]
pub struct CloudLogging {
    config: CloudLoggingConfig,
    network: Network,
    session: Arc<Session<Service>>,
}

/// The order of entries in an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum EntryOrder {
    OldestFirst,
    NewestFirst,
}

impl CloudLogging {
    /// Prepares to read a cluster's audit log over `network`; looks for credentials and sends requests only from the first
    /// page on. Credentials that are missing then are looked for again with every page.
    #[must_use]
    pub fn new(config: CloudLoggingConfig, network: &Network) -> CloudLogging {
        CloudLogging { config, network: network.clone(), session: Arc::default() }
    }

    /// Returns the config.
    #[must_use]
    pub fn config(&self) -> &CloudLoggingConfig {
        &self.config
    }

    /// Returns the network.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Reads one page of a window: the first where `token` is `None`, else the one that the page before named.
    ///
    /// The pages of a window together hold every entry of whose event the prefilter accepts; other entries may be among
    /// them, and one may come twice. Where the service refuses a filter, the page is empty and leads to a read without
    /// the prefilter: a filter saves work, and must never cost an event.
    ///
    /// # Errors
    ///
    /// Every [`FetchError`] is possible. After `TokenGone`, the window is to be read from its first page. `Truncated` means
    /// that the answer is too long, also in smaller pages.
    pub async fn page(
        &self,
        window: Window,
        prefilter: &Prefilter,
        token: Option<&PageToken>,
    ) -> Result<Page, FetchError> {
        let page_size = self.config.page_size.unwrap_or(PAGE_SIZE_MAX);
        self.page_within(window, prefilter, token, page_size).await
    }

    /// Reads one page as [`CloudLogging::page`] does, of at most `records_max` records; what they leave out is on the pages
    /// after it.
    ///
    /// # Errors
    ///
    /// As [`CloudLogging::page`].
    pub async fn first_records(
        &self,
        window: Window,
        prefilter: &Prefilter,
        token: Option<&PageToken>,
        records_max: u32,
    ) -> Result<Page, FetchError> {
        let page_size = i32::try_from(records_max).unwrap_or(PAGE_SIZE_MAX);
        self.page_within(window, prefilter, token, page_size).await
    }

    async fn page_within(
        &self,
        window: Window,
        prefilter: &Prefilter,
        token: Option<&PageToken>,
        page_size: i32,
    ) -> Result<Page, FetchError> {
        let position = match token {
            Some(token) => PagePosition::read(token)?,
            None => PagePosition::first_of(if pushdown::narrows(prefilter) { Pass::Matching } else { Pass::Whole }),
        };
        let filter = match position.pass {
            Pass::Whole => pushdown::filter(window, &Prefilter::Any, &self.config),
            Pass::Matching => pushdown::filter(window, prefilter, &self.config),
        };
        let page_size = position.page_size.unwrap_or(page_size).clamp(1, PAGE_SIZE_MAX);
        match self.ask(filter, EntryOrder::OldestFirst, page_size, &position.token).await {
            Ok(answer) => page_of(window, position, answer),
            Err(failure) if position.pass == Pass::Matching && !position.is_continued() && failure.is_of_request() => {
                Ok(Page { next: Some(PagePosition::first_of(Pass::Whole).to_page_token()), ..Page::default() })
            }
            Err(failure) if failure.is_too_long() => self.without_long_page(window, &position, page_size, &failure),
            Err(failure) => Err(failure.fetch_error(&self.config, position.is_continued())),
        }
    }

    /// Returns what comes after a page that is too long: the same pass with smaller pages. Where long entries come late in
    /// a window, its halves are read instead.
    fn without_long_page(
        &self,
        window: Window,
        position: &PagePosition,
        page_size: i32,
        failure: &Failure,
    ) -> Result<Page, FetchError> {
        let is_first_long = position.page_size.is_none() && position.is_continued();
        match position.smaller(page_size) {
            Some(smaller) if !is_first_long || window.halves().is_none() => {
                Ok(Page { next: Some(smaller.to_page_token()), ..Page::default() })
            }
            _ => Err(failure.fetch_error(&self.config, position.is_continued())),
        }
    }

    /// Returns whether the log holds any record in the window, which distinguishes "nothing suspicious" from "nothing
    /// logged". It asks for one entry without a prefilter, and follows at most ten empty pages.
    ///
    /// # Errors
    ///
    /// As [`CloudLogging::page`]; and `Unavailable` if ten pages are empty and more follow.
    pub async fn has_records(&self, window: Window) -> Result<bool, FetchError> {
        let filter = pushdown::scope(window, &AuditLog::ALL, &self.config);
        let mut position = PagePosition::first_of(Pass::Whole);
        for _ in 0..EMPTY_PAGES_MAX {
            let asked = self.ask(filter.clone(), EntryOrder::OldestFirst, 1, &position.token).await;
            let answer = asked.map_err(|failure| failure.fetch_error(&self.config, position.is_continued()))?;
            let page = page_of(window, position, answer)?;
            if !page.records.is_empty() || page.unusable > 0 {
                return Ok(true);
            }
            match page.next {
                None => return Ok(false),
                Some(token) => position = PagePosition::read(&token)?,
            }
        }
        Err(FetchError::Unavailable { reason: format!("{EMPTY_PAGES_MAX} pages were empty and more follow") })
    }

    /// Returns which clusters wrote such logs in the window. Each request leaves out the clusters that were found before, so a
    /// few of them find all, unless these are very many: then the answer is not whole.
    ///
    /// # Errors
    ///
    /// As [`CloudLogging::page`].
    pub async fn census(&self, window: Window, logs: ClusterLogs) -> Result<Census, FetchError> {
        let logs = match logs {
            ClusterLogs::Audit => [AuditLog::DataAccess],
            ClusterLogs::Others => [AuditLog::Activity],
        };
        let mut census = Census::default();
        for _ in 0..CENSUS_REQUESTS_MAX {
            let Some(filter) = pushdown::scope_without(window, &logs, census.newest.keys(), &self.config) else {
                break;
            };
            let asked = self.ask(filter, EntryOrder::NewestFirst, CENSUS_ENTRIES, "").await;
            let answer = asked.map_err(|failure| failure.fetch_error(&self.config, false))?;
            let known = census.newest.len();
            for (id, at) in answer.entries.iter().filter_map(|entry| page::cluster_of(entry)) {
                census.newest.entry(id).or_insert(Second(at.as_second()));
            }
            if answer.next_page_token.is_empty() {
                return Ok(Census { is_whole: true, ..census });
            }
            if census.newest.len() == known {
                break; // The search did not finish, or no entry names its cluster.
            }
        }
        Ok(census)
    }

    /// Sends one request. `token` goes with the parameters that it was given for, which all follow from filter, order and
    /// size, or the service refuses it.
    pub(crate) async fn ask(
        &self,
        filter: String,
        order: EntryOrder,
        page_size: i32,
        token: &str,
    ) -> Result<ListAnswer, Failure> {
        let request = ListRequest {
            resource_names: self.config.resource_names(),
            filter: &filter,
            order_by: order.as_str(),
            page_size,
            page_token: token,
        };
        let answer = async {
            let lease = self.service().await?;
            match lease.client.list(&request).await {
                Ok(answer) => {
                    self.session.accepted(&lease);
                    Ok(answer)
                }
                Err(failure)
                    if failure.is_of_token() && lease.client.is_renewable() && self.session.refused(&lease) =>
                {
                    Err(Failure::TokenRefused)
                }
                Err(failure) => Err(failure),
            }
        };
        timeout(ANSWER_TIMEOUT, answer).await.unwrap_or(Err(Failure::TimedOut(ANSWER_TIMEOUT)))
    }

    async fn service(&self) -> Result<Lease<Service>, Failure> {
        match self.session.lease() {
            Some(lease) => Ok(lease),
            None => Ok(self.session.begin(Service::connect(&self.config, &self.network).await?)),
        }
    }
}

impl EntryOrder {
    fn as_str(self) -> &'static str {
        match self {
            EntryOrder::OldestFirst => "timestamp asc",
            EntryOrder::NewestFirst => "timestamp desc",
        }
    }
}

fn page_of(window: Window, position: PagePosition, answer: ListAnswer) -> Result<Page, FetchError> {
    let next = position.next(answer.next_page_token)?.map(|position| position.to_page_token());
    Ok(page::page_of(window, answer.entries, next))
}

/// Shows what is read, and nothing of the credentials.
impl fmt::Debug for CloudLogging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloudLogging").field("config", &self.config).finish_non_exhaustive()
    }
}
