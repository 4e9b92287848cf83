//! Cloud Logging over REST: `entries.list`, `entries.write` to load data, and the services that issue tokens.
//! <https://cloud.google.com/logging/docs/reference/v2/rest/v2/entries/list>
//!
//! A project exists once it has an entry or was created. The fake refuses other projects, organizations, folders,
//! billing accounts, log views that were not created, and unknown members, as the API does. It accepts requests with or without a bearer
//! token until [`CloudLogging::require_token`].

mod entry;
mod search;
mod store;
mod wire;
mod tokens;
mod write;

use std::io;
use std::ops::Deref;
use std::sync::Arc;

use axum::http::Method;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::exchange::{Answer, HttpRequest};
use crate::fault::Refusal;
use crate::guarded::Guarded;
use crate::server::{Server, Service};

pub use crate::paged_search::{Served, TokenGone};
use entry::{Entry, EntryError};
use search::Searches;
pub use search::{EntryOrder, Paging};
use store::Store;
use tokens::Tokens;
use wire::{Code, LoggingError};

/// A running fake of Cloud Logging; dropping it stops it.
#[derive(Debug)]
pub struct CloudLogging {
    server: Server,
    logging: Arc<Logging>,
}

impl CloudLogging {
    /// Starts on a free port of the loopback address.
    pub async fn start() -> io::Result<Self> {
        let logging = Arc::new(Logging::default());
        Ok(Self { server: Server::start(Arc::clone(&logging)).await?, logging })
    }

    /// Returns the endpoint URL for a client.
    pub fn endpoint(&self) -> String {
        self.server.url()
    }

    /// Creates a project without entries. A search of a missing project is refused.
    pub fn create_project(&self, project: &str) {
        self.logging.state.lock().store.project_or_new(project);
    }

    /// Creates a log view of the entries of these projects. It is named such as
    /// `folders/1/locations/global/buckets/fleet/views/_AllLogs`.
    pub fn create_view(&self, name: &str, projects: &[&str]) {
        let projects = projects.iter().map(|project| (*project).to_owned()).collect();
        self.logging.state.lock().store.views.insert(name.to_owned(), projects);
    }

    /// Denies the caller a resource, such as `projects/acme`. A search that names it among others is refused as a whole, and
    /// the refusal does not say which of them it was.
    pub fn deny(&self, resource: &str) {
        self.logging.state.lock().store.denied.insert(resource.to_owned());
    }

    /// Adds a `LogEntry` in its JSON form to the project in its `logName`. Every search that begins later finds it. The
    /// fake fills in a missing `insertId`, `timestamp` or `receiveTimestamp`, as the cloud does.
    ///
    /// # Panics
    /// Panics on an invalid entry, which is a mistake of the test.
    pub fn ingest(&self, entry_json: &str) {
        let now = self.clock().now();
        self.take(entry(entry_json, now), Timestamp::MIN);
    }

    /// Adds an entry as [`CloudLogging::ingest`] does, but hides it from searches that begin before `visible_from`,
    /// like a late entry.
    ///
    /// # Panics
    /// Panics on an invalid entry.
    pub fn ingest_late(&self, entry_json: &str, visible_from: Timestamp) {
        self.take(entry(entry_json, visible_from), visible_from);
    }

    /// Adds all entries of a recorded answer of `entries.list`, and returns their number.
    ///
    /// # Panics
    /// Panics on another kind of answer, and on an invalid entry.
    pub fn ingest_answer(&self, answer_json: &str) -> usize {
        let now = self.clock().now();
        let answer: Value = serde_json::from_str(answer_json).unwrap_or_else(|error| panic!("invalid JSON: {error}"));
        let entries = answer["entries"].as_array().unwrap_or_else(|| panic!("the answer has no list `entries`"));
        for (index, value) in entries.iter().enumerate() {
            let made = Entry::new(value.clone(), now).unwrap_or_else(|error| panic!("entry {index}: {error}"));
            self.take(made, Timestamp::MIN);
        }
        entries.len()
    }

    /// Sets how answers are cut into pages and what goes wrong with them.
    pub fn set_paging(&self, paging: Paging) {
        self.logging.state.lock().searches.pages.paging = paging;
    }

    /// Invalidates all tokens, as 24 hours would.
    pub fn expire_tokens(&self) {
        self.logging.state.lock().searches.pages.forget();
    }

