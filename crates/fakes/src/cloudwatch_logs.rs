//! CloudWatch Logs over AWS JSON 1.1: `FilterLogEvents`, and the operations to load data and to list groups and
//! streams.
//! <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html>
//!
//! The fake refuses unknown members, which the cloud ignores. Signatures are not verified; [`Server::requests`] has the
//! access key and region of each request. Groups belong to one account and all regions, until a group is put into an
//! account and region: then each has groups of its own, and the access key that the fake of STS gave out says whose a
//! request is.

mod describe;
mod place;
mod search;
mod store;
mod wire;
mod write;

use std::collections::BTreeSet;
use std::io;
use std::ops::Deref;
use std::sync::Arc;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::exchange::{Answer, HttpRequest};
use crate::fault::Refusal;
use crate::guarded::Guarded;
use crate::server::{Server, Service};
use crate::sigv4;

pub use crate::paged_search::{Served, TokenGone};
use place::Places;
use search::Searches;
pub use search::{EventOrder, Paging};
pub use store::LogGroupClass;

use wire::LogsError;

/// The account of requests that no role signed.
pub const ACCOUNT: &str = "000000000000";
/// The prefix of the operation in `X-Amz-Target`.
const TARGET_PREFIX: &str = "Logs_20140328.";

/// A running fake of CloudWatch Logs; dropping it stops it.
#[derive(Debug)]
pub struct CloudWatchLogs {
    server: Server,
    logs: Arc<Logs>,
}

impl CloudWatchLogs {
    /// Starts on a free port of the loopback address.
    pub async fn start() -> io::Result<Self> {
        let logs = Arc::new(Logs::default());
        Ok(Self { server: Server::start(Arc::clone(&logs)).await?, logs })
    }

    /// Returns the endpoint URL for an SDK.
    pub fn endpoint(&self) -> String {
        self.server.url()
    }

    /// Creates a log group, or changes the class of an existing one.
    pub fn create_group(&self, group: &str, class: LogGroupClass) {
        let now = self.clock().now();
        self.logs.state.lock().places.anywhere().group_or_new(group, now).class = class;
    }

    /// Creates a log group in an account and region.
    pub fn create_group_in(&self, account: &str, region: &str, group: &str) {
        let now = self.clock().now();
        self.logs.state.lock().places.of(account, region).group_or_new(group, now);
    }

    /// Adds an event to a group and stream in an account and region, as [`CloudWatchLogs::ingest`] does. Returns its event id.
    pub fn ingest_in(
        &self,
        (account, region): (&str, &str),
        group: &str,
        stream: &str,
        timestamp_ms: i64,
        message: &str,
    ) -> String {
        let now = self.clock().now();
        self.logs.state.lock().places.of(account, region).ingest(group, stream, timestamp_ms, message, now)
    }

    /// Deletes a log group of an account and region, with all that it holds.
    pub fn delete_group_in(&self, account: &str, region: &str, group: &str) {
        self.logs.state.lock().places.of(account, region).groups.remove(group);
    }

    /// Lets a monitoring account see the log groups of another account, in all regions.
    /// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch-Unified-Cross-Account.html>
    pub fn link_account(&self, monitoring: &str, source: &str) {
        self.logs.state.lock().places.link(monitoring, source);
    }

    /// Adds an event to a group and stream, and creates these if they are missing. No limit of `PutLogEvents` applies.
    /// Every search that begins later finds the event. Returns its event id.
    pub fn ingest(&self, group: &str, stream: &str, timestamp_ms: i64, message: &str) -> String {
        let now = self.clock().now();
        self.logs.state.lock().places.anywhere().ingest(group, stream, timestamp_ms, message, now)
    }

    /// Takes an operation such as `DescribeLogGroups` out of everybody's policy, or puts it back.
    pub fn deny(&self, operation: &str, is_denied: bool) {
        let denied = &mut self.logs.state.lock().denied;
        if is_denied {
            denied.insert(operation.to_owned())
        } else {
            denied.remove(operation)
        };
    }

