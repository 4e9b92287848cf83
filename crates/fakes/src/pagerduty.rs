//! PagerDuty's Events API v2: takes events as strictly as its schema, and keeps the alerts that they make.
//! <https://developer.pagerduty.com/docs/send-alert-event>

use std::io;
use std::ops::Deref;
use std::sync::Arc;

use axum::http::Method;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::exchange::{Answer, HttpRequest};
use crate::fault::Refusal;
use crate::guarded::Guarded;
use crate::server::{Server, Service};

/// The only valid integration key of a fake.
pub const ROUTING_KEY: &str = "fakefakefakefakefakefakefakefake";
/// Most bytes of an event.
const EVENT_BYTES_MAX: usize = 512 * 1024;
const SUMMARY_CHARS_MAX: usize = 1_024;
const DEDUP_KEY_CHARS_MAX: usize = 255;
/// What an event may hold.
const MEMBERS: [&str; 8] =
    ["routing_key", "event_action", "dedup_key", "payload", "images", "links", "client", "client_url"];
const PAYLOAD_MEMBERS: [&str; 8] =
    ["summary", "source", "severity", "timestamp", "component", "group", "class", "custom_details"];

/// A running fake of the Events API; dropping it stops it.
#[derive(Debug)]
pub struct PagerDuty {
    server: Server,
    service: Arc<AlertService>,
}

/// An alert.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// What distinguishes it.
    pub dedup_key: String,
    /// The events that triggered it, in order.
    pub events: Vec<Value>,
    /// Whether it is over. An event after that begins another alert of the same key.
    pub is_resolved: bool,
}

impl PagerDuty {
    /// Starts on a free port of the loopback address.
    pub async fn start() -> io::Result<Self> {
        let service = Arc::new(AlertService::default());
        Ok(Self { server: Server::start(Arc::clone(&service)).await?, service })
    }

    /// Returns the base URL.
    pub fn endpoint(&self) -> String {
        self.server.url()
    }

    /// Returns all alerts, in the order in which they began.
    pub fn alerts(&self) -> Vec<Alert> {
        self.service.alerts.lock().clone()
    }
}

impl Deref for PagerDuty {
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
    const NAME: &'static str = "pagerduty";

    fn target(&self, request: &HttpRequest) -> String {
        format!("{} {}", request.method, request.path)
    }

    fn answer(&self, request: &HttpRequest, _now: Timestamp) -> Answer {
        if request.path != "/v2/enqueue" {
            return Answer::text(404, "Not Found");
        }
        if request.method != Method::POST {
            return Answer::text(405, "Method Not Allowed");
        }
        if request.body.len() > EVENT_BYTES_MAX {
            return invalid(&["Event size exceeds limit of 512 KB".to_owned()]);
        }
        let Some(event) = event(request) else {
            return object(
                400,
                &json!({
                    "status": "invalid event", "message": "Event object is invalid", "errors": ["JSON parse error"],
                }),
            );
        };
        let errors = errors_of(&event);
        if !errors.is_empty() {
            return invalid(&errors);
        }
        let key = self.take(event);
        object(202, &json!({"status": "success", "message": "Event processed", "dedup_key": key}))
    }

    fn refuse(&self, refusal: Refusal, _request: &HttpRequest) -> Answer {
        match refusal {
            Refusal::Throttled => object(
                429,
                &json!({
                    "status": "throttle exceeded",
                    "message": "Requests for this service are arriving too quickly.  Please retry later.",
                }),
            ),
            Refusal::InternalError => Answer::text(500, "Internal Server Error"),
            Refusal::Unavailable => Answer::text(503, "Service Unavailable"),
            Refusal::Denied => invalid(&["Invalid routing key".to_owned()]),
        }
    }
}

