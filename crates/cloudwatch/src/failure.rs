//! Maps a failed request to what the caller may do about it, and names the fix for a person.
//!
//! Nothing here retries or waits.

use std::error::Error;
use std::time::Duration;

use aws_sdk_cloudwatchlogs::config::http::HttpResponse;
use aws_sdk_cloudwatchlogs::error::{ErrorMetadata, ProvideErrorMetadata, SdkError};
use aws_sdk_cloudwatchlogs::operation::filter_log_events::FilterLogEventsError;
use stakeout_aws::{CredentialFailure, EXPIRED, credential_failure};
use stakeout_core::record::FetchError;
use stakeout_core::text;
use stakeout_http::error_chain::{find, message};
use stakeout_http::{ExchangeError, web_page};

/// The codes that AWS services answer with when asked too often.
/// <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/CommonErrors.html>
const THROTTLED: &[&str] = &[
    "ThrottlingException",
    "Throttling",
    "ThrottledException",
    "RequestThrottled",
    "RequestThrottledException",
    "LimitExceeded",
    "LimitExceededException",
    "RequestLimitExceeded",
    "TooManyRequests",
    "TooManyRequestsException",
];
/// The codes below 500 that are temporary.
const TEMPORARY: &[&str] = &[
    "RequestTimeout",
    "RequestTimeoutException",
    "ServiceUnavailable",
    "ServiceUnavailableException",
    "InternalFailure",
];

/// The error of the SDK for a page.
pub(crate) type FilterFailure = SdkError<FilterLogEventsError, HttpResponse>;

/// What a request was for, as its errors name it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    /// The action that a policy must allow.
    pub(crate) action: &'static str,
    /// The log group that it is about; `None` if it is about all of them.
    pub(crate) log_group: Option<&'a str>,
    /// Whether it carried a token, so that everything else in it was accepted before.
    pub(crate) is_continued: bool,
}

/// Returns what the caller may do.
pub(crate) fn fetch_error<E>(failure: &SdkError<E, HttpResponse>, asked: Asked<'_>) -> FetchError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match failure {
        SdkError::ServiceError(refusal) => refused(refusal.err().meta(), refusal.raw(), asked, failure),
        _ => unanswered(failure),
    }
}

/// Returns whether the service refused credentials that have expired, so that new ones may help.
pub(crate) fn is_expired<E: ProvideErrorMetadata>(failure: &SdkError<E, HttpResponse>) -> bool {
    let code = failure.as_service_error().and_then(|error| error.meta().code());
    code.is_some_and(|code| EXPIRED.contains(&code))
}

/// Returns whether the service did not understand the filter pattern, as opposed to any other part of the request.
pub(crate) fn is_pattern_refused(failure: &FilterFailure) -> bool {
    let about_pattern = |meta: &ErrorMetadata| {
        let message = meta.message().unwrap_or("").to_ascii_lowercase();
        message.contains("filter pattern") || message.contains("filterpattern")
    };
    failure
        .as_service_error()
        .is_some_and(|error| error.is_invalid_parameter_exception() && about_pattern(error.meta()))
}

/// Maps an answer that is no page. A body that cannot be read, of whatever status, comes here without a code.
fn refused(meta: &ErrorMetadata, raw: &HttpResponse, asked: Asked<'_>, failure: &(dyn Error + 'static)) -> FetchError {
    let status = raw.status().as_u16();
    let page = raw.body().bytes().and_then(|body| web_page(status, raw.headers().get("content-type"), body));
    let Some(code) = meta.code() else {
        return match status {
            400..=428 | 430..=499 if page.is_some() => FetchError::Denied { reason: page.unwrap_or_default() },
            _ if page.is_some() && !is_limit(status, raw) => {
                FetchError::Unavailable { reason: page.unwrap_or_default() }
            }
            _ if is_limit(status, raw) => {
                FetchError::Throttled { retry_after: retry_after(raw), reason: format!("http status {status}") }
            }
            _ => {
                FetchError::Unavailable { reason: text::reason(&format!("http status {status}, {}", message(failure))) }
            }
        };
    };
    let reason = text::reason(&format!("{code}: {}", meta.message().unwrap_or("no message")));
    if THROTTLED.contains(&code) || is_limit(status, raw) {
        return FetchError::Throttled { retry_after: retry_after(raw), reason };
    }
    if status >= 500 || TEMPORARY.contains(&code) {
        return FetchError::Unavailable { reason };
    }
    if code == "InvalidParameterException" && asked.is_continued {
        return FetchError::TokenGone { reason };
    }
    FetchError::Denied { reason: format!("{reason} ({})", fix(code, asked)) }
}

