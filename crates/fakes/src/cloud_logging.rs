//! Cloud Logging over REST: `entries.list`, and as much of `entries.write` as loading data needs.
//! <https://cloud.google.com/logging/docs/reference/v2/rest/v2/entries/list>
//!
//! A project is there once it has an entry or was created; any other is refused, and so is all that is no project:
//! organizations, folders, billing accounts and log views. Members that the API does not know are refused, as the API
//! does. Whoever asks is let in, with a bearer token or without, until [`CloudLogging::require_token`].

mod entry;
mod search;
mod store;
mod wire;
mod write;

use std::io;
use std::ops::Deref;
use std::sync::Arc;

use axum::http::Method;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::exchange::{Answer, Asked};
use crate::fault::Refusal;
use crate::guarded::Guarded;
use crate::server::{Server, Service};

pub use crate::paged_search::{Served, TokenGone};
use entry::{Entry, EntryError};
use search::Searches;
pub use search::{EntryOrder, Paging};
use store::Store;
use wire::{Code, LoggingError};

/// A running fake of Cloud Logging; dropping it ends it.
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

    /// The endpoint URL to give to a client.
    pub fn endpoint(&self) -> String {
        self.server.url()
    }

    /// Makes a project without entries; a search of one that is not there is refused.
    pub fn create_project(&self, project: &str) {
        self.logging.state.lock().store.project_or_new(project);
    }

    /// Puts a `LogEntry` in its JSON form into the project that its `logName` names. Every search that begins after this
    /// finds it. A missing `insertId`, `timestamp` or `receiveTimestamp` is given as the cloud gives it.
    ///
    /// # Panics
    /// Panics on what is no valid entry, for that is a mistake of the test.
    pub fn ingest(&self, entry_json: &str) {
        let now = self.clock().now();
        self.take(entry(entry_json, now), Timestamp::MIN);
    }

    /// Puts an entry in as [`CloudLogging::ingest`] does, but hides it from all searches that begin before a moment: a
    /// log that was late.
    ///
    /// # Panics
    /// Panics on what is no valid entry.
    pub fn ingest_late(&self, entry_json: &str, visible_from: Timestamp) {
        self.take(entry(entry_json, visible_from), visible_from);
    }

    /// Puts in all entries of a recorded answer of `entries.list`, and answers how many there were.
    ///
    /// # Panics
    /// Panics on what is no such answer, or holds an entry that is not valid.
    pub fn ingest_answer(&self, answer_json: &str) -> usize {
        let now = self.clock().now();
        let answer: Value = serde_json::from_str(answer_json).unwrap_or_else(|error| panic!("no JSON: {error}"));
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

    /// Makes every token given so far invalid, as 24 hours would.
    pub fn expire_tokens(&self) {
        self.logging.state.lock().searches.pages.forget();
    }

    /// Hides the logs of data access, without a word, as the cloud does from who has `roles/logging.viewer` and lacks
    /// `roles/logging.privateLogViewer`.
    pub fn hide_private_logs(&self, hidden: bool) {
        self.logging.state.lock().searches.hides_private_logs = hidden;
    }

    /// Lets in only who brings this bearer token; `None` lets in everybody again.
    pub fn require_token(&self, token: Option<&str>) {
        self.logging.state.lock().bearer = token.map(str::to_owned);
    }

    /// What `entries.list` handed out so far.
    pub fn served(&self) -> Served {
        self.logging.state.lock().searches.pages.served
    }

    /// The number of entries that a project holds, hidden ones included.
    pub fn stored_entries(&self, project: &str) -> usize {
        self.logging.state.lock().store.project(project).map_or(0, |project| project.len())
    }

    fn take(&self, entry: Entry, visible_from: Timestamp) {
        self.logging.state.lock().store.ingest(entry, visible_from);
    }
}

fn entry(json: &str, received: Timestamp) -> Entry {
    let parsed = serde_json::from_str(json).map_err(|error| EntryError(error.to_string()));
    parsed.and_then(|value| Entry::new(value, received)).unwrap_or_else(|error| panic!("no valid LogEntry: {error}"))
}

impl Deref for CloudLogging {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

#[derive(Debug, Default)]
struct Logging {
    state: Guarded<State>,
}

#[derive(Debug, Default)]
struct State {
    store: Store,
    searches: Searches,
    bearer: Option<String>,
}

impl Service for Logging {
    const NAME: &'static str = "cloud-logging";

    fn target(&self, asked: &Asked) -> String {
        format!("{} {}", asked.method, asked.path)
    }

    fn answer(&self, asked: &Asked, now: Timestamp) -> Answer {
        self.carry_out(asked, now).map_or_else(|error| error.answer(), |body| wire::json(200, &body))
    }

    fn refuse(&self, refusal: Refusal, _asked: &Asked) -> Answer {
        LoggingError::from_refusal(refusal).answer()
    }
}

impl Logging {
    fn carry_out(&self, asked: &Asked, now: Timestamp) -> Result<Value, LoggingError> {
        let mut state = self.state.lock();
        let State { store, searches, bearer } = &mut *state;
        check_token(asked, bearer.as_deref())?;
        match (&asked.method, asked.path.as_str()) {
            (&Method::POST, "/v2/entries:list") => searches.list_log_entries(store, input(asked)?, now),
            (&Method::POST, "/v2/entries:write") => store.write_log_entries(&input(asked)?, now),
            (method, path) => Err(LoggingError::new(Code::NotFound, format!("{method} {path} was not found"))),
        }
    }
}

fn check_token(asked: &Asked, wanted: Option<&str>) -> Result<(), LoggingError> {
    let brought = asked.header("authorization").and_then(|header| header.strip_prefix("Bearer "));
    match wanted {
        Some(wanted) if brought != Some(wanted) => Err(LoggingError::unauthenticated()),
        _ => Ok(()),
    }
}

fn input<T: DeserializeOwned>(asked: &Asked) -> Result<T, LoggingError> {
    if asked.content_type() != wire::CONTENT_TYPE {
        return Err(LoggingError::invalid(format!("Content-Type must be {}", wire::CONTENT_TYPE)));
    }
    serde_json::from_slice(&asked.body).map_err(|error| {
        let message = format!("Invalid JSON payload received. {error}");
        LoggingError::invalid(message)
    })
}