    /// Hides the logs of data access silently, as the cloud does from a caller with `roles/logging.viewer` and without
    /// `roles/logging.privateLogViewer`.
    pub fn hide_private_logs(&self, hidden: bool) {
        self.logging.state.lock().searches.hides_private_logs = hidden;
    }

    /// Accepts only requests with this bearer token; `None` accepts all requests again.
    pub fn require_token(&self, token: Option<&str>) {
        self.logging.state.lock().bearer = token.map(str::to_owned);
    }

    /// Lets the services that issue tokens give out these, one after the other, and the last one again and again.
    pub fn issue_tokens(&self, tokens: &[&str]) {
        self.logging.state.lock().tokens.issued = tokens.iter().map(|token| (*token).to_owned()).collect();
    }

    /// Lets STS exchange a token of another provider for this audience; with `account`, the token that is issued is good for
    /// nothing but a request to act as this service account.
    pub fn federate(&self, audience: &str, subject_token: &str, account: Option<&str>) {
        let tokens = &mut self.logging.state.lock().tokens;
        tokens.federated = Some((audience.to_owned(), subject_token.to_owned()));
        tokens.account = account.map(str::to_owned);
    }

    /// Lets OAuth renew the sign-in of the person who has this refresh token.
    pub fn sign_in(&self, refresh_token: &str) {
        self.logging.state.lock().tokens.refresh_token = Some(refresh_token.to_owned());
    }

    /// Returns what `entries.list` delivered so far.
    pub fn served(&self) -> Served {
        self.logging.state.lock().searches.pages.served
    }

    /// Returns the number of entries in a project, hidden ones included.
    pub fn stored_entries(&self, project: &str) -> usize {
        self.logging.state.lock().store.project(project).map_or(0, |project| project.len())
    }

    fn take(&self, entry: Entry, visible_from: Timestamp) {
        self.logging.state.lock().store.ingest(entry, visible_from);
    }
}

fn entry(json: &str, received: Timestamp) -> Entry {
    let parsed = serde_json::from_str(json).map_err(|error| EntryError(error.to_string()));
    parsed.and_then(|value| Entry::new(value, received)).unwrap_or_else(|error| panic!("invalid LogEntry: {error}"))
}

impl Deref for CloudLogging {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

#[derive(Debug, Default)]
struct Logging {
    state: Guarded<CloudLoggingState>,
}

#[derive(Debug, Default)]
struct CloudLoggingState {
    store: Store,
    searches: Searches,
    bearer: Option<String>,
    tokens: Tokens,
}

impl Service for Logging {
    const NAME: &'static str = "cloud-logging";

    fn target(&self, request: &HttpRequest) -> String {
        format!("{} {}", request.method, request.path)
    }

    fn answer(&self, request: &HttpRequest, now: Timestamp) -> Answer {
        if let Some(answer) = self.state.lock().tokens.answer(request, now) {
            return answer;
        }
        self.carry_out(request, now).map_or_else(|error| error.answer(), |body| wire::json(200, &body))
    }

    fn refuse(&self, refusal: Refusal, _request: &HttpRequest) -> Answer {
        LoggingError::from_refusal(refusal).answer()
    }
}

impl Logging {
    fn carry_out(&self, request: &HttpRequest, now: Timestamp) -> Result<Value, LoggingError> {
        let mut state = self.state.lock();
        let CloudLoggingState { store, searches, bearer, .. } = &mut *state;
        check_token(request, bearer.as_deref())?;
        match (&request.method, request.path.as_str()) {
            (&Method::POST, "/v2/entries:list") => searches.list_log_entries(store, input(request)?, now),
            (&Method::POST, "/v2/entries:write") => store.write_log_entries(&input(request)?, now),
            (method, path) => Err(LoggingError::new(Code::NotFound, format!("{method} {path} was not found"))),
        }
    }
}

fn check_token(request: &HttpRequest, wanted: Option<&str>) -> Result<(), LoggingError> {
    let brought = request.header("authorization").and_then(|header| header.strip_prefix("Bearer "));
    match wanted {
        Some(wanted) if brought != Some(wanted) => Err(LoggingError::unauthenticated()),
        _ => Ok(()),
    }
}

fn input<T: DeserializeOwned>(request: &HttpRequest) -> Result<T, LoggingError> {
    if request.content_type() != wire::CONTENT_TYPE {
        return Err(LoggingError::invalid(format!("Content-Type must be {}", wire::CONTENT_TYPE)));
    }
    serde_json::from_slice(&request.body).map_err(|error| {
        let message = format!("Invalid JSON payload received. {error}");
        LoggingError::invalid(message)
    })
}
