//! What is SNS's own in the AWS Query protocol: its errors.

use crate::aws_query::{QueryApi, QueryError};
use crate::fault::Refusal;

pub(super) const API: QueryApi =
    QueryApi { version: "2010-03-31", namespace: "http://sns.amazonaws.com/doc/2010-03-31/" };

pub(super) fn invalid(why: impl AsRef<str>) -> QueryError {
    QueryError::new(400, "InvalidParameter", format!("Invalid parameter: {}", why.as_ref()))
}

pub(super) fn invalid_value(why: impl AsRef<str>) -> QueryError {
    QueryError::new(400, "ParameterValueInvalid", format!("The message attribute is invalid: {}", why.as_ref()))
}

pub(super) fn topic_not_found() -> QueryError {
    QueryError::new(404, "NotFound", "Topic does not exist")
}

pub(super) fn refused(refusal: Refusal, action: &str) -> QueryError {
    match refusal {
        Refusal::Throttled => QueryError::new(400, "Throttling", "Rate exceeded"),
        Refusal::InternalError => QueryError::new(500, "InternalError", "injected internal error of the fake"),
        Refusal::Unavailable => QueryError::new(503, "ServiceUnavailable", "Service is unavailable"),
        Refusal::Denied => {
            let who = format!("arn:aws:iam::{}:user/fake", super::ACCOUNT);
            let why = "because no identity-based policy allows the action";
            let message = format!("User: {who} is not authorized to perform: SNS:{action} {why}");
            QueryError::new(403, "AuthorizationError", message)
        }
    }
}
