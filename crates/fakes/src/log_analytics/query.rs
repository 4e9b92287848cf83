//! `/query` and `/search`: the request is checked, the query run over the rows of its time, and the answer cut.
//! <https://learn.microsoft.com/en-us/azure/azure-monitor/logs/api/request-format>

use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;

use super::interval::Interval;
use super::schema::TIME;
use super::store::{Store, Table, TablePlan};
use super::wire::{self, ApiError};
use crate::exchange::{Answer, HttpRequest};
use crate::kql::{DateTime, Query, Row};
use crate::stable_hash;

/// <https://learn.microsoft.com/en-us/azure/azure-monitor/service-limits#log-analytics-workspaces>
const ROWS_MAX: usize = 500_000;
/// The longest wait that a client may request.
/// <https://learn.microsoft.com/en-us/azure/azure-monitor/logs/api/timeouts>
const WAIT_S_MAX: u32 = 600;

/// How queries are answered, and the faults of the answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answering {
    /// The most rows of an answer, below the cloud's 500,000. A larger answer is partial: HTTP 200 with `error` beside
    /// `tables`.
    pub rows_max: usize,
    /// This many of the next answers are partial, whatever their size: they lack the later half of their rows.
    pub partial_next: u32,
    /// This many of the next answers are 204, without a body.
    pub no_content_next: u32,
    /// This many of the next answers are 200 with an empty body.
    pub empty_body_next: u32,
    /// Queries over a longer time span are answered 504. The span is the intersection of `timespan` and the conditions
    /// of the query on `TimeGenerated`.
    pub span_max: Option<Duration>,
    /// The order of rows if the query does not sort them.
    pub order: RowOrder,
}

/// The order of rows if the query does not sort them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowOrder {
    /// Shuffled, the same way for the same seed. The default, with seed 0: a reader must not rely on an order.
    Shuffled(u64),
    /// By `TimeGenerated`, then by arrival.
    Stored,
}

impl Default for Answering {
    fn default() -> Self {
        Self {
            rows_max: ROWS_MAX,
            partial_next: 0,
            no_content_next: 0,
            empty_body_next: 0,
            span_max: None,
            order: RowOrder::Shuffled(0),
        }
    }
}

/// What queries received so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// Queries that were answered with tables.
    pub answers: u64,
    /// How many of these were partial.
    pub partial: u64,
    /// Rows in them, counted each time that they were delivered.
    pub rows: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
    /// The seconds of the last query's `Prefer: wait=`.
    pub wait_s: Option<u32>,
}

/// The path of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Api {
    Query,
    Search,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct QueryRequest {
    query: String,
    timespan: Option<String>,
    workspaces: Option<Vec<String>>,
}

#[derive(Debug, Default)]
pub(super) struct Searches {
    pub(super) answering: Answering,
    pub(super) served: Served,
}

impl Searches {
    pub(super) fn answer(
        &mut self,
        http_request: &HttpRequest,
        store: &Store,
        workspace: &str,
        api: Api,
        now: Timestamp,
    ) -> Result<Answer, ApiError> {
        let request = read(http_request)?;
        self.served.wait_s = wait(http_request)?;
        if !store.has_workspace(workspace) {
            return Err(ApiError::path_not_found());
        }
        let others = request.workspaces.as_deref().unwrap_or_default();
        let unknown = others.iter().find(|other| !store.has_workspace(other));
        if let Some(unknown) = unknown {
            return Err(ApiError::invalid(&format!("the workspace {unknown:?} does not exist")));
        }
        let query = Query::compile(&request.query, |name| Some(store.table(workspace, name)?.columns.clone()))?;
        let timespan = timespan(&request, now)?;
        let names = std::iter::once(workspace).chain(others.iter().map(String::as_str));
        let tables: Vec<&Table> = names.filter_map(|name| store.table(name, query.table())).collect();
        check_plan(api, &tables, &request, &query)?;
        let (from, to) = query.bounds_of(TIME);
        let interval = timespan.unwrap_or(Interval::ALWAYS).within(from, to);
        if self.answering.span_max.is_some_and(|max| interval.length() > max) {
            return Err(ApiError::timed_out());
        }
        let rows = tables.iter().flat_map(|table| table.between(interval.from, interval.to)).cloned().collect();
        let rows = query.run(self.arrange(rows));
        Ok(self.cut(&query, rows))
    }