impl AlertService {
    /// Notes a valid event, and returns the key of its alert.
    fn take(&self, event: Map<String, Value>) -> String {
        let mut alerts = self.alerts.lock();
        let key = text(&event, "dedup_key").map_or_else(|| format!("made-{}", alerts.len()), str::to_owned);
        let open = alerts.iter_mut().find(|alert| alert.dedup_key == key && !alert.is_resolved);
        match (text(&event, "event_action"), open) {
            (Some("trigger"), Some(open)) => open.events.push(Value::Object(event)),
            (Some("trigger"), None) => {
                alerts.push(Alert { dedup_key: key.clone(), events: vec![Value::Object(event)], is_resolved: false });
            }
            (Some("resolve"), Some(open)) => open.is_resolved = true,
            // What is not open is ignored.
            _ => {}
        }
        key
    }
}

fn event(request: &HttpRequest) -> Option<Map<String, Value>> {
    if request.content_type() != "application/json" {
        return None;
    }
    match serde_json::from_slice(&request.body) {
        Ok(Value::Object(event)) => Some(event),
        _ => None,
    }
}

fn invalid(errors: &[String]) -> Answer {
    object(400, &json!({"status": "invalid event", "message": "Event object is invalid", "errors": errors}))
}

fn object(status: u16, body: &Value) -> Answer {
    Answer::new(status, "application/json", body.to_string())
}

fn text<'a>(members: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    members.get(name).and_then(Value::as_str)
}

/// Returns what the schema refuses. The original leaves unknown members alone; a fake does not, because they are typos.
fn errors_of(event: &Map<String, Value>) -> Vec<String> {
    let mut errors = Vec::new();
    match text(event, "routing_key") {
        Some(key) if key.len() != ROUTING_KEY.len() => {
            errors.push("Length of 'routing_key' is incorrect (should be 32 characters)".to_owned());
        }
        Some(ROUTING_KEY) => {}
        Some(_) => errors.push("Invalid routing key".to_owned()),
        None => errors.push("'routing_key' is missing or blank".to_owned()),
    }
    unknown(event, &MEMBERS, &mut errors);
    let action = text(event, "event_action").unwrap_or_default();
    if !["trigger", "acknowledge", "resolve"].contains(&action) {
        errors
            .push("'event_action' is invalid (must be one of the following: acknowledge, resolve, trigger)".to_owned());
    }
    match text(event, "dedup_key") {
        None if action != "trigger" => errors.push("'dedup_key' is missing or blank".to_owned()),
        Some("") => errors.push("'dedup_key' is missing or blank".to_owned()),
        Some(key) if key.chars().count() > DEDUP_KEY_CHARS_MAX => {
            errors.push("Length of 'dedup_key' is incorrect (should be at most 255 characters)".to_owned());
        }
        _ => {}
    }
    if action == "trigger" {
        match event.get("payload").and_then(Value::as_object) {
            None => errors.push("'payload' is missing or blank".to_owned()),
            Some(payload) => payload_errors(payload, &mut errors),
        }
    }
    for link in event.get("links").and_then(Value::as_array).into_iter().flatten() {
        if !link["href"].as_str().is_some_and(|href| href.starts_with("https://")) || !link["text"].is_string() {
            errors.push("'links' is invalid".to_owned());
        }
    }
    errors
}

fn payload_errors(payload: &Map<String, Value>, errors: &mut Vec<String>) {
    unknown(payload, &PAYLOAD_MEMBERS, errors);
    for name in ["summary", "source"] {
        if text(payload, name).is_none_or(|text| text.trim().is_empty()) {
            errors.push(format!("'payload.{name}' is missing or blank"));
        }
    }
    if text(payload, "summary").is_some_and(|summary| summary.chars().count() > SUMMARY_CHARS_MAX) {
        errors.push("Length of 'payload.summary' is incorrect (should be at most 1024 characters)".to_owned());
    }
    if !["critical", "warning", "error", "info"].contains(&text(payload, "severity").unwrap_or_default()) {
        errors.push(
            "'payload.severity' is invalid (must be one of the following: critical, warning, error, info)".to_owned(),
        );
    }
    if text(payload, "timestamp").is_some_and(|at| at.parse::<Timestamp>().is_err()) {
        errors.push("'payload.timestamp' is invalid".to_owned());
    }
}

fn unknown(members: &Map<String, Value>, known: &[&str], errors: &mut Vec<String>) {
    errors.extend(
        members.keys().filter(|name| !known.contains(&name.as_str())).map(|name| format!("'{name}' is unknown")),
    );
}
