//! Queries Log Analytics for the rows of a window. One call is one query, and one page.
//!
//! Nothing here retries, waits or logs, because the caller holds the budget that all sources of an identity share.
//! What the answers mean is in `decode` and `failure`.

use std::fmt;
use std::sync::Arc;

use azure_core::http::headers::{CONTENT_TYPE, HeaderName};
use azure_core::http::response::ResponseBody;
use azure_core::http::{Context, Method, Pipeline, PipelineSendOptions, Request, Url};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use stakeout_core::known_clusters::{Census, ClusterLogs};
use stakeout_core::prefilter::Prefilter;
use stakeout_core::record::{FetchError, Page, PageToken};
use stakeout_core::time::{Second, Window};
use stakeout_http::{ClientError, Endpoint, Lease, Network, Session};
use thiserror::Error;

use crate::config::{AzureMonitorConfig, Credential, PUBLIC_ENDPOINT, Plan};
use crate::decode::{self, QueryAnswer};
use crate::failure::{self, Failure, Refusal};
use crate::identity::{self, Transports};
use crate::page_position::PagePosition;
use crate::pushdown;
use crate::transport::{HttpTransport, RequestPurpose, retry_after};

/// Lets a query take as long as the service allows, ten minutes instead of three.
/// <https://learn.microsoft.com/azure/azure-monitor/logs/api/timeouts>
const PREFER: &str = "wait=600";
/// The most rows that an answer holds; one that holds them all may lack others.
/// <https://learn.microsoft.com/azure/azure-monitor/service-limits>, "Log queries and language"
pub(crate) const ROWS_MAX: usize = 500_000;
/// The audit log of a cluster, or of all of them, in one workspace, ready to be read.
#[derive(Clone)]
pub struct AzureMonitor {
    config: AzureMonitorConfig,
    url: Url,
    endpoint: Url,
    network: Network,
    transports: Transports,
    /// The pipeline with its tokens. It is made with the first query, because the environment of a credential may be
    /// incomplete at the start.
    session: Arc<Session<Pipeline>>,
}

/// Why a source cannot be set up with its config.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SetupError {
    /// The real service requires a credential.
    #[error(
        "`credential: anonymous` is for an endpoint on this machine only: name another credential, or an endpoint such as http://127.0.0.1:PORT"
    )]
    Anonymous,
    /// The HTTP client cannot be built.
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// The body of a request.
#[derive(Serialize)]
struct QueryBody<'a> {
    query: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    timespan: Option<String>,
}

/// When a cluster wrote last.
#[derive(Deserialize)]
struct NewestRow {
    #[serde(rename = "_ResourceId")]
    resource: String,
    #[serde(rename = "Newest")]
    newest: Timestamp,
}

impl AzureMonitor {
    /// Prepares to read a log over `network`, and sends no request yet.
    ///
    /// # Errors
    ///
    /// Where the config alone shows that no query can be sent.
    pub fn new(config: AzureMonitorConfig, network: &Network) -> Result<AzureMonitor, SetupError> {
        let fake = config.endpoint.clone().filter(Endpoint::is_plain_http);
        if matches!(config.credential, Credential::Anonymous) && fake.is_none() {
            return Err(SetupError::Anonymous);
        }
        let transports = Transports {
            queries: HttpTransport::new(RequestPurpose::Query, fake.clone(), network)?,
            tokens: HttpTransport::new(RequestPurpose::Token, fake, network)?,
        };
        let endpoint = https_url(&config);
        let url = query_url(&endpoint, &config);
        Ok(AzureMonitor { config, url, endpoint, network: network.clone(), transports, session: Arc::default() })
    }

    /// Returns the config.
    #[must_use]
    pub fn config(&self) -> &AzureMonitorConfig {
        &self.config
    }

