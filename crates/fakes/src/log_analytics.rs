//! Log Analytics' query API with Microsoft Entra and the instance metadata service, all on one port.
//! <https://learn.microsoft.com/en-us/azure/azure-monitor/logs/api/overview>
//!
//! [`crate::kql`] parses and evaluates the queries. The fake refuses unknown members of a request, which the cloud may
//! ignore. It answers queries without a token unless [`LogAnalytics::allow_anonymous`] forbids it, and never those with
//! an unknown or expired token.

mod entra;
mod interval;
mod metadata;
mod query;
mod schema;
mod store;
mod wire;

use std::io;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::http::Method;
use jiff::Timestamp;
use serde_json::Value;

use crate::exchange::{Answer, HttpRequest};
use crate::fault::Refusal;
use crate::guarded::Guarded;
pub use crate::kql::BadRow;
use crate::server::{Server, Service};

pub use entra::Proof;
use entra::{EntraError, Tokens};
pub use query::{Answering, RowOrder, Served};
use query::{Api, Searches};
pub use schema::columns;
use store::Store;
pub use store::TablePlan;
use wire::ApiError;

/// A running fake of Log Analytics; dropping it stops it.
#[derive(Debug)]
pub struct LogAnalytics {
    server: Server,
    logs: Arc<Logs>,
}

impl LogAnalytics {
    /// Starts on a free port of the loopback address.
    pub async fn start() -> io::Result<Self> {
        let logs = Arc::new(Logs::default());
        Ok(Self { server: Server::start(Arc::clone(&logs)).await?, logs })
    }

    /// Returns the base URL of the query API, of Entra (the authority host) and of the metadata service.
    pub fn endpoint(&self) -> String {
        self.server.url()
    }

    /// Adds a row, an object by column names, to a table, and creates the table if it is missing. Every later query
    /// sees it. Missing columns are empty; `TimeGenerated` is required.
    ///
    /// # Errors
    ///
    /// If the workspace is not a GUID, the table is unknown, or the row does not fit the table's columns.
    pub fn ingest(&self, workspace: &str, table: &str, row: Value) -> Result<(), BadRow> {
        self.logs.state.lock().store.ingest(workspace, table, row)
    }

    /// Sets the plan of a table, and creates the table if it is missing.
    ///
    /// # Errors
    ///
    /// If the workspace is not a GUID, or the table is unknown.
    pub fn set_plan(&self, workspace: &str, table: &str, plan: TablePlan) -> Result<(), BadRow> {
        self.logs.state.lock().store.table_or_new(workspace, table)?.plan = plan;
        Ok(())
    }

    /// Sets how queries are answered and what goes wrong with the answers.
    pub fn set_answering(&self, answering: Answering) {
        self.logs.state.lock().searches.answering = answering;
    }

    /// Returns what queries received so far.
    pub fn served(&self) -> Served {
        self.logs.state.lock().searches.served
    }

    /// Returns the number of rows in a table.
    pub fn stored_rows(&self, workspace: &str, table: &str) -> usize {
        self.logs.state.lock().store.table(workspace, table).map_or(0, |table| table.rows.len())
    }

    /// Sets whether queries without a token are answered; the default is yes.
    pub fn allow_anonymous(&self, allowed: bool) {
        self.logs.state.lock().tokens.needs_token = !allowed;
    }

    /// Registers an application with its credential. Until the first is registered, any application is accepted.
    pub fn register(&self, client_id: &str, proof: Proof) {
        self.logs.state.lock().tokens.register(client_id, proof);
    }

    /// Sets the life of all tokens that are issued later; the default is an hour.
    pub fn set_token_life(&self, life: Duration) {
        self.logs.state.lock().tokens.life = life;
    }

    /// Expires all tokens.
    pub fn expire_tokens(&self) {
        self.logs.state.lock().tokens.expire();
    }

    /// Returns the token that is issued next.
    pub fn next_token(&self) -> String {
        self.logs.state.lock().tokens.next()
    }

    /// Returns the number of tokens issued so far.
    pub fn tokens_issued(&self) -> u64 {
        self.logs.state.lock().tokens.issued()
    }
}

impl Deref for LogAnalytics {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

#[derive(Debug, Default)]
struct Logs {
    state: Guarded<LogAnalyticsState>,
}

#[derive(Debug, Default)]
struct LogAnalyticsState {
    store: Store,
    searches: Searches,
    tokens: Tokens,
}

/// The service behind a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route<'p> {
    Token,
    Discovery { tenant: &'p str },
    Metadata,
    Query { workspace: &'p str, api: Api },
    Unknown,
}

impl<'p> Route<'p> {
    fn of(method: &Method, path: &'p str) -> Self {
        let steps: Vec<&str> = path.split('/').skip(1).collect();
        match (method, steps.as_slice()) {
            (&Method::POST, [_, "oauth2", "v2.0", "token"]) => Self::Token,
            (&Method::GET, [tenant, "v2.0", ".well-known", "openid-configuration"]) => Self::Discovery { tenant },
            (&Method::GET, ["metadata", "identity", "oauth2", "token"]) => Self::Metadata,
            (&Method::POST, ["v1", "workspaces", workspace, "query"]) => Self::Query { workspace, api: Api::Query },
            (&Method::POST, ["v1", "workspaces", workspace, "search"]) => Self::Query { workspace, api: Api::Search },
            _ => Self::Unknown,
        }
    }
}

impl Service for Logs {
    const NAME: &'static str = "log-analytics";

    fn target(&self, request: &HttpRequest) -> String {
        format!("{} {}", request.method, request.path)
    }

    fn answer(&self, request: &HttpRequest, now: Timestamp) -> Answer {
        let mut state = self.state.lock();
        let LogAnalyticsState { store, searches, tokens } = &mut *state;
        match Route::of(&request.method, &request.path) {
            Route::Token => tokens.grant(request, now).unwrap_or_else(|error| error.answer(now)),
            Route::Discovery { tenant } => entra::describe(tenant),
            Route::Metadata => metadata::token(request, tokens, now),
            Route::Query { workspace, api } => {
                let authorized = tokens.authorize(request, now);
                let answered = authorized.and_then(|()| searches.answer(request, store, workspace, api, now));
                answered.unwrap_or_else(|error| error.answer())
            }
            Route::Unknown => ApiError::path_not_found().answer(),
        }
    }

    fn refuse(&self, refusal: Refusal, request: &HttpRequest) -> Answer {
        match Route::of(&request.method, &request.path) {
            Route::Token | Route::Discovery { .. } => EntraError::from_refusal(refusal).answer(Timestamp::UNIX_EPOCH),
            Route::Metadata => metadata::refuse(refusal),
            Route::Query { .. } | Route::Unknown => ApiError::from_refusal(refusal).answer(),
        }
    }
}
