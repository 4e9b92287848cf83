//! The JSON of the query API: tables, and the errors of the cloud.
//! <https://learn.microsoft.com/en-us/azure/azure-monitor/logs/api/errors>
//!
//! Where the documentation lacks a message, it is taken from threads of Microsoft's SDKs.

use serde_json::{Value as Json, json};

use crate::exchange::Answer;
use crate::fault::Refusal;
use crate::kql::{Column, KqlError, Row};

pub(super) const CONTENT_TYPE: &str = "application/json; charset=utf-8";

/// An error of the API, with its inner errors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ApiError {
    status: u16,
    error: Json,
}

impl ApiError {
    fn new(status: u16, code: &str, message: &str) -> Self {
        Self { status, error: json!({"message": message, "code": code, "correlationId": CORRELATION_ID}) }
    }

    fn with_inner(mut self, inner: Json) -> Self {
        self.error["innererror"] = inner;
        self
    }

    fn bad_argument(inner: Json) -> Self {
        Self::new(400, "BadArgumentError", "The request had some invalid properties").with_inner(inner)
    }

    /// A request with an invalid body or header.
    pub(super) fn invalid(message: &str) -> Self {
        Self::bad_argument(json!({"code": "ValidationError", "message": message}))
    }

    /// A query that this fake refuses and the cloud accepts, or whose error message is unknown.
    pub(super) fn not_here(message: &str) -> Self {
        Self::bad_argument(json!({"code": "NotInThisStandIn", "message": message}))
    }

    pub(super) fn path_not_found() -> Self {
        Self::new(404, "PathNotFoundError", "The requested path does not exist")
    }

    pub(super) fn unauthenticated() -> Self {
        Self::new(401, "AuthorizationRequiredError", "Valid authentication was not provided")
    }

    pub(super) fn bad_token(why: &str) -> Self {
        let inner = json!({"code": "InvalidToken", "message": why});
        Self::new(401, "InvalidTokenError", "The provided authentication is not valid for this resource")
            .with_inner(inner)
    }

    /// A query whose answer would take longer than the caller waits.
    pub(super) fn timed_out() -> Self {
        Self::new(504, "GatewayTimeout", "The query was aborted, for it took longer than its timeout allows")
    }

    pub(super) fn from_refusal(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Throttled => Self::new(429, "ThrottledError", "Rate limit is exceeded"),
            Refusal::InternalError => Self::new(500, "InternalServerError", "injected internal error of the fake"),
            Refusal::Unavailable => Self::new(503, "ServiceUnavailableError", "The service is not available"),
            Refusal::Denied => {
                let message = "The provided credentials have insufficient access to perform the requested operation";
                let who = "The service principal does not have sufficient permissions to access this resource";
                let inner = json!({"code": "UnauthorizedClient", "message": who});
                Self::new(403, "InsufficientAccessError", message).with_inner(inner)
            }
        }
    }

    pub(super) fn answer(&self) -> Answer {
        Answer::new(self.status, CONTENT_TYPE, json!({"error": self.error}).to_string())
    }
}

impl From<KqlError> for ApiError {
    fn from(error: KqlError) -> Self {
        match error {
            KqlError::Syntax(syntax) => Self::bad_argument(json!({
                "code": "SyntaxError",
                "message": "A recognition error occurred in the query.",
                "innererror": {
                    "code": "SYN0002",
                    "message": syntax.to_string(),
                    "line": syntax.line,
                    "pos": syntax.column,
                    "token": syntax.token,
                },
            })),
            KqlError::Semantic { code, message } => Self::bad_argument(json!({
                "code": "SemanticError",
                "message": "A semantic error occurred.",
                "innererror": {"code": code, "message": message},
            })),
            KqlError::Unsupported(what) => Self::not_here(&format!("this fake does not support {what}")),
        }
    }
}

const CORRELATION_ID: &str = "00000000-0000-4000-8000-000000000000";

/// Returns the error beside the tables of a partial answer, which has status 200.
/// <https://learn.microsoft.com/en-us/azure/azure-monitor/logs/api/response-format>
pub(super) fn partial_error(limit: usize) -> Json {
    let too_large = format!(
        "Query result set has exceeded the internal record count limit {limit} \
         (E_QUERY_RESULT_SET_TOO_LARGE; see https://aka.ms/kustoquerylimits)"
    );
    let inner = json!({"code": "-2133196797", "message": too_large, "severity": 2, "severityName": "Error"});
    let message = "Something went wrong processing your query on the server.";
    json!({
        "code": "PartialError",
        "message": "There were some errors when processing your query.",
        "details": [{"code": "EngineError", "message": message, "innererror": inner}],
    })
}

/// Returns the answer to a query: one table, and an error if it is partial.
pub(super) fn tables(columns: &[Column], rows: &[Row], error: Option<Json>) -> Answer {
    let columns: Vec<Json> =
        columns.iter().map(|column| json!({"name": column.name, "type": column.kind.as_str()})).collect();
    let rows: Vec<Vec<Json>> = rows.iter().map(|row| row.iter().map(crate::kql::Cell::to_cell).collect()).collect();
    let mut body = json!({"tables": [{"name": "PrimaryResult", "columns": columns, "rows": rows}]});
    if let Some(error) = error {
        body["error"] = error;
    }
    Answer::new(200, CONTENT_TYPE, body.to_string())
}