    fn arrange(&self, rows: Vec<Row>) -> Vec<Row> {
        match self.answering.order {
            RowOrder::Shuffled(seed) => stable_hash::shuffle(rows, seed),
            RowOrder::Stored => rows,
        }
    }

    /// Builds the answer of a query, and truncates it as configured.
    fn cut(&mut self, query: &Query, mut rows: Vec<Row>) -> Answer {
        let answering = &mut self.answering;
        if take_one(&mut answering.no_content_next) {
            return Answer::new(204, wire::CONTENT_TYPE, "");
        }
        if take_one(&mut answering.empty_body_next) {
            return Answer::new(200, wire::CONTENT_TYPE, "");
        }
        let is_halved = take_one(&mut answering.partial_next);
        let limit = if is_halved { answering.rows_max.min(rows.len() / 2) } else { answering.rows_max };
        let is_partial = is_halved || rows.len() > limit;
        rows.truncate(limit);
        let answer = wire::tables(query.columns(), &rows, is_partial.then(|| wire::partial_error(limit)));
        self.served.answers += 1;
        self.served.partial += u64::from(is_partial);
        self.served.rows += rows.len() as u64;
        self.served.bytes += answer.body.len() as u64;
        answer
    }
}

/// Takes one of what is left, and returns whether there was one.
fn take_one(left: &mut u32) -> bool {
    let had_one = *left > 0;
    *left = left.saturating_sub(1);
    had_one
}

fn read(http_request: &HttpRequest) -> Result<QueryRequest, ApiError> {
    if http_request.content_type() != "application/json" {
        return Err(ApiError::invalid("Content-Type must be application/json"));
    }
    serde_json::from_slice(&http_request.body)
        .map_err(|error| ApiError::invalid(&format!("the body cannot be read: {error}")))
}

/// Reads `Prefer: wait=`, the only preference that this fake supports. The SDK for Python sends an empty one.
fn wait(http_request: &HttpRequest) -> Result<Option<u32>, ApiError> {
    let preferences = http_request.header("prefer").unwrap_or_default();
    if preferences.is_empty() {
        return Ok(None);
    }
    let seconds = preferences.trim().strip_prefix("wait=").and_then(|seconds| seconds.parse().ok());
    let seconds = seconds.filter(|seconds| (1..=WAIT_S_MAX).contains(seconds));
    let wrong = || ApiError::invalid(&format!("Prefer must be wait=1 to wait={WAIT_S_MAX}, not {preferences:?}"));
    seconds.ok_or_else(wrong).map(Some)
}

fn timespan(request: &QueryRequest, now: Timestamp) -> Result<Option<Interval>, ApiError> {
    let parse = |text: &String| {
        let interval = Interval::parse(text, DateTime::from(now));
        interval.ok_or_else(|| ApiError::invalid(&format!("{text:?} is not an ISO 8601 time period")))
    };
    request.timespan.as_ref().map(parse).transpose()
}

/// Checks that the path of the query fits the plan of the tables. For a Basic table "you can't specify the query time
/// range using a where statement", nor ask several workspaces.
/// <https://learn.microsoft.com/en-us/azure/azure-monitor/logs/basic-logs-query>
fn check_plan(api: Api, tables: &[&Table], request: &QueryRequest, query: &Query) -> Result<(), ApiError> {
    let is_basic = tables.iter().any(|table| table.plan == TablePlan::Basic);
    let name = query.table();
    let wrong = match api {
        Api::Query if is_basic => format!("table {name} has the plan Basic: use /search"),
        Api::Query => return Ok(()),
        Api::Search if !is_basic => format!("table {name} has the plan Analytics: use /query"),
        Api::Search if request.workspaces.is_some() => "/search takes no workspaces".to_owned(),
        Api::Search if request.timespan.is_none() => "/search needs a timespan".to_owned(),
        Api::Search if query.filters_on(TIME) => {
            format!("/search takes the time from timespan, not from a where on {TIME}")
        }
        Api::Search => return Ok(()),
    };
    Err(ApiError::invalid(&wrong))
}
