//! The REST format of Google's APIs: a `google.rpc.Status` under `error`.
//! <https://cloud.google.com/apis/design/errors>

use serde_json::{Value, json};

use crate::exchange::Answer;
use crate::fault::Refusal;

pub(super) const CONTENT_TYPE: &str = "application/json";

/// An answer with a body.
pub(super) fn json(status: u16, body: &Value) -> Answer {
    Answer::new(status, "application/json; charset=UTF-8", body.to_string())
}

/// The codes of `google.rpc.Code` that occur here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    InvalidArgument,
    Unauthenticated,
    PermissionDenied,
    NotFound,
    ResourceExhausted,
    Internal,
    Unavailable,
}

impl Code {
    fn http_and_name(self) -> (u16, &'static str) {
        match self {
            Self::InvalidArgument => (400, "INVALID_ARGUMENT"),
            Self::Unauthenticated => (401, "UNAUTHENTICATED"),
            Self::PermissionDenied => (403, "PERMISSION_DENIED"),
            Self::NotFound => (404, "NOT_FOUND"),
            Self::ResourceExhausted => (429, "RESOURCE_EXHAUSTED"),
            Self::Internal => (500, "INTERNAL"),
            Self::Unavailable => (503, "UNAVAILABLE"),
        }
    }
}

/// An error in the form that clients read: the HTTP status, the name of the code, a message and details.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct LoggingError {
    code: Code,
    message: String,
    details: Vec<Value>,
}

impl LoggingError {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), details: Vec::new() }
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgument, message)
    }

    /// An invalid value of a member; its name is in the details, as in answers of Google's front end.
    pub(super) fn invalid_field(field: &str, description: impl Into<String>) -> Self {
        let description = description.into();
        let violations = json!([{"field": field, "description": description}]);
        let details =
            vec![json!({"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": violations})];
        Self { details, ..Self::invalid(format!("{field}: {description}")) }
    }

    pub(super) fn token_gone() -> Self {
        Self::invalid("page_token doesn't match arguments from the request, or has expired")
    }

    pub(super) fn unauthenticated() -> Self {
        let message = "Request had invalid authentication credentials. Expected OAuth 2 access token.";
        let error = Self::new(Code::Unauthenticated, message);
        Self { details: vec![error_info("ACCESS_TOKEN_TYPE_UNSUPPORTED")], ..error }
    }

    pub(super) fn denied() -> Self {
        let error = Self::new(Code::PermissionDenied, "The caller does not have permission");
        Self { details: vec![error_info("IAM_PERMISSION_DENIED")], ..error }
    }

    pub(super) fn from_refusal(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Throttled => {
                let message = "Quota exceeded for quota metric 'Read requests' and limit 'Read requests per minute' of service 'logging.googleapis.com' for consumer 'project_number:1'.";
                let error = Self::new(Code::ResourceExhausted, message);
                Self { details: vec![error_info("RATE_LIMIT_EXCEEDED")], ..error }
            }
            Refusal::InternalError => Self::new(Code::Internal, "Internal error encountered."),
            Refusal::Unavailable => Self::new(Code::Unavailable, "The service is currently unavailable."),
            Refusal::Denied => Self::denied(),
        }
    }

    pub(super) fn answer(&self) -> Answer {
        let (http, name) = self.code.http_and_name();
        let mut error = json!({"code": http, "message": self.message, "status": name});
        if !self.details.is_empty() {
            error["details"] = json!(self.details);
        }
        json(http, &json!({"error": error}))
    }
}

fn error_info(reason: &str) -> Value {
    json!({
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": reason,
        "domain": "googleapis.com",
        "metadata": {"service": "logging.googleapis.com"},
    })
}
