//! Maps a failed request to what the caller may do about it, and names the fix for a person.
//!
//! Nothing here retries or waits.

use std::time::Duration;

use google_cloud_gax::client_builder;
use google_cloud_gax::error::rpc::{Code, StatusDetails};
use google_cloud_gax::error::{CredentialsError, Error};
use stakeout_core::record::FetchError;
use stakeout_core::text;
use stakeout_http::error_chain::{find, message, root_message};

use crate::config::CloudLoggingConfig;

/// The fix for missing or refused credentials.
pub(crate) const CREDENTIALS_FIX: &str = "give the pod a Kubernetes service account with workload identity, set \
    GOOGLE_APPLICATION_CREDENTIALS, or run `gcloud auth application-default login`";

/// Why a page did not come.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The endpoint must not be asked without a credential.
    CredentialNotAllowed,
    /// No client can be built: the credentials are missing or unreadable.
    NoClient(client_builder::Error),
    /// The answer took longer than this limit.
    TimedOut(Duration),
    /// The service refused, or the connection failed.
    RequestFailed(Error),
}

/// What a failure means, with the fix apart from the reason.
#[derive(Debug)]
pub(crate) enum FailureMeaning {
    /// Too many requests.
    Throttled { retry_after: Option<Duration>, reason: String },
    /// It is temporary.
    Unavailable { reason: String },
    /// The token cannot be continued.
    TokenGone { reason: String },
    /// An entry of the page cannot be read; a shorter window has fewer beside it.
    Truncated { reason: String },
    /// A person has to act.
    Denied { reason: String, fix: String },
}

impl Failure {
    /// Returns what the caller may do. `is_continued` means that the request carried a token, so that everything else in
    /// it was accepted before.
    pub(crate) fn fetch_error(&self, config: &CloudLoggingConfig, is_continued: bool) -> FetchError {
        match self.meaning(config, is_continued) {
            FailureMeaning::Throttled { retry_after, reason } => FetchError::Throttled { retry_after, reason },
            FailureMeaning::Unavailable { reason } => FetchError::Unavailable { reason },
            FailureMeaning::TokenGone { reason } => FetchError::TokenGone { reason },
            FailureMeaning::Truncated { reason } => FetchError::Truncated { reason },
            FailureMeaning::Denied { reason, fix } => FetchError::Denied { reason: format!("{reason} ({fix})") },
        }
    }

    /// Returns what a failed request means, with the fix beside the reason.
    pub(crate) fn meaning(&self, config: &CloudLoggingConfig, is_continued: bool) -> FailureMeaning {
        match self {
            Failure::CredentialNotAllowed => FailureMeaning::Denied {
                reason: "`credential: anonymous` is for an endpoint on this machine only".to_owned(),
                fix: "remove it, or use an endpoint such as http://127.0.0.1:PORT".to_owned(),
            },
            Failure::TimedOut(after) => {
                FailureMeaning::Unavailable { reason: format!("no answer within {} s", after.as_secs()) }
            }
            Failure::NoClient(error) => {
                let fix = if error.is_transport() { "correct the source's endpoint" } else { CREDENTIALS_FIX };
                FailureMeaning::Denied { reason: text::reason(&message(error)), fix: fix.to_owned() }
            }
            Failure::RequestFailed(error) => unanswered(error, config, is_continued),
        }
    }

    /// Returns whether the service does not understand the request.
    pub(crate) fn is_of_request(&self) -> bool {
        matches!(self, Failure::RequestFailed(error) if code_of(error) == Some(Code::InvalidArgument))
    }

    /// Returns whether an entry of the answer is nested deeper than the SDK reads.
    pub(crate) fn is_too_deep(&self) -> bool {
        matches!(self, Failure::RequestFailed(error) if code_of(error).is_none() && is_too_deep(error))
    }

    /// Returns whether the error is in the credentials, not in what they may do.
    pub(crate) fn is_of_credentials(&self) -> bool {
        match self {
            Failure::CredentialNotAllowed | Failure::NoClient(_) => true,
            Failure::TimedOut(_) => false,
            Failure::RequestFailed(error) => error.is_authentication() || code_of(error) == Some(Code::Unauthenticated),
        }
    }
}