    /// Returns the network.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Reads a window. There is one page, unless the service does not understand the filter, or the rows of a single second
    /// do not fit into an answer: then the page is empty and leads to a read without a filter, or in smaller shares. A
    /// filter saves work, and must never cost an event.
    ///
    /// The pages of a window together hold every row that the prefilter accepts, and every one whose relevant cell was
    /// cut; other rows may be among them, and an event may come twice.
    ///
    /// # Errors
    ///
    /// Every [`FetchError`] is possible. After `Truncated`, a shorter window is to be read: there are no more pages of
    /// this one.
    pub async fn page(
        &self,
        window: Window,
        prefilter: &Prefilter,
        token: Option<&PageToken>,
    ) -> Result<Page, FetchError> {
        self.page_within(window, prefilter, token, None).await
    }

    /// Reads a window as [`AzureMonitor::page`] does, but at most its first `records_max` rows: there are no more pages.
    ///
    /// # Errors
    ///
    /// As [`AzureMonitor::page`].
    pub async fn first_records(
        &self,
        window: Window,
        prefilter: &Prefilter,
        token: Option<&PageToken>,
        records_max: u32,
    ) -> Result<Page, FetchError> {
        self.page_within(window, prefilter, token, Some(records_max)).await
    }

    async fn page_within(
        &self,
        window: Window,
        prefilter: &Prefilter,
        token: Option<&PageToken>,
        records_max: Option<u32>,
    ) -> Result<Page, FetchError> {
        let position = match token {
            None => PagePosition::first(*prefilter == Prefilter::Any),
            Some(token) => PagePosition::read(token)?,
        };
        let prefilter = if position.is_whole { &Prefilter::Any } else { prefilter };
        let query = match records_max {
            None => pushdown::share(window, prefilter, position.share, &self.config),
            Some(rows_max) => pushdown::first_rows(window, prefilter, rows_max, &self.config),
        };
        let leads_to = |next: PagePosition| Page { next: Some(next.to_page_token()), ..Page::default() };
        let failure = match self.rows(&query, window).await {
            Ok(rows) => {
                let page = decode::page_of(window, rows, position.share);
                return Ok(Page { next: position.next().map(PagePosition::to_page_token), ..page });
            }
            Err(failure) => failure,
        };
        if failure.is_query_refused && !position.is_whole {
            return Ok(leads_to(PagePosition::first(true)));
        }
        let cannot_be_split = matches!(failure.error, FetchError::Truncated { .. }) && window.halves().is_none();
        match position.smaller(self.config.table).filter(|_| cannot_be_split) {
            Some(smaller) => Ok(leads_to(smaller)),
            // Where a single second takes too long, the service is down, and the window is not to be given up.
            None if cannot_be_split && failure.is_timeout => {
                Err(FetchError::Unavailable { reason: failure.into_fetch_error().to_string() })
            }
            None => Err(failure.into_fetch_error()),
        }
    }

    /// Returns whether the log holds any record in the window, which distinguishes "nothing suspicious" from "nothing
    /// logged".
    ///
    /// # Errors
    ///
    /// As [`AzureMonitor::page`].
    pub async fn has_records(&self, window: Window) -> Result<bool, FetchError> {
        let inner = within(window);
        let rows = self.rows(&pushdown::any_row(window, &self.config), inner).await;
        rows.map(|rows| !rows.is_empty()).map_err(Failure::into_fetch_error)
    }

    /// Returns which clusters wrote such logs in the window, in one query.
    ///
    /// # Errors
    ///
    /// As [`AzureMonitor::page`]. The service refuses a table that nothing was ever written to.
    pub async fn census(&self, window: Window, logs: ClusterLogs) -> Result<Census, FetchError> {
        let query = pushdown::newest_of_each(window, logs, &self.config);
        let rows = self.rows(&query, within(window)).await.map_err(Failure::into_fetch_error)?;
        let newest = rows.iter().filter_map(|row| {
            let row: NewestRow = serde_json::from_str(row).ok()?;
            Some((decode::cluster_id(&row.resource)?, Second::from(row.newest)))
        });
        Ok(Census { newest: newest.collect(), is_whole: true })
    }

