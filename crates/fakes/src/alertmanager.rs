//! Prometheus Alertmanager's API v2: takes alerts as strictly as its OpenAPI document, and keeps the last word of each.
//! <https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml>

use std::collections::BTreeMap;
use std::io;
use std::ops::Deref;
use std::sync::Arc;

use axum::http::Method;
use jiff::Timestamp;
use serde::Deserialize;

use crate::exchange::{Answer, HttpRequest};
use crate::fault::Refusal;
use crate::guarded::Guarded;
use crate::server::{Server, Service};

/// A running Alertmanager; dropping it stops it.
#[derive(Debug)]
pub struct Alertmanager {
    server: Server,
    service: Arc<AlertService>,
}

/// An alert.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// What identifies it.
    pub labels: BTreeMap<String, String>,
    /// What was last said of it.
    pub annotations: BTreeMap<String, String>,
    /// When it began.
    pub starts_at: Timestamp,
    /// When it ends, as far as is known.
    pub ends_at: Timestamp,
    /// A link.
    pub generator_url: Option<String>,
    /// How often it was posted before its end.
    pub posts: usize,
}

/// An alert as it is posted. The original leaves unknown members alone; a fake does not, because they are typos.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct PostedAlert {
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    starts_at: Timestamp,
    ends_at: Timestamp,
    #[serde(rename = "generatorURL")]
    generator_url: Option<String>,
}

impl Alertmanager {
    /// Starts on a free port of the loopback address.
    pub async fn start() -> io::Result<Self> {
        let service = Arc::new(AlertService::default());
        Ok(Self { server: Server::start(Arc::clone(&service)).await?, service })
    }

    /// Returns the base URL.
    pub fn endpoint(&self) -> String {
        self.server.url()
    }

    /// Returns all alerts that ever fired, in the order in which they began.
    pub fn alerts(&self) -> Vec<Alert> {
        self.service.alerts.lock().clone()
    }

    /// Returns the alerts that fire at a time, in the order in which they began.
    pub fn firing(&self, at: Timestamp) -> Vec<Alert> {
        self.alerts().into_iter().filter(|alert| alert.ends_at > at).collect()
    }

    /// Forgets all alerts, as the original does when it starts again.
    pub fn restart(&self) {
        self.service.alerts.lock().clear();
    }
}

impl Deref for Alertmanager {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

#[derive(Debug, Default)]
struct AlertService {
    alerts: Guarded<Vec<Alert>>,
}

impl Service for AlertService {
    const NAME: &'static str = "alertmanager";

    fn target(&self, request: &HttpRequest) -> String {
        format!("{} {}", request.method, request.path)
    }

    fn answer(&self, request: &HttpRequest, now: Timestamp) -> Answer {
        if request.path != "/api/v2/alerts" {
            return Answer::text(404, "404 page not found");
        }
        if request.method != Method::POST {
            return problem(405, "method not allowed");
        }
        if request.content_type() != "application/json" {
            return problem(415, "unsupported media type");
        }
        let posted: Vec<PostedAlert> = match serde_json::from_slice(&request.body) {
            Ok(posted) => posted,
            Err(error) => return problem(400, &format!("parsing alerts body failed: {error}")),
        };
        if let Some(error) = posted.iter().find_map(fault) {
            return problem(400, &error);
        }
        let mut alerts = self.alerts.lock();
        posted.into_iter().for_each(|alert| take(&mut alerts, alert, now));
        Answer::new(200, "application/json", "")
    }

    fn refuse(&self, refusal: Refusal, _request: &HttpRequest) -> Answer {
        match refusal {
            Refusal::Throttled => problem(429, "too many requests"),
            Refusal::InternalError => problem(500, "internal error"),
            Refusal::Unavailable => Answer::text(503, "Service Unavailable"),
            Refusal::Denied => Answer::text(401, "Unauthorized"),
        }
    }
}

/// Notes an alert. The end of one that does not fire is none.
fn take(alerts: &mut Vec<Alert>, posted: PostedAlert, now: Timestamp) {
    let PostedAlert { labels, annotations, starts_at, ends_at, generator_url } = posted;
    let is_firing = ends_at > now;
    let known = alerts.iter_mut().find(|alert| alert.labels == labels && (is_firing || alert.ends_at > now));
    match known {
        Some(known) => {
            let posts = known.posts + usize::from(is_firing);
            *known =
                Alert { labels, annotations, starts_at: starts_at.min(known.starts_at), ends_at, generator_url, posts };
        }
        None if is_firing => alerts.push(Alert { labels, annotations, starts_at, ends_at, generator_url, posts: 1 }),
        None => {}
    }
}

fn problem(status: u16, message: &str) -> Answer {
    Answer::new(status, "application/json", serde_json::Value::from(message).to_string())
}

/// Returns what the original refuses in an alert.
fn fault(alert: &PostedAlert) -> Option<String> {
    let is_name = |name: &str| {
        !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    if alert.labels.is_empty() {
        return Some("at least one label pair required".to_owned());
    }
    if let Some(bad) =
        alert.labels.keys().chain(alert.annotations.keys()).find(|name| name.is_empty() || !is_name(name))
    {
        return Some(format!("invalid label set: invalid name {bad:?}"));
    }
    // The original drops them, so whoever sends one expects a label that is not there.
    if let Some((name, _)) = alert.labels.iter().find(|(_, value)| value.is_empty()) {
        return Some(format!("label {name:?} is empty"));
    }
    if alert.ends_at < alert.starts_at {
        return Some("start time must be before end time".to_owned());
    }
    let is_url = |url: &str| url.starts_with("https://") && url.chars().all(|c| c.is_ascii_graphic());
    alert.generator_url.as_deref().filter(|url| !is_url(url)).map(|_| "generatorURL is not a URI".to_owned())
}