    /// Sets how answers are cut into pages and what goes wrong with them.
    pub fn set_paging(&self, paging: Paging) {
        self.logs.state.lock().searches.paging = paging;
    }

    /// Invalidates all tokens, as 24 hours would.
    pub fn expire_tokens(&self) {
        self.logs.state.lock().searches.forget();
    }

    /// Accepts events of any age in `PutLogEvents`, to load recordings older than 14 days.
    pub fn accept_any_age(&self, accepted: bool) {
        self.logs.state.lock().places.anywhere().accepts_any_age = accepted;
    }

    /// Returns what `FilterLogEvents` delivered so far.
    pub fn served(&self) -> Served {
        self.logs.state.lock().searches.served
    }

    /// Returns the number of events in a group.
    pub fn stored_events(&self, group: &str) -> usize {
        self.logs.state.lock().places.anywhere().groups.get(group).map_or(0, |group| group.events.len())
    }
}

impl Deref for CloudWatchLogs {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

#[derive(Debug, Default)]
struct Logs {
    state: Guarded<CloudWatchState>,
}

#[derive(Debug, Default)]
struct CloudWatchState {
    places: Places,
    searches: Searches,
    /// Operations that no policy allows.
    denied: BTreeSet<String>,
}

impl Service for Logs {
    const NAME: &'static str = "cloudwatch-logs";

    fn target(&self, request: &HttpRequest) -> String {
        let target = request.header("x-amz-target").unwrap_or_default();
        target.strip_prefix(TARGET_PREFIX).unwrap_or(target).to_owned()
    }

    fn answer(&self, request: &HttpRequest, now: Timestamp) -> Answer {
        self.carry_out(request, now).map_or_else(|error| error.answer(), |body| wire::json(200, body))
    }

    fn refuse(&self, refusal: Refusal, request: &HttpRequest) -> Answer {
        LogsError::from_refusal(refusal, &self.target(request)).answer()
    }
}

impl Logs {
    fn carry_out(&self, request: &HttpRequest, now: Timestamp) -> Result<Option<Value>, LogsError> {
        let scope = sigv4::check(request, "logs").map_err(LogsError::from)?;
        if request.content_type() != wire::CONTENT_TYPE {
            return Err(LogsError::serialization(format!("Content-Type must be {}", wire::CONTENT_TYPE)));
        }
        let target = request.header("x-amz-target").unwrap_or_default();
        let operation = target.strip_prefix(TARGET_PREFIX).unwrap_or_default();
        let mut state = self.state.lock();
        let CloudWatchState { places, searches, denied } = &mut *state;
        if denied.contains(operation) {
            return Err(LogsError::from_refusal(Refusal::Denied, operation));
        }
        let account = place::account_of(&scope.access_key);
        let seen = places.seen_by(account, &scope.region);
        match operation {
            "FilterLogEvents" => return searches.filter_log_events(&seen, input(request)?, now).map(Some),
            "DescribeLogGroups" => return seen.describe_log_groups(&input(request)?).map(Some),
            "DescribeLogStreams" => return seen.describe_log_streams(&input(request)?).map(Some),
            _ => {}
        }
        let store = places.written_by(account, &scope.region);
        match operation {
            "PutLogEvents" => store.put_log_events(&input(request)?, now).map(Some),
            "CreateLogGroup" => store.create_log_group(input(request)?, now).map(|()| None),
            "CreateLogStream" => store.create_log_stream(&input(request)?, now).map(|()| None),
            _ => Err(LogsError::unknown_operation(target)),
        }
    }
}

fn input<T: DeserializeOwned>(request: &HttpRequest) -> Result<T, LogsError> {
    serde_json::from_slice(&request.body).map_err(|error| LogsError::serialization(error.to_string()))
}
