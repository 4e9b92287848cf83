//! The admin page: metrics, health and the state, on loopback by default, GET only. `html` has the pages that people look at.

mod connections;
mod hosts;
mod pages;

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{ConnectInfo, Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use serde::Deserialize;
use stakeout_core::text::counted;
use stakeout_core::time::Second;
use tokio::sync::{Semaphore, watch};
use tracing::{error, info};

use crate::clock;
use crate::finding_page::{FindingRequest, PageSearch};
use crate::finding_params::{self, FindingsParams};
use crate::incident_page::IncidentSearch;
use crate::metric;
use crate::printed::{Format, Printed};
use crate::source_page::{self, SourcePage};
use crate::tick::TickSummary;
use crate::watch::Watch;
use crate::writer::Writer;

use connections::{Answering, LimitedListener};
use hosts::Hosts;

/// Most characters of a refused host name that the answer repeats: DNS allows no longer one.
const HOST_CHARS_SHOWN_MAX: usize = 253;
/// The header of what a person should know beside the answer; several notes are several headers.
pub(crate) const NOTE_HEADER: &str = "x-stakeout-note";

/// What every answer says of its use.
const GUARDS: [(HeaderName, &str); 5] = [
    (header::CONNECTION, "close"),
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];
/// What a browser may do with an answer that is no page.
const NOTHING: &str = "default-src 'none'; frame-ancestors 'none'";

/// The health of the daemon as of the last tick.
#[derive(Clone, Debug, Default)]
pub(crate) struct Health(Arc<Mutex<Option<Result<(), String>>>>);

impl Health {
    /// Records a finished tick.
    pub(crate) fn note_tick(&self, tick: Second, summary: &TickSummary) {
        let health = match (summary.logs_pending, summary.messages_pending) {
            (0, 0) => match &summary.silences_error {
                None => Ok(()),
                Some(error) => Err(format!("tick {tick}: the silences cannot be used: {error}")),
            },
            (logs, messages) => {
                let (logs, messages) = (counted(logs, "log"), counted(messages, "message"));
                Err(format!("tick {tick}: {logs} and {messages} pending"))
            }
        };
        self.set(health);
    }

    /// Records an error.
    pub(crate) fn note_error(&self, error: String) {
        self.set(Err(error));
    }

    fn set(&self, health: Result<(), String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(health);
    }

    fn get(&self) -> Option<Result<(), String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[derive(Clone)]
struct Page {
    metrics: PrometheusHandle,
    health: Health,
    writer: Writer,
    /// The config in use, which a reload replaces.
    in_use: watch::Receiver<Arc<Watch>>,
    /// Who reads all incidents: one at a time, because they are in memory together.
    reading: Arc<Semaphore>,
}

impl Page {
    fn watch(&self) -> Arc<Watch> {
        self.in_use.borrow().clone()
    }

    /// Returns a search for incidents under the config in use.
    fn incident_search(&self, request: FindingRequest) -> IncidentSearch {
        let (watch, now) = (self.watch(), clock::now().into());
        IncidentSearch::new(request, watch.config().incidents, watch.silences().current(), now)
            .with_addresses(watch.addresses().current())
    }
}

/// Installs the metrics of the process and returns the handle that renders them.
pub(crate) fn install_metrics() -> Result<PrometheusHandle> {
    let handle = PrometheusBuilder::new().install_recorder().context("cannot install the metrics")?;
    metric::describe();
    Ok(handle)
}

/// Serves the admin page, if it is on, until the process ends.
pub(crate) async fn serve(
    metrics: PrometheusHandle,
    health: Health,
    in_use: watch::Receiver<Arc<Watch>>,
) -> Result<()> {
    let (listen, writer) = {
        let watch = in_use.borrow();
        (watch.config().admin.listen, watch.writer().clone())
    };
    let Some(listen) = listen else { return Ok(()) };
    let listener = tokio::net::TcpListener::bind(listen)
        .await
        .with_context(|| format!("cannot listen on admin.listen {listen}"))?;
    info!(address = %listener.local_addr().unwrap_or(listen), "admin page");
    let page = Page { metrics, health, writer, in_use, reading: Arc::new(Semaphore::new(1)) };
    let router = Router::new()
        .route("/", get(pages::overview))
        .route("/metrics", get(|State(page): State<Page>| async move { page.metrics.render() }))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/state", get(state))
        .route(source_page::PATH, get(sources))
        .route(finding_params::PATH, get(findings))
        .route("/findings/{uid}", get(finding))
        .route(finding_params::INCIDENTS_PATH, get(incidents))
        .route("/incidents/{uid}", get(incident))
        .layer(middleware::from_fn_with_state(page.clone(), guard))
        .with_state(page);
    tokio::spawn(async move {
        let service = router.into_make_service_with_connect_info::<Answering>();
        if let Err(error) = axum::serve(LimitedListener::new(listener), service).await {
            error!(%error, "the admin page stopped");
        }
    });
    Ok(())
}

/// Refuses a request for another host, and closes the connection after one answer, which has a time of its own. No other
/// page may show or read an answer, and nobody keeps it.
async fn guard(
    State(page): State<Page>,
    ConnectInfo(answering): ConnectInfo<Answering>,
    request: Request,
    next: Next,
) -> Response {
    answering.note();
    let mut response = match Hosts(&page.watch().config().admin.hosts).include(request.headers(), request.uri().path())
    {
        true => next.run(request).await,
        false => (StatusCode::MISDIRECTED_REQUEST, misdirected(request.headers())).into_response(),
    };
    let headers = response.headers_mut();
    for (name, value) in GUARDS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(NOTHING));
    response
}

fn misdirected(headers: &HeaderMap) -> String {
    let host = headers.get(header::HOST).map(HeaderValue::as_bytes).map(String::from_utf8_lossy).unwrap_or_default();
    let host: String = host.chars().take(HOST_CHARS_SHOWN_MAX).collect();
    format!("{host:?} is not a name of this page: ask for its address or localhost, or add the name to admin.hosts\n")
}

/// Answers whether the process and its writer are alive.
async fn healthz(State(page): State<Page>) -> Response {
    match page.writer.check().await {
        Ok(()) => "ok\n".into_response(),
        // A restart brings no database back.
        Err(error) if error.is_unavailable() => "ok, but the state cannot be used now\n".into_response(),
        Err(error) => refusal(StatusCode::SERVICE_UNAVAILABLE, &error),
    }
}

/// Answers whether the last tick read all due windows and sent all pending messages.
async fn readyz(State(page): State<Page>) -> Response {
    if let Some(reason) = page.watch().replica().failure() {
        return refusal(StatusCode::SERVICE_UNAVAILABLE, &reason);
    }
    match page.health.get() {
        Some(Ok(())) => "ready\n".into_response(),
        Some(Err(reason)) => refusal(StatusCode::SERVICE_UNAVAILABLE, &reason),
        None => refusal(StatusCode::SERVICE_UNAVAILABLE, &"the first tick is not done yet"),
    }
}

/// Answers what `state show` prints.
async fn state(State(page): State<Page>, params: Result<Query<FormatParams>, QueryRejection>) -> Response {
    let format = match params {
        Ok(Query(params)) => params.format.unwrap_or(Format::Json),
        Err(error) => return refusal(StatusCode::BAD_REQUEST, &error.body_text()),
    };
    match page.writer.summary().await {
        Ok(summary) => answer(summary.printed(format), format),
        Err(error) => refusal(StatusCode::SERVICE_UNAVAILABLE, &error),
    }
}

/// Answers what `sources` prints.
async fn sources(State(page): State<Page>, params: Result<Query<FormatParams>, QueryRejection>) -> Response {
    let format = match params {
        Ok(Query(params)) => params.format.unwrap_or(Format::Json),
        Err(error) => return refusal(StatusCode::BAD_REQUEST, &error.body_text()),
    };
    let watch = page.watch();
    match page.writer.progresses().await {
        Ok((progresses, _)) => {
            let sources =
                SourcePage::of(watch.config(), watch.lists(), progresses, watch.costs(), &watch.replica().hosts());
            answer(sources.printed(format, clock::now().into()), format)
        }
        Err(error) => refusal(StatusCode::SERVICE_UNAVAILABLE, &error),
    }
}

/// Answers what `findings list` prints.
async fn findings(State(page): State<Page>, params: Result<Query<FindingsParams>, QueryRejection>) -> Response {
    match listed(params) {
        Ok(request) => search(&page, request).await,
        Err(error) => refusal(StatusCode::BAD_REQUEST, &error),
    }
}

/// Answers what `incidents list` prints, or the page with them.
async fn incidents(
    State(page): State<Page>,
    uri: Uri,
    headers: HeaderMap,
    params: Result<Query<FindingsParams>, QueryRejection>,
) -> Response {
    if let Some(number) = pages::asked_for(&headers, &uri) {
        return pages::incidents(&page, number).await;
    }
    match listed(params) {
        Ok(request) => search_incidents(&page, request).await,
        Err(error) => refusal(StatusCode::BAD_REQUEST, &error),
    }
}

fn listed(params: Result<Query<FindingsParams>, QueryRejection>) -> Result<FindingRequest, String> {
    params.map_err(|error| error.body_text()).and_then(|Query(params)| params.parse())
}

/// Answers what `findings show` prints.
async fn finding(
    State(page): State<Page>,
    Path(uid): Path<String>,
    params: Result<Query<FormatParams>, QueryRejection>,
) -> Response {
    match single(&uid, params) {
        Ok(request) => search(&page, request).await,
        Err(error) => refusal(StatusCode::BAD_REQUEST, &error),
    }
}

/// Answers what `incidents show` prints, or the page with it.
async fn incident(
    State(page): State<Page>,
    Path(uid): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    params: Result<Query<FormatParams>, QueryRejection>,
) -> Response {
    if pages::asked_for(&headers, &uri).is_some() {
        return pages::incident(&page, &uid).await;
    }
    match single(&uid, params) {
        Ok(request) => search_incidents(&page, request).await,
        Err(error) => refusal(StatusCode::BAD_REQUEST, &error),
    }
}

fn single(uid: &str, params: Result<Query<FormatParams>, QueryRejection>) -> Result<FindingRequest, String> {
    let uid = finding_params::uid(uid).map_err(|error| format!("uid: {error}"));
    let Query(params) = params.map_err(|error| error.body_text())?;
    Ok(finding_params::single(uid?, params.format.unwrap_or(Format::Json)))
}

/// Answers a request for findings. The archive is read beside the writer, which goes on.
async fn search(page: &Page, request: FindingRequest) -> Response {
    let format = request.format;
    match page.writer.search(PageSearch::new(request).with_addresses(page.watch().addresses().current())).await {
        Ok((search, archive)) => found(move || search.with_archive(archive), format).await,
        Err(error) => refusal(StatusCode::SERVICE_UNAVAILABLE, &error),
    }
}

/// Answers a request for incidents. They are computed beside the writer, which goes on.
async fn search_incidents(page: &Page, request: FindingRequest) -> Response {
    let format = request.format;
    let search = page.incident_search(request);
    match page.writer.search_incidents(search).await {
        Ok((search, archive)) => found(move || search.with_archive(archive), format).await,
        Err(error) => refusal(StatusCode::SERVICE_UNAVAILABLE, &error),
    }
}

async fn found(search: impl FnOnce() -> Result<Printed, String> + Send + 'static, format: Format) -> Response {
    match tokio::task::spawn_blocking(search).await {
        Ok(Ok(printed)) => answer(printed, format),
        Ok(Err(error)) => refusal(StatusCode::NOT_FOUND, &error),
        Err(error) => refusal(StatusCode::INTERNAL_SERVER_ERROR, &error),
    }
}

/// The parameters of a page that is text or JSON.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FormatParams {
    format: Option<Format>,
}

fn answer(printed: Printed, format: Format) -> Response {
    let media_type = match format {
        Format::Text => "text/plain; charset=utf-8",
        Format::Json => "application/json",
    };
    let mut response = ([(header::CONTENT_TYPE, media_type)], printed.text).into_response();
    for note in printed.notes.iter().filter_map(|note| HeaderValue::from_str(note).ok()) {
        response.headers_mut().append(NOTE_HEADER, note);
    }
    response
}

fn refusal(status: StatusCode, reason: &impl std::fmt::Display) -> Response {
    (status, format!("{reason}\n")).into_response()
}
