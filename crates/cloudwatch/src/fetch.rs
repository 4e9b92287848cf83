//! Asks CloudWatch Logs for one page. One call is one request.
//!
//! Nothing here retries, waits or logs: the SDK's retries are off and its paginator is not used, because the caller
//! holds the budget that all sources of an account share. What the answers mean is in `decode`, `page_position` and `failure`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_cloudwatchlogs::Client;
use aws_sdk_cloudwatchlogs::operation::filter_log_events::FilterLogEventsOutput;
use aws_sdk_cloudwatchlogs::operation::filter_log_events::builders::FilterLogEventsFluentBuilder;
use stakeout_core::prefilter::Prefilter;
use stakeout_core::record::{FetchError, Page, PageToken};
use stakeout_core::time::Window;
use stakeout_http::{Lease, Network, Session};

use crate::config::{CloudWatchConfig, group_arn, group_name};
use crate::failure::{Asked, FilterFailure};
use crate::page_position::{PagePosition, Pass, token_gone};
use crate::sessions::Sessions;
use crate::{decode, failure, pushdown};

/// Longest wait for a whole answer: the service gives a page back within seconds even where it found nothing, and 1 MB
/// takes a slow line no longer than this.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// The most events that a page may be asked for. <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html>
const PAGE_SIZE_MAX: i32 = 10_000;
/// How many empty pages are followed to find out whether there is any record at all. Without a filter the first page
/// nearly always holds one.
const EMPTY_PAGES_MAX: usize = 10;
/// Finds the events that EKS cut: a quoted phrase is searched for in the raw text.
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html>
const CUT_PATTERN: &str = "\"[Truncated...]\"";

/// One log group, ready to be read.
#[derive(Clone)]
pub struct CloudWatch {
    config: CloudWatchConfig,
    network: Network,
    session: Arc<Session<Client>>,
}

impl CloudWatch {
    /// Prepares to read a group over `network`, and sends no request yet. The environment and the AWS profile are read with
    /// the first request, and again when the service no longer accepts the credentials.
    #[must_use]
    pub fn new(config: CloudWatchConfig, network: &Network) -> CloudWatch {
        CloudWatch::sharing(config, network, &Sessions::default())
    }

    /// Prepares as [`CloudWatch::new`] does, with the session that others of the same access have.
    #[must_use]
    pub fn sharing(config: CloudWatchConfig, network: &Network, sessions: &Sessions) -> CloudWatch {
        let session = sessions.of(&config.access);
        CloudWatch { config, network: network.clone(), session }
    }

    /// Returns the config.
    #[must_use]
    pub fn config(&self) -> &CloudWatchConfig {
        &self.config
    }

    /// Returns the network.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Returns the SDK's client.
    pub(crate) async fn client(&self) -> Lease<Client> {
        if let Some(lease) = self.session.lease() {
            return lease;
        }
        let sdk = stakeout_aws::sdk_config(&self.config.access, &self.network, ANSWER_TIMEOUT).await;
        self.session.begin(Client::new(&sdk))
    }

    /// Reads one page of a window: the first where `token` is `None`, else the one that the page before named.
    ///
    /// The pages of a window together hold every event that the prefilter accepts, and every event that EKS cut; other
    /// events may be among them, and an event may come twice. Where the service refuses a pattern, the page is empty and
    /// leads to a read without one: a filter saves work, and must never cost an event.
    ///
    /// # Errors
    ///
    /// Every [`FetchError`] but `Truncated` is possible. After `TokenGone`, the window is to be read from its first page.
    pub async fn page(
        &self,
        window: Window,
        prefilter: &Prefilter,
        token: Option<&PageToken>,
    ) -> Result<Page, FetchError> {
        let limit = self.config.page_size.map(|size| size.clamp(1, PAGE_SIZE_MAX));
        self.page_within(window, prefilter, token, limit).await
    }

    /// Reads one page as [`CloudWatch::page`] does, of at most `records_max` records; what they leave out is on the pages
    /// after it.
    ///
    /// # Errors
    ///
    /// As [`CloudWatch::page`].
    pub async fn first_records(
        &self,
        window: Window,
        prefilter: &Prefilter,
        token: Option<&PageToken>,
        records_max: u32,
    ) -> Result<Page, FetchError> {
        let limit = i32::try_from(records_max).unwrap_or(PAGE_SIZE_MAX).clamp(1, PAGE_SIZE_MAX);
        self.page_within(window, prefilter, token, Some(limit)).await
    }

