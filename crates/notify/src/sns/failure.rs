//! What a refusal of SNS allows: by its code where it has one, else by its status.

use std::error::Error;
use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_sns::config::http::HttpResponse;
use aws_sdk_sns::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_sns::operation::publish::PublishError;
use stakeout_http::error_chain::find;

use crate::error::SendError;
use crate::http::quoted;

/// Codes below status 500 that pass by themselves
/// (<https://docs.aws.amazon.com/sns/latest/api/CommonErrors.html>, <https://docs.aws.amazon.com/sns/latest/api/API_Publish.html>).
const PASSING: [&str; 11] = [
    // The credentials chain brings new ones.
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
        // Status 200 without an answer of SNS's, or half of one.
        SdkError::ResponseError(_) => SendError::later("the answer is not one of SNS"),
        SdkError::TimeoutError(_) => SendError::later("timed out"),
        SdkError::ConstructionFailure(_) => SendError::refused(words(failure)),
        _ => unanswered(failure),
    }
}

fn refused(error: &PublishError, raw: &HttpResponse) -> SendError {
    let status = raw.status().as_u16();
    let code = error.code().unwrap_or("no code");
    let reason = quoted(&format!("status {status}: {code}: {}", error.message().unwrap_or("no message")));
    if status == 429 || !(400..500).contains(&status) || PASSING.contains(&code) {
        return SendError::later_after(retry_after(raw), reason);
    }
    SendError::Refused { reason }
}

/// Maps a request that got no answer. Without credentials only somebody with permissions can help; the rest is the way's fault.
fn unanswered(failure: &(dyn Error + 'static)) -> SendError {
    match find::<CredentialsError>(failure) {
        Some(CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_)) => {
            SendError::refused(format!("no credentials: {}", words(failure)))
        }
        _ => SendError::later(words(failure)),
    }
}

fn words(failure: &(dyn Error + 'static)) -> String {
    quoted(&DisplayErrorContext(failure).to_string())
}

/// Returns how long SNS asks to wait.
fn retry_after(raw: &HttpResponse) -> Option<Duration> {
    stakeout_aws::retry_after(|name| raw.headers().get(name))
}
