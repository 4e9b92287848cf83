//! Log Analytics' query API with Microsoft Entra and the instance metadata service, all on one port.
//! <https://learn.microsoft.com/en-us/azure/azure-monitor/logs/api/overview>
//!
//! Queries are parsed and evaluated for real by [`crate::kql`]. Members of a request that the API does not know are
//! refused, where the cloud may be silent. A query without a token is answered unless
//! [`LogAnalytics::allow_anonymous`] says otherwise; a token that is not one of this fake's, or that its clock has
//! outlived, never is.

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

use crate::exchange::{Answer, Asked};
use crate::fault::Refusal;
use crate::guarded::Guarded;
pub use crate::kql::BadRow;
use crate::server::{Server, Service};

pub use entra::Proof;
use entra::{EntraError, Tokens};
pub use query::{Answering, RowOrder, Served};
use query::{Api, Searches};
pub use schema::columns;
pub use store::Plan;
use store::Store;
use wire::ApiError;

/// A running fake of Log Analytics; dropping it ends it.
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

    /// The base URL of the query API, of Entra (the authority host) and of the metadata service alike.
    pub fn endpoint(&self) -> String {
        self.server.url()
    }

    /// Puts a row, an object by column names, into a table, which is made where it is missing. It is visible to every
    /// query that begins after this. Columns that are left out are empty; `TimeGenerated` must be there.
    ///
    /// # Errors
    ///
    /// Where the workspace is no GUID, the table is not known, or the row does not fit the table's columns.
    pub fn ingest(&self, workspace: &str, table: &str, row: Value) -> Result<(), BadRow> {
        self.logs.state.lock().store.ingest(workspace, table, row)
    }

    /// Sets the plan of a table, which is made where it is missing.
    ///
    /// # Errors
    ///
    /// Where the workspace is no GUID, or the table is not known.
    pub fn set_plan(&self, workspace: &str, table: &str, plan: Plan) -> Result<(), BadRow> {
        self.logs.state.lock().store.table_or_new(workspace, table)?.plan = plan;
        Ok(())
    }

    /// Sets how queries are answered and what goes wrong with the answers.
    pub fn set_answering(&self, answering: Answering) {
        self.logs.state.lock().searches.answering = answering;
    }

    /// What was answered to queries so far.
    pub fn served(&self) -> Served {
        self.logs.state.lock().searches.served
    }

    /// The number of rows that a table holds.
    pub fn stored_rows(&self, workspace: &str, table: &str) -> usize {
        self.logs.state.lock().store.table(workspace, table).map_or(0, |table| table.rows.len())
    }

    /// Whether a query without a token is answered; so it is until this is told otherwise.
    pub fn allow_anonymous(&self, allowed: bool) {
        self.logs.state.lock().tokens.needs_token = !allowed;
    }

    /// Names an application and what it must prove itself with. Until the first is named, any application is believed.
    pub fn register(&self, client_id: &str, proof: Proof) {
        self.logs.state.lock().tokens.register(client_id, proof);
    }

    /// Sets for how long the tokens that are issued from now on are good; an hour until then.
    pub fn set_token_life(&self, life: Duration) {
        self.logs.state.lock().tokens.life = life;
    }

    /// Ends every token issued so far.
    pub fn expire_tokens(&self) {
        self.logs.state.lock().tokens.expire();
    }

    /// The number of tokens issued so far.
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
    state: Guarded<State>,
}

#[derive(Debug, Default)]
struct State {
    store: Store,
    searches: Searches,
    tokens: Tokens,
}

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place<'p> {
    Token,
    Discovery { tenant: &'p str },
    Metadata,
    Query { workspace: &'p str, api: Api },
    Nowhere,
}

impl<'p> Place<'p> {
    fn of(method: &Method, path: &'p str) -> Self {
        let steps: Vec<&str> = path.split('/').skip(1).collect();
        match (method, steps.as_slice()) {
            (&Method::POST, [_, "oauth2", "v2.0", "token"]) => Self::Token,
            (&Method::GET, [tenant, "v2.0", ".well-known", "openid-configuration"]) => Self::Discovery { tenant },
            (&Method::GET, ["metadata", "identity", "oauth2", "token"]) => Self::Metadata,
            (&Method::POST, ["v1", "workspaces", workspace, "query"]) => Self::Query { workspace, api: Api::Query },
            (&Method::POST, ["v1", "workspaces", workspace, "search"]) => Self::Query { workspace, api: Api::Search },
            _ => Self::Nowhere,
        }
    }
}

impl Service for Logs {
    const NAME: &'static str = "log-analytics";

    fn target(&self, asked: &Asked) -> String {
        format!("{} {}", asked.method, asked.path)
    }

    fn answer(&self, asked: &Asked, now: Timestamp) -> Answer {
        let mut state = self.state.lock();
        let State { store, searches, tokens } = &mut *state;
        match Place::of(&asked.method, &asked.path) {
            Place::Token => tokens.grant(asked, now).unwrap_or_else(|error| error.answer(now)),
            Place::Discovery { tenant } => entra::describe(tenant),
            Place::Metadata => metadata::token(asked, tokens, now),
            Place::Query { workspace, api } => {
                let authorized = tokens.authorize(asked, now);
                let answered = authorized.and_then(|()| searches.answer(asked, store, workspace, api, now));
                answered.unwrap_or_else(|error| error.answer())
            }
            Place::Nowhere => ApiError::path_not_found().answer(),
        }
    }

    fn refuse(&self, refusal: Refusal, asked: &Asked) -> Answer {
        match Place::of(&asked.method, &asked.path) {
            Place::Token | Place::Discovery { .. } => EntraError::from_refusal(refusal).answer(Timestamp::UNIX_EPOCH),
            Place::Metadata => metadata::refuse(refusal),
            Place::Query { .. } | Place::Nowhere => ApiError::from_refusal(refusal).answer(),
        }
    }
}