/// Maps a request that got no answer, or half of one. Missing credentials and a server that is not AWS need a person; the
/// rest is a problem of the network.
fn unanswered(failure: &(dyn Error + 'static)) -> FetchError {
    if let Some(CredentialFailure { reason, fix, is_final }) = credential_failure(failure) {
        let reason = format!("{} ({fix})", text::reason(&reason));
        return if is_final { FetchError::Denied { reason } } else { FetchError::Unavailable { reason } };
    }
    match find::<ExchangeError>(failure) {
        Some(error @ ExchangeError::TooLong { .. }) => FetchError::Denied {
            reason: format!(
                "{error} (check which server answers at the source's endpoint: AWS sends at most 1 MB of events)"
            ),
        },
        Some(error @ ExchangeError::Misconfigured { .. }) => FetchError::Denied { reason: error.to_string() },
        _ => FetchError::Unavailable { reason: text::reason(&message(failure)) },
    }
}

/// Returns the fix for a permanent error.
fn fix(code: &str, asked: Asked<'_>) -> String {
    let log_group = match asked.log_group {
        Some(log_group) => format!("log group {log_group}"),
        None => "the log groups of this region".to_owned(),
    };
    match code {
        "ResourceNotFoundException" => format!(
            "{log_group} does not exist in this account and region, or audit logging is off: turn the cluster's control plane log type audit on"
        ),
        "InvalidOperationException" => format!(
            "{log_group} cannot be filtered if its class is INFREQUENT_ACCESS: the log must go to a STANDARD group"
        ),
        "AccessDeniedException" | "AccessDenied" => {
            format!("allow {} on {log_group}", asked.action)
        }
        "ExpiredTokenException" | "ExpiredToken" => "renew the session credentials".to_owned(),
        "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException" => {
            "check the access key and that it belongs to this partition and an enabled region".to_owned()
        }
        "InvalidSignatureException" | "SignatureDoesNotMatch" | "RequestExpired" => {
            "check the secret key and this machine's clock".to_owned()
        }
        _ => "correct the source's config".to_owned(),
    }
}

/// Returns whether the status alone asks for fewer requests: too many came, or the service is busy and names a wait.
fn is_limit(status: u16, raw: &HttpResponse) -> bool {
    status == 429 || (status == 503 && retry_after(raw).is_some())
}

/// Returns how long the service asks to wait.
fn retry_after(raw: &HttpResponse) -> Option<Duration> {
    stakeout_aws::retry_after(|name| raw.headers().get(name))
}

#[cfg(test)]
mod tests {
    use aws_credential_types::provider::error::CredentialsError;
    use aws_sdk_cloudwatchlogs::error::ConnectorError;

    use stakeout_aws::CREDENTIALS_FIX;
    use stakeout_core::text::REASON_CHARS_MAX;

    use super::*;

    fn unsigned(cause: CredentialsError) -> FetchError {
        let failure: FilterFailure = SdkError::dispatch_failure(ConnectorError::other(cause.into(), None));
        fetch_error(&failure, Asked { action: "logs:FilterLogEvents", log_group: Some("audit"), is_continued: false })
    }

    #[test]
    fn missing_and_wrong_credentials_are_denied_and_slow_ones_are_not() {
        assert!(
            matches!(unsigned(CredentialsError::not_loaded_no_source()), FetchError::Denied { reason } if reason.contains("AWS_PROFILE"))
        );
        assert!(
            matches!(unsigned(CredentialsError::invalid_configuration("no such profile")), FetchError::Denied { reason } if reason.contains("no such profile"))
        );
        assert!(matches!(
            unsigned(CredentialsError::provider_timed_out(Duration::from_secs(5))),
            FetchError::Unavailable { .. }
        ));
        assert!(matches!(unsigned(CredentialsError::provider_error("imds is down")), FetchError::Unavailable { .. }));
    }

    #[test]
    fn the_text_of_an_error_is_bounded() {
        let FetchError::Unavailable { reason } = unsigned(CredentialsError::provider_error("x".repeat(5_000))) else {
            panic!("not unavailable")
        };
        assert_eq!(reason.chars().count(), REASON_CHARS_MAX + format!(" ({CREDENTIALS_FIX})").len());
    }
}
