//! CloudWatch Logs over AWS JSON 1.1: `FilterLogEvents`, and the operations to load data and to list groups and
//! streams.
//! <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html>
//!
//! The fake refuses unknown members, which the cloud ignores. Groups belong to all regions, and signatures are not
//! verified; [`Server::requests`] has the access key and region of each request.

mod describe;
mod search;
mod store;
mod wire;
mod write;

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
use search::Searches;
pub use search::{EventOrder, Paging};
pub use store::LogGroupClass;
use store::Store;
use wire::LogsError;

/// The account that every ARN names.
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
        self.logs.state.lock().store.group_or_new(group, now).class = class;
    }

    /// Adds an event to a group and stream, and creates these if they are missing. No limit of `PutLogEvents` applies.
    /// Every search that begins later finds the event. Returns its event id.
    pub fn ingest(&self, group: &str, stream: &str, timestamp_ms: i64, message: &str) -> String {
        let now = self.clock().now();
        self.logs.state.lock().store.ingest(group, stream, timestamp_ms, message, now)
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
        self.logs.state.lock().store.accepts_any_age = accepted;
    }

    /// Returns what `FilterLogEvents` delivered so far.
    pub fn served(&self) -> Served {
        self.logs.state.lock().searches.served
    }

    /// Returns the number of events in a group.
    pub fn stored_events(&self, group: &str) -> usize {
        self.logs.state.lock().store.groups.get(group).map_or(0, |group| group.events.len())
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
    store: Store,
    searches: Searches,
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
        let CloudWatchState { store, searches } = &mut *state;
        match operation {
            "FilterLogEvents" => searches.filter_log_events(store, input(request)?, &scope.region, now).map(Some),
            "PutLogEvents" => store.put_log_events(&input(request)?, now).map(Some),
            "CreateLogGroup" => store.create_log_group(input(request)?, now).map(|()| None),
            "CreateLogStream" => store.create_log_stream(&input(request)?, now).map(|()| None),
            "DescribeLogGroups" => store.describe_log_groups(&input(request)?, &scope.region).map(Some),
            "DescribeLogStreams" => store.describe_log_streams(&input(request)?, &scope.region).map(Some),
            _ => Err(LogsError::unknown_operation(target)),
        }
    }
}

fn input<T: DeserializeOwned>(request: &HttpRequest) -> Result<T, LogsError> {
    serde_json::from_slice(&request.body).map_err(|error| LogsError::serialization(error.to_string()))
}
