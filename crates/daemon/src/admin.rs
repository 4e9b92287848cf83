//! The admin page: metrics, health and the state, on loopback by default, GET only.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use stakeout_core::time::Second;
use tracing::{error, info};

use crate::metric;
use crate::watch::Ticked;
use crate::writer::Writer;

/// Whether the daemon is well, as the last tick left it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Health(Arc<Mutex<Option<Result<(), String>>>>);

impl Health {
    /// Notes a tick that came to its end.
    pub(crate) fn note_tick(&self, tick: Second, ticked: &Ticked) {
        let word = match (ticked.logs_owing, ticked.messages_owed) {
            (0, 0) => Ok(()),
            (logs, messages) => {
                Err(format!("tick {tick}: {logs} logs could not be read, {messages} messages were not taken"))
            }
        };
        self.set(word);
    }

    /// Notes that something is wrong.
    pub(crate) fn note_fault(&self, fault: String) {
        self.set(Err(fault));
    }

    fn set(&self, word: Result<(), String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(word);
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
}

/// Makes the process count; returns what the counts are read from.
pub(crate) fn install_metrics() -> Result<PrometheusHandle> {
    let handle = PrometheusBuilder::new().install_recorder().context("cannot start counting")?;
    metric::describe();
    Ok(handle)
}

/// Serves the admin page on `listen` until the process ends.
pub(crate) async fn serve(listen: SocketAddr, metrics: PrometheusHandle, health: Health, writer: Writer) -> Result<()> {
    let listener = tokio::net::TcpListener::bind(listen)
        .await
        .with_context(|| format!("cannot listen on admin.listen {listen}"))?;
    info!(address = %listener.local_addr().unwrap_or(listen), "admin page");
    let page = Page { metrics, health, writer };
    let router = Router::new()
        .route("/metrics", get(|State(page): State<Page>| async move { page.metrics.render() }))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/state", get(state))
        .with_state(page);
    tokio::spawn(async move {
        if let Err(fault) = axum::serve(listener, router).await {
            error!(%fault, "the admin page ended");
        }
    });
    Ok(())
}

/// Says whether the process and its writer live.
async fn healthz(State(page): State<Page>) -> Response {
    match page.writer.progress().await {
        Ok(_) => "ok\n".into_response(),
        Err(fault) => (StatusCode::SERVICE_UNAVAILABLE, format!("{fault}\n")).into_response(),
    }
}

/// Says whether everything that was owed at the last tick was read and told.
async fn readyz(State(page): State<Page>) -> Response {
    match page.health.get() {
        Some(Ok(())) => "ready\n".into_response(),
        Some(Err(reason)) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
        None => (StatusCode::SERVICE_UNAVAILABLE, "the first tick is not done yet\n".to_owned()).into_response(),
    }
}

async fn state(State(page): State<Page>) -> Response {
    match page.writer.summary().await {
        Ok(summary) => Json(summary).into_response(),
        Err(fault) => (StatusCode::SERVICE_UNAVAILABLE, format!("{fault}\n")).into_response(),
    }
}
