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
use crate::tick::TickSummary;
use crate::writer::Writer;

/// The health of the daemon as of the last tick.
#[derive(Clone, Debug, Default)]
pub(crate) struct Health(Arc<Mutex<Option<Result<(), String>>>>);

impl Health {
    /// Records a finished tick.
    pub(crate) fn note_tick(&self, tick: Second, summary: &TickSummary) {
        let health = match (summary.logs_pending, summary.messages_pending) {
            (0, 0) => Ok(()),
            (logs, messages) => Err(format!("tick {tick}: {logs} logs and {messages} messages are pending")),
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
}

/// Installs the metrics of the process and returns the handle that renders them.
pub(crate) fn install_metrics() -> Result<PrometheusHandle> {
    let handle = PrometheusBuilder::new().install_recorder().context("cannot install the metrics")?;
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
        if let Err(error) = axum::serve(listener, router).await {
            error!(%error, "the admin page stopped");
        }
    });
    Ok(())
}

/// Answers whether the process and its writer are alive.
async fn healthz(State(page): State<Page>) -> Response {
    match page.writer.progress().await {
        Ok(_) => "ok\n".into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
    }
}

/// Answers whether the last tick read all due windows and sent all pending messages.
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
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
    }
}
