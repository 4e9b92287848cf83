//! Lists the log groups of a region, and when their streams were written last. One call is one request.
//!
//! Nothing here retries or waits. The caller decides which groups are logs of clusters: names come from the service, and
//! whoever may create a log group chooses one.

use std::fmt;
use std::sync::Arc;

use aws_sdk_cloudwatchlogs::Client;
use aws_sdk_cloudwatchlogs::config::http::HttpResponse;
use aws_sdk_cloudwatchlogs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_cloudwatchlogs::types::{LogGroup, LogStream, OrderBy};
use stakeout_aws::Access;
use stakeout_core::record::{FetchError, PageToken};
use stakeout_http::{Lease, Network, Session};

use crate::config::AUDIT_STREAM_PREFIX;
use crate::failure::{self, Asked};
use crate::fetch::ANSWER_TIMEOUT;
use crate::sessions::Sessions;

/// What the names of all log groups of EKS begin with.
/// <https://docs.aws.amazon.com/eks/latest/userguide/control-plane-logs.html>
const GROUP_PREFIX: &str = "/aws/eks/";
/// The most groups, or streams, of an answer.
/// <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_DescribeLogGroups.html>
const LIMIT: i32 = 50;

/// CloudWatch Logs of one region, as one identity sees it.
pub struct CloudWatchRegion {
    access: Access,
    network: Network,
    session: Arc<Session<Client>>,
}

/// Whose log groups are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupOwners {
    /// Those of the account that asks.
    Own,
    /// Those of the account that asks, and of all that a monitoring account is linked with.
    OwnAndLinked,
}

/// A log group, in the words of the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedGroup {
    /// The ARN, without `:*`.
    pub arn: String,
    /// When it was created, in milliseconds since 1970.
    pub created_ms: i64,
}

/// A page of log groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupPage {
    /// The groups.
    pub groups: Vec<ListedGroup>,
    /// What leads to the next page, if there is one.
    pub next: Option<PageToken>,
}

/// When the streams of a group were written last, in milliseconds since 1970; `None` where none was. CloudWatch Logs itself
/// may know it an hour late.
/// <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_LogStream.html>
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LastWritten {
    /// Streams of the audit log, among the 50 that were written last.
    pub audit_ms: Option<i64>,
    /// Streams of other logs of the control plane, among the same.
    pub other_ms: Option<i64>,
}

impl CloudWatchRegion {
    /// Prepares to ask over `network`, with the session that logs of the same access have, and sends no request yet.
    #[must_use]
    pub fn sharing(access: Access, network: &Network, sessions: &Sessions) -> CloudWatchRegion {
        let session = sessions.of(&access);
        CloudWatchRegion { access, network: network.clone(), session }
    }

    /// Returns the access.
    #[must_use]
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// Returns the network.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Reads one page of the groups whose names begin as those of EKS do: the first where `token` is `None`, else the one that
    /// the page before named.
    ///
    /// # Errors
    ///
    /// Every [`FetchError`] but `Truncated` is possible.
    pub async fn groups(&self, owners: GroupOwners, token: Option<&PageToken>) -> Result<GroupPage, FetchError> {
        let lease = self.client().await;
        let linked = (owners == GroupOwners::OwnAndLinked).then_some(true);
        let request = lease.client.describe_log_groups().log_group_name_prefix(GROUP_PREFIX).limit(LIMIT);
        let request = request.set_include_linked_accounts(linked).set_next_token(token.map(|token| token.0.clone()));
        let asked = Asked { action: "logs:DescribeLogGroups", log_group: None, is_continued: token.is_some() };
        let answer = request.send().await.map_err(|failure| self.fetch_error(&lease, &failure, asked))?;
        self.session.accepted(&lease);
        let groups =
            answer.log_groups.ok_or_else(|| FetchError::Unavailable { reason: "the answer is empty".to_owned() })?;
        let groups = groups.into_iter().filter_map(listed).collect();
        Ok(GroupPage { groups, next: answer.next_token.map(PageToken) })
    }

    /// Returns when the streams of a group were written last. `group` is a name, or an ARN without `:*`.
    ///
    /// # Errors
    ///
    /// As [`CloudWatchRegion::groups`].
    pub async fn last_written(&self, group: &str) -> Result<LastWritten, FetchError> {
        let lease = self.client().await;
        let request =
            lease.client.describe_log_streams().order_by(OrderBy::LastEventTime).descending(true).limit(LIMIT);
        let request = match group.starts_with("arn:") {
            true => request.log_group_identifier(group),
            false => request.log_group_name(group),
        };
        let asked = Asked { action: "logs:DescribeLogStreams", log_group: Some(group), is_continued: false };
        let answer = request.send().await.map_err(|failure| self.fetch_error(&lease, &failure, asked))?;
        self.session.accepted(&lease);
        let streams =
            answer.log_streams.ok_or_else(|| FetchError::Unavailable { reason: "the answer is empty".to_owned() })?;
        let is_audit =
            |stream: &&LogStream| stream.log_stream_name().is_some_and(|name| name.starts_with(AUDIT_STREAM_PREFIX));
        let (audit, other): (Vec<&LogStream>, Vec<&LogStream>) = streams.iter().partition(is_audit);
        let newest = |streams: Vec<&LogStream>| streams.iter().filter_map(|stream| stream.last_event_timestamp()).max();
        Ok(LastWritten { audit_ms: newest(audit), other_ms: newest(other) })
    }

    async fn client(&self) -> Lease<Client> {
        if let Some(lease) = self.session.lease() {
            return lease;
        }
        let sdk = stakeout_aws::sdk_config(&self.access, &self.network, ANSWER_TIMEOUT).await;
        self.session.begin(Client::new(&sdk))
    }

    fn fetch_error<E>(&self, lease: &Lease<Client>, failure: &SdkError<E, HttpResponse>, asked: Asked<'_>) -> FetchError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        if failure::is_expired(failure) && self.session.refused(lease) {
            let reason = "AWS no longer accepts the credentials: the next request looks for new ones";
            return FetchError::Unavailable { reason: reason.to_owned() };
        }
        failure::fetch_error(failure, asked)
    }
}

/// Returns what is needed of a group. `arn` ends in `:*`, which requests do not take; not every answer has `logGroupArn`.
fn listed(group: LogGroup) -> Option<ListedGroup> {
    let created_ms = group.creation_time.unwrap_or_default();
    let arn = group.log_group_arn.or(group.arn)?;
    let arn = arn.strip_suffix(":*").map(str::to_owned).unwrap_or(arn);
    Some(ListedGroup { arn, created_ms })
}

/// Shows where it asks. The SDK's client would show the role's external id.
impl fmt::Debug for CloudWatchRegion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloudWatchRegion").field("access", &self.access).finish_non_exhaustive()
    }
}