fn unanswered(error: &Error, config: &CloudLoggingConfig, is_continued: bool) -> FailureMeaning {
    let reason = match (code_of(error), error.status()) {
        (Some(code), Some(status)) => text::reason(&format!("{code}: {}", status.message)),
        // The SDK's own words are in each of its causes again.
        _ if error.is_authentication() => text::reason(&format!("no token: {}", root_message(error))),
        _ => text::reason(&message(error)),
    };
    if error.is_authentication() {
        return match find::<CredentialsError>(error).is_some_and(CredentialsError::is_transient) {
            true => FailureMeaning::Unavailable { reason },
            false => FailureMeaning::Denied { reason, fix: CREDENTIALS_FIX.to_owned() },
        };
    }
    match code_of(error) {
        Some(Code::ResourceExhausted) => FailureMeaning::Throttled { retry_after: retry_after(error), reason },
        Some(Code::InvalidArgument) if is_continued => FailureMeaning::TokenGone { reason },
        Some(
            code @ (Code::InvalidArgument
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::NotFound
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::Unimplemented),
        ) => FailureMeaning::Denied { reason, fix: fix(code, error, config) },
        _ if is_too_deep(error) => FailureMeaning::Truncated { reason },
        _ => FailureMeaning::Unavailable { reason },
    }
}

/// Returns whether an answer came whole and is nested deeper than the SDK reads, which a retry does not change. The
/// sender chooses the request body that causes it; so it must not hide more than the second of that request.
fn is_too_deep(error: &Error) -> bool {
    error.is_deserialization() && message(error).contains("recursion limit exceeded")
}

/// Returns the code of a refusal; `None` where there was no answer, or an empty one. For an answer that is not
/// Google's, such as a proxy's page, the HTTP status decides.
fn code_of(error: &Error) -> Option<Code> {
    let of_status = error.status().map(|status| status.code).filter(|code| *code != Code::Unknown);
    of_status.or(match error.http_status_code()? {
        401 => Some(Code::Unauthenticated),
        403 => Some(Code::PermissionDenied),
        404 => Some(Code::NotFound),
        429 => Some(Code::ResourceExhausted),
        _ => None,
    })
}

/// Returns the fix for a permanent error.
fn fix(code: Code, error: &Error, config: &CloudLoggingConfig) -> String {
    let project = &config.project;
    match code {
        Code::Unauthenticated => CREDENTIALS_FIX.to_owned(),
        Code::PermissionDenied if is_service_disabled(error) => {
            format!("`gcloud services enable logging.googleapis.com --project={project}`")
        }
        Code::PermissionDenied => format!(
            "grant roles/logging.viewer and, for the data access log, roles/logging.privateLogViewer: {}",
            grant(project, "roles/logging.privateLogViewer")
        ),
        Code::NotFound => {
            format!("project {project} does not exist, or its id is spelled differently: `gcloud projects list`")
        }
        _ => "correct project, location and cluster of the source: `gcloud container clusters list`".to_owned(),
    }
}

/// Returns the command that grants a role in a project. The role for private logs includes what the viewer may do.
pub(crate) fn grant(project: &str, role: &str) -> String {
    format!(
        "`gcloud projects add-iam-policy-binding {project} --member=serviceAccount:NAME@{project}.iam.gserviceaccount.com --role={role}`"
    )
}

fn is_service_disabled(error: &Error) -> bool {
    let details = error.status().map_or(&[][..], |status| status.details.as_slice());
    details.iter().any(|detail| matches!(detail, StatusDetails::ErrorInfo(info) if info.reason == "SERVICE_DISABLED"))
}

/// Returns how long an answer asks to wait. Cloud Logging sends no such header, but a proxy on the way may.
fn retry_after(error: &Error) -> Option<Duration> {
    let headers = error.http_headers()?;
    stakeout_http::retry_after(|name| headers.get(name)?.to_str().ok())
}

#[cfg(test)]
mod tests {
    use stakeout_core::text::REASON_CHARS_MAX;

    use super::*;

    fn allowed(failure: &Failure) -> FetchError {
        failure.fetch_error(&CloudLoggingConfig::new("acme", "prod"), true)
    }

    #[test]
    fn credentials_are_missing_or_temporarily_unreachable() {
        let unsigned = |is_transient| {
            Failure::RequestFailed(Error::authentication(CredentialsError::from_msg(is_transient, "no token")))
        };
        assert!(matches!(allowed(&unsigned(true)), FetchError::Unavailable { reason } if reason.contains("no token")));
        assert!(unsigned(false).is_of_credentials());
        for failure in [unsigned(false), Failure::NoClient(client_builder::Error::cred("no file"))] {
            let FetchError::Denied { reason } = allowed(&failure) else { panic!("not denied") };
            assert!(reason.ends_with(&format!("({CREDENTIALS_FIX})")), "{reason}");
        }
    }

    #[test]
    fn the_text_of_an_error_is_bounded_and_visible() {
        let FetchError::Unavailable { reason } = allowed(&Failure::RequestFailed(Error::io("\u{202e}".repeat(5_000))))
        else {
            panic!("not unavailable")
        };
        assert_eq!(reason.chars().count(), REASON_CHARS_MAX);
        assert!(!reason.contains('\u{202e}'));
    }
}
