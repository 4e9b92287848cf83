//! The AWS JSON 1.1 shapes of CloudWatch Logs: errors, and the checks that name a member.

use serde_json::{Value, json};

use crate::exchange::Answer;
use crate::fault::Refusal;
use crate::sigv4::Unsigned;

pub(super) const CONTENT_TYPE: &str = "application/x-amz-json-1.1";

/// Returns a successful answer; operations without output have an empty body.
pub(super) fn json(status: u16, body: Option<Value>) -> Answer {
    Answer::new(status, CONTENT_TYPE, body.map(|body| body.to_string()).unwrap_or_default())
        .with_header("x-amzn-requestid", "00000000-0000-4000-8000-000000000000")
}

/// An error as the SDKs read it: `__type` and `message`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LogsError {
    status: u16,
    code: &'static str,
    message: String,
}

impl LogsError {
    fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    pub(super) fn not_found(what: &str) -> Self {
        Self::new(400, "ResourceNotFoundException", format!("The specified {what} does not exist."))
    }

    pub(super) fn already_exists(what: &str) -> Self {
        Self::new(400, "ResourceAlreadyExistsException", format!("The specified {what} already exists"))
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, "InvalidParameterException", message)
    }

    pub(super) fn token_gone() -> Self {
        Self::invalid("The specified nextToken is invalid.")
    }

    pub(super) fn serialization(message: impl Into<String>) -> Self {
        Self::new(400, "SerializationException", message)
    }

    pub(super) fn unknown_operation(target: &str) -> Self {
        Self::new(400, "UnknownOperationException", format!("{target:?} is no operation of this fake"))
    }

    /// The documentation of log classes says only that the operation is not supported. This is the API's name for
    /// operations that do not fit the resource.
    pub(super) fn class_without_search() -> Self {
        let message = "FilterLogEvents is not supported for log groups of this log class.";
        Self::new(400, "InvalidOperationException", message)
    }

    pub(super) fn from_refusal(refusal: Refusal, operation: &str) -> Self {
        match refusal {
            Refusal::Throttled => Self::new(400, "ThrottlingException", "Rate exceeded"),
            Refusal::InternalError => Self::new(500, "InternalFailure", "injected internal error of the fake"),
            Refusal::Unavailable => {
                Self::new(503, "ServiceUnavailableException", "The service cannot complete the request.")
            }
            Refusal::Denied => {
                let who = format!("arn:aws:iam::{}:user/fake", super::ACCOUNT);
                let why = "because no identity-based policy allows the action";
                let message = format!("User: {who} is not authorized to perform: logs:{operation} {why}");
                Self::new(400, "AccessDeniedException", message)
            }
        }
    }

    pub(super) fn answer(&self) -> Answer {
        json(self.status, Some(json!({"__type": self.code, "message": self.message})))
    }
}

impl From<Unsigned> for LogsError {
    fn from(unsigned: Unsigned) -> Self {
        match unsigned {
            Unsigned::MissingToken => {
                Self::new(400, "MissingAuthenticationTokenException", "Missing Authentication Token")
            }
            Unsigned::Incomplete(why) => Self::new(400, "IncompleteSignatureException", why),
            Unsigned::Mismatch(why) => Self::new(400, "InvalidSignatureException", why),
        }
    }
}

/// Refuses a value that violates a constraint, with the message of the cloud.
pub(super) fn constrain(holds: bool, member: &str, value: &str, constraint: &str) -> Result<(), LogsError> {
    if holds {
        return Ok(());
    }
    Err(LogsError::invalid(format!(
        "1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: Member must {constraint}"
    )))
}

/// Refuses a text whose length is out of bounds.
pub(super) fn constrain_length(member: &str, value: &str, max: usize) -> Result<(), LogsError> {
    let fits = !value.is_empty() && value.chars().count() <= max;
    constrain(fits, member, value, &format!("have length between 1 and {max}"))
}

/// Refuses a number that is out of bounds.
pub(super) fn constrain_range(member: &str, value: i64, min: i64, max: i64) -> Result<(), LogsError> {
    let constraint = format!("have value between {min} and {max}");
    constrain((min..=max).contains(&value), member, &value.to_string(), &constraint)
}
