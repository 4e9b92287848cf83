//! Maps refusals of SNS to errors: by code if there is one, otherwise by status.

use std::error::Error;
use std::time::Duration;

use aws_sdk_sns::config::http::HttpResponse;
use aws_sdk_sns::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_sns::operation::publish::PublishError;
use stakeout_aws::{CredentialFailure, EXPIRED, credential_failure};
use stakeout_http::ExchangeError;
use stakeout_http::error_chain::find;

use crate::error::SendError;
use crate::http::quoted;

/// Transient codes below status 500 (<https://docs.aws.amazon.com/sns/latest/api/CommonErrors.html>,
/// <https://docs.aws.amazon.com/sns/latest/api/API_Publish.html>).
const TRANSIENT: [&str; 11] = [
    // The next message looks for new credentials.
    "ExpiredToken",
    "ExpiredTokenException",
    "Throttled",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "KMSThrottling",
    "KMSThrottlingException",
    "RequestLimitExceeded",
    "ServiceUnavailable",
    "InternalFailure",
];

/// Returns what the caller may do about a failed publication.
pub(super) fn send_error(failure: &SdkError<PublishError, HttpResponse>) -> SendError {
    match failure {
        SdkError::ServiceError(refusal) => refused(refusal.err(), refusal.raw()),
        // Status 200 with another answer than SNS gives, or a truncated one.
        SdkError::ResponseError(_) => SendError::later("status 200, but SNS did not answer"),
        SdkError::TimeoutError(_) => SendError::later("timed out"),
        SdkError::ConstructionFailure(_) => SendError::refused(error_chain(failure)),
        _ => unanswered(failure),
    }
}

/// Returns whether AWS refused credentials that have expired, so that new ones may help.
pub(super) fn is_expired(failure: &SdkError<PublishError, HttpResponse>) -> bool {
    failure.as_service_error().and_then(ProvideErrorMetadata::code).is_some_and(|code| EXPIRED.contains(&code))
}

fn refused(error: &PublishError, raw: &HttpResponse) -> SendError {
    let status = raw.status().as_u16();
    let code = error.code().unwrap_or("no code");
    let reason = quoted(&format!("status {status}: {code}: {}", error.message().unwrap_or("no message")));
    if status == 429 || !(400..500).contains(&status) || TRANSIENT.contains(&code) {
        return SendError::later_after(retry_after(raw), reason);
    }
    SendError::Refused { reason }
}

/// Maps a request without an answer. Missing credentials and a server that is not AWS need an operator; all other failures are transient.
fn unanswered(failure: &(dyn Error + 'static)) -> SendError {
    match (credential_failure(failure), find::<ExchangeError>(failure)) {
        (Some(CredentialFailure { reason, fix, is_final: true }), _) => {
            SendError::refused(format!("{} ({fix})", quoted(&reason)))
        }
        (None, Some(error @ ExchangeError::Misconfigured { .. })) => SendError::refused(error.to_string()),
        _ => SendError::later(error_chain(failure)),
    }
}

fn error_chain(failure: &(dyn Error + 'static)) -> String {
    quoted(&DisplayErrorContext(failure).to_string())
}

/// Returns how long SNS asks to wait.
fn retry_after(raw: &HttpResponse) -> Option<Duration> {
    stakeout_aws::retry_after(|name| raw.headers().get(name))
}
