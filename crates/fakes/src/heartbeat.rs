//! Healthchecks: one check that hears signals, by the pinging API of healthchecks.io.
//! <https://healthchecks.io/docs/http_api/>

use std::io;
use std::ops::Deref;
use std::sync::Arc;

use axum::http::Method;
use jiff::Timestamp;

use crate::exchange::{Answer, HttpRequest};
use crate::fault::Refusal;
use crate::guarded::Guarded;
use crate::server::{Server, Service};

/// The only check there is.
const UUID: &str = "8f0c2a3e-6b1d-4a57-9c47-0d5b2f6e91aa";
/// Longest body that the service keeps.
const BODY_BYTES_MAX: usize = 100_000;

/// A running service; dropping it stops it.
#[derive(Debug)]
pub struct Heartbeat {
    server: Server,
    recorder: Arc<Recorder>,
}

/// What a signal means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// All is well.
    Success,
    /// A job begins.
    Start,
    /// It is not well.
    Fail,
    /// Only a note.
    Log,
}

impl Heartbeat {
    /// Starts on a free port of the loopback address.
    pub async fn start() -> io::Result<Self> {
        let recorder = Arc::new(Recorder::default());
        Ok(Self { server: Server::start(Arc::clone(&recorder)).await?, recorder })
    }

    /// Returns the URL of the check.
    pub fn url(&self) -> String {
        format!("{}/ping/{UUID}", self.server.url())
    }

    /// Returns the URL of a check that was deleted.
    pub fn unknown_url(&self) -> String {
        self.url().replace(UUID, "00000000-0000-4000-8000-000000000000")
    }

    /// Returns all signals in order, with their bodies.
    pub fn signals(&self) -> Vec<(Signal, String)> {
        self.recorder.signals.lock().clone()
    }
}

impl Deref for Heartbeat {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

#[derive(Debug, Default)]
struct Recorder {
    signals: Guarded<Vec<(Signal, String)>>,
}

impl Service for Recorder {
    const NAME: &'static str = "healthchecks";

    fn target(&self, request: &HttpRequest) -> String {
        format!("{} {}", request.method, request.path)
    }

    fn answer(&self, request: &HttpRequest, _now: Timestamp) -> Answer {
        if ![Method::HEAD, Method::GET, Method::POST].contains(&request.method) {
            return Answer::text(405, "method not allowed");
        }
        let Some((uuid, step)) =
            request.path.strip_prefix("/ping/").map(|rest| rest.split_once('/').unwrap_or((rest, "")))
        else {
            return Answer::text(404, "not found");
        };
        let signal = match step {
            "" if !request.path.ends_with('/') => Signal::Success,
            "start" => Signal::Start,
            "fail" => Signal::Fail,
            "log" => Signal::Log,
            _ => return Answer::text(404, "not found"),
        };
        if uuid != UUID {
            return Answer::text(200, "OK (not found)");
        }
        let Ok(body) = std::str::from_utf8(&request.body) else { return Answer::text(400, "not UTF-8") };
        if body.len() > BODY_BYTES_MAX || (request.method != Method::POST && !body.is_empty()) {
            return Answer::text(400, "a body that is not kept");
        }
        self.signals.lock().push((signal, body.to_owned()));
        Answer::text(200, "OK")
    }

    fn refuse(&self, refusal: Refusal, _request: &HttpRequest) -> Answer {
        match refusal {
            Refusal::Throttled => Answer::text(429, "rate limited"),
            Refusal::InternalError => Answer::text(500, "internal error"),
            Refusal::Unavailable => Answer::text(503, "unavailable"),
            Refusal::Denied => Answer::text(403, "forbidden"),
        }
    }
}