    async fn page_within(
        &self,
        window: Window,
        prefilter: &Prefilter,
        token: Option<&PageToken>,
        limit: Option<i32>,
    ) -> Result<Page, FetchError> {
        let pattern = pushdown::filter_pattern(prefilter);
        let position = match token {
            Some(token) => PagePosition::read(token)?,
            None => PagePosition::first_of(if pattern.is_some() { Pass::Matching } else { Pass::Whole }),
        };
        let filter = match position.pass {
            Pass::Whole => None,
            Pass::Matching => Some(pattern.ok_or_else(|| token_gone("it belongs to a read with another filter"))?),
            Pass::Cut => Some(CUT_PATTERN.to_owned()),
        };
        let lease = self.client().await;
        let request = self.request(&lease, window, &position).set_filter_pattern(filter).set_limit(limit);
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(failure) if position.opens_filtered() && failure::is_pattern_refused(&failure) => {
                let next = Some(PagePosition::first_of(Pass::Whole).to_page_token());
                return Ok(Page { next, ..Page::default() });
            }
            Err(failure) => return Err(self.fetch_error(&lease, &failure, &position)),
        };
        self.session.accepted(&lease);
        self.page_of(window, position, answer)
    }

    /// Returns whether the log holds any record in the window, which distinguishes "nothing suspicious" from "nothing
    /// logged". It asks for one event without a filter, and follows at most ten empty pages.
    ///
    /// # Errors
    ///
    /// As [`CloudWatch::page`]; and `Unavailable` if ten pages are empty and more follow.
    pub async fn has_records(&self, window: Window) -> Result<bool, FetchError> {
        let mut position = PagePosition::first_of(Pass::Whole);
        for _ in 0..EMPTY_PAGES_MAX {
            let lease = self.client().await;
            let sent = self.request(&lease, window, &position).limit(1).send().await;
            let answer = sent.map_err(|failure| self.fetch_error(&lease, &failure, &position))?;
            let page = self.page_of(window, position, answer)?;
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

    fn request(&self, lease: &Lease<Client>, window: Window, position: &PagePosition) -> FilterLogEventsFluentBuilder {
        let prefix = Some(&self.config.stream_prefix).filter(|prefix| !prefix.is_empty());
        let request = lease
            .client
            .filter_log_events()
            .start_time(window.earliest().millis().max(0))
            .end_time(window.latest().millis().saturating_sub(1).max(0))
            .set_log_stream_name_prefix(prefix.cloned())
            .set_next_token(position.token.clone());
        match group_arn(&self.config.log_group) {
            Some(arn) => request.log_group_identifier(arn),
            None => request.log_group_name(&self.config.log_group),
        }
    }

    /// Makes a page of an answer. The SDK reads a missing body as an empty answer; the service always sends a body, so a
    /// missing one is an error and not an empty page.
    fn page_of(
        &self,
        window: Window,
        position: PagePosition,
        answer: FilterLogEventsOutput,
    ) -> Result<Page, FetchError> {
        if answer.events.is_none() && answer.searched_log_streams.is_none() && answer.next_token.is_none() {
            return Err(FetchError::Unavailable { reason: "the answer is empty".to_owned() });
        }
        let next = position.next(answer.next_token)?.map(|position| position.to_page_token());
        let group = group_name(&self.config.log_group);
        Ok(decode::page_of(group, window, answer.events.unwrap_or_default(), next))
    }

    fn fetch_error(&self, lease: &Lease<Client>, failure: &FilterFailure, position: &PagePosition) -> FetchError {
        if failure::is_expired(failure) && self.session.refused(lease) {
            let reason = "AWS no longer accepts the credentials: the next request looks for new ones";
            return FetchError::Unavailable { reason: reason.to_owned() };
        }
        let log_group = Some(self.config.log_group.as_str());
        let asked = Asked { action: "logs:FilterLogEvents", log_group, is_continued: position.token.is_some() };
        failure::fetch_error(failure, asked)
    }
}

/// Shows what is read. The SDK's client would show the role's external id.
impl fmt::Debug for CloudWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloudWatch").field("config", &self.config).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
