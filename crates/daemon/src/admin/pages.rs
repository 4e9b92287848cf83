//! Answers with the pages of `html`: reads what they show beside the writer, one page at a time.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use stakeout_core::time::Second;

use super::{Page, refusal};
use crate::clock;
use crate::finding_page::FindingRequest;
use crate::finding_params;
use crate::html;
use crate::html::overview::{Pages, WatchState};
use crate::incident_page::{FoundIncidents, IncidentSearch};
use crate::printed::Format;
use crate::writer::StateError;

/// The parameters of the overview.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OverviewParams {
    page: Option<usize>,
    logs: Option<usize>,
}

/// The parameter of the list of incidents.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListParams {
    page: Option<usize>,
}

/// Returns the number of the page that a browser asks for. A client that names a format or a filter asks for what a command
/// prints.
pub(super) fn asked_for(headers: &HeaderMap, uri: &Uri) -> Option<usize> {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|accept| accept.to_str().ok());
    let is_browser = accepted.flat_map(|accept| accept.split(',')).any(|it| it.trim().starts_with("text/html"));
    let Query(ListParams { page }) = Query::try_from_uri(uri).ok()?;
    is_browser.then(|| page.unwrap_or(1))
}

/// Answers with the overview.
pub(super) async fn overview(
    State(page): State<Page>,
    params: Result<Query<OverviewParams>, QueryRejection>,
) -> Response {
    let pages = match params {
        Ok(Query(params)) => Pages { incidents: params.page.unwrap_or(1), logs: params.logs.unwrap_or(1) },
        Err(error) => return refusal(StatusCode::BAD_REQUEST, &error.body_text()),
    };
    let now = Second::from(clock::now());
    let watch = page.watch();
    let stored = match page.writer.progresses().await {
        Ok(stored) => stored,
        Err(error) => return refusal(StatusCode::SERVICE_UNAVAILABLE, &error),
    };
    let state = WatchState::new(watch.config(), stored, watch.sends(), &watch.replica().hosts(), page.health.get());
    shown(&page, FindingRequest::default(), Some(html::overview::read_from(now)), move |found| {
        Ok(html::overview::page(&found, state, pages, now))
    })
    .await
}

/// Answers with a page of the list of incidents.
pub(super) async fn incidents(page: &Page, number: usize) -> Response {
    let now = Second::from(clock::now());
    shown(page, FindingRequest::default(), Some(html::overview::read_from(now)), move |found| {
        Ok(html::overview::incidents(&found, number, now))
    })
    .await
}

/// Answers with the page of an incident.
pub(super) async fn incident(page: &Page, uid: &str) -> Response {
    let uid = match finding_params::uid(uid) {
        Ok(uid) => uid,
        Err(error) => return refusal(StatusCode::BAD_REQUEST, &format!("uid: {error}")),
    };
    let now = Second::from(clock::now());
    let request = finding_params::single(uid.clone(), Format::Text);
    let limit = request.limit;
    shown(page, request, None, move |found| match (found.none_or_many(&uid, limit), found.incidents.first()) {
        (None, Some(incident)) => Ok(html::incident::page(incident, &found.addresses, now)),
        (reason, _) => Err(reason.unwrap_or_default()),
    })
    .await
}

/// Answers with what `write` makes of the incidents that fit, or with 404 and why it makes nothing. Findings of the archive
/// that ended before `archive_from` are left out.
async fn shown(
    page: &Page,
    request: FindingRequest,
    archive_from: Option<Second>,
    write: impl FnOnce(FoundIncidents) -> Result<String, String> + Send + 'static,
) -> Response {
    let search = page.incident_search(request);
    let search = archive_from.into_iter().fold(search, IncidentSearch::with_archive_from);
    let Ok(reading) = page.reading.clone().acquire_owned().await else {
        return refusal(StatusCode::SERVICE_UNAVAILABLE, &StateError::Closed);
    };
    let (search, archive) = match page.writer.search_incidents(search).await {
        Ok(found) => found,
        Err(error) => return refusal(StatusCode::SERVICE_UNAVAILABLE, &error),
    };
    let written = tokio::task::spawn_blocking(move || {
        let written = write(search.found(archive));
        drop(reading);
        written
    });
    match written.await {
        Ok(Ok(text)) => html_answer(text),
        Ok(Err(reason)) => refusal(StatusCode::NOT_FOUND, &reason),
        Err(error) => refusal(StatusCode::INTERNAL_SERVER_ERROR, &error),
    }
}

fn html_answer(text: String) -> Response {
    let mut response = ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], text).into_response();
    if let Ok(policy) = HeaderValue::from_str(&html::CONTENT_SECURITY_POLICY) {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}