    /// Sends a query and returns all rows of its answer.
    pub(crate) async fn rows(&self, query: &str, window: Window) -> Result<Vec<String>, Failure> {
        let Some(body) = self.ask(query, window).await? else {
            return Ok(Vec::new());
        };
        if body.is_empty() {
            return Err(Failure::unavailable(
                "the answer is empty, which means that the service rejected the query's form: report it as a bug in Stakeout",
            ));
        }
        let Ok(QueryAnswer { rows, error }) = decode::rows(&String::from_utf8_lossy(&body)) else {
            return Err(Failure::unavailable("the answer is not a table, or breaks off"));
        };
        match error {
            Some(error) => Err(Failure::truncated(&error)),
            None if rows.len() >= ROWS_MAX => Err(Failure::truncated(&format!(
                "the answer has {} rows, the most that an answer can have",
                rows.len()
            ))),
            None => Ok(rows),
        }
    }

    /// Sends a query and returns the body of its answer, or `None` if the service answers "no content": neither rows
    /// nor a table.
    async fn ask(&self, query: &str, window: Window) -> Result<Option<ResponseBody>, Failure> {
        let timespan = (self.config.plan == Plan::Basic).then(|| pushdown::timespan(window));
        let mut request = Request::new(self.url.clone(), Method::Post);
        request.insert_header(CONTENT_TYPE, "application/json");
        request.insert_header(HeaderName::from_static("prefer"), PREFER);
        let body = serde_json::to_vec(&QueryBody { query, timespan });
        request.set_body(body.map_err(|error| Failure::unavailable(&error.to_string()))?);
        let options = PipelineSendOptions { skip_checks: true, ..PipelineSendOptions::default() };
        let lease = self.pipeline()?;
        let answer = lease.client.send(&Context::new(), &mut request, Some(options)).await;
        let (status, headers, body) = answer.map_err(|error| failure::unanswered(&error, &self.config))?.deconstruct();
        let status = u16::from(status);
        if matches!(status, 200 | 204) {
            self.session.accepted(&lease);
            return Ok((status == 200).then_some(body));
        }
        let refusal = Refusal::read(status, retry_after(&headers), &body);
        // `azure_identity` would send its cached tokens until they expire, so they are dropped with the pipeline.
        let is_renewable = !matches!(self.config.credential, Credential::Anonymous);
        if refusal.is_of_token() && is_renewable && self.session.refused(&lease) {
            return Err(Failure::token_refused());
        }
        Err(refusal.failure(&self.config))
    }

    /// Returns the pipeline for queries.
    fn pipeline(&self) -> Result<Lease<Pipeline>, Failure> {
        if let Some(lease) = self.session.lease() {
            return Ok(lease);
        }
        let pipeline = identity::pipeline(&self.config, &self.endpoint, &self.transports);
        let pipeline = pipeline.map_err(|error| failure::no_credential(&error, &self.config))?;
        Ok(self.session.begin(pipeline))
    }
}

/// Returns the https address that `azure_core` is given; the transport replaces it with the fake's where it is one.
fn https_url(config: &AzureMonitorConfig) -> Url {
    let mut url = match &config.endpoint {
        Some(endpoint) => endpoint.url().clone(),
        None => Url::parse(PUBLIC_ENDPOINT).expect("a constant"),
    };
    url.set_scheme("https").expect("http can always be changed to https");
    url
}

fn query_url(endpoint: &Url, config: &AzureMonitorConfig) -> Url {
    let verb = match config.plan {
        Plan::Analytics => "query",
        Plan::Basic => "search",
    };
    let mut url = endpoint.clone();
    url.path_segments_mut().expect("https addresses have paths").pop_if_empty().extend([
        "v1",
        "workspaces",
        &config.workspace_id,
        verb,
    ]);
    url
}

/// Returns a window without its ends, so that the span beside a query is no longer than the window.
fn within(window: Window) -> Window {
    Window::new(window.earliest().plus(1), window.latest().plus(-1)).unwrap_or(window)
}

/// Shows the config; the transports add nothing to it.
impl fmt::Debug for AzureMonitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AzureMonitor").field("config", &self.config).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
