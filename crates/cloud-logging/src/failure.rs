//! Says of a request that failed what the caller may do about it, and to a person what fixes it.
//!
//! Nothing here asks again or waits.

use std::time::Duration;

use google_cloud_gax::client_builder;
use google_cloud_gax::error::rpc::{Code, StatusDetails};
use google_cloud_gax::error::{CredentialsError, Error};
use stakeout_core::record::FetchError;
use stakeout_core::text;
use stakeout_http::error_chain::{find, message};

use crate::config::CloudLoggingConfig;

/// What to do where there are no credentials, or none that Google takes.
const MEND_CREDENTIALS: &str = "give the pod a Kubernetes service account with workload identity, set \
    GOOGLE_APPLICATION_CREDENTIALS, or run `gcloud auth application-default login`";

/// Why a page did not come.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The endpoint must not be asked without a credential.
    Unfit,
    /// No client could be made; there are no credentials, or none that can be read.
    Unready(client_builder::Error),
    /// The answer took longer than this.
    Late(Duration),
    /// The service refused, or the way to it failed.
    Unanswered(Error),
}

/// What a failure means, before it is told to anybody.
#[derive(Debug)]
pub(crate) enum Meaning {
    /// Too many requests.
    Throttled { retry_after: Option<Duration>, reason: String },
    /// It passes by itself.
    Unavailable { reason: String },
    /// The token leads nowhere.
    TokenGone { reason: String },
    /// An entry of the page cannot be read; a shorter window has fewer beside it.
    Truncated { reason: String },
    /// Somebody must do something.
    Denied { reason: String, fix: String },
}

impl Failure {
    /// Returns what a failed request allows. `is_continued` tells that it carried a token, which means that all else in
    /// it had been accepted before.
    pub(crate) fn allows(&self, config: &CloudLoggingConfig, is_continued: bool) -> FetchError {
        match self.meaning(config, is_continued) {
            Meaning::Throttled { retry_after, reason } => FetchError::Throttled { retry_after, reason },
            Meaning::Unavailable { reason } => FetchError::Unavailable { reason },
            Meaning::TokenGone { reason } => FetchError::TokenGone { reason },
            Meaning::Truncated { reason } => FetchError::Truncated { reason },
            Meaning::Denied { reason, fix } => FetchError::Denied { reason: format!("{reason} ({fix})") },
        }
    }

    /// Returns what a failed request means, with the fix beside the reason.
    pub(crate) fn meaning(&self, config: &CloudLoggingConfig, is_continued: bool) -> Meaning {
        match self {
            Failure::Unfit => Meaning::Denied {
                reason: "`credential: anonymous` is for an endpoint on this machine only".to_owned(),
                fix: "remove it, or use an endpoint such as http://127.0.0.1:PORT".to_owned(),
            },
            Failure::Late(after) => Meaning::Unavailable { reason: format!("no answer within {} s", after.as_secs()) },
            Failure::Unready(error) => {
                let fix = if error.is_transport() { "correct the source's endpoint" } else { MEND_CREDENTIALS };
                Meaning::Denied { reason: text::reason(&message(error)), fix: fix.to_owned() }
            }
            Failure::Unanswered(error) => unanswered(error, config, is_continued),
        }
    }

    /// Tells whether the service does not understand the request.
    pub(crate) fn is_of_request(&self) -> bool {
        matches!(self, Failure::Unanswered(error) if code_of(error) == Some(Code::InvalidArgument))
    }

    /// Tells whether an entry of the answer is nested deeper than the SDK reads.
    pub(crate) fn is_too_deep(&self) -> bool {
        matches!(self, Failure::Unanswered(error) if code_of(error).is_none() && is_too_deep(error))
    }

    /// Tells whether the fault is in the credentials, not in what they may do.
    pub(crate) fn is_of_credentials(&self) -> bool {
        match self {
            Failure::Unfit | Failure::Unready(_) => true,
            Failure::Late(_) => false,
            Failure::Unanswered(error) => error.is_authentication() || code_of(error) == Some(Code::Unauthenticated),
        }
    }
}

fn unanswered(error: &Error, config: &CloudLoggingConfig, is_continued: bool) -> Meaning {
    let reason = match (code_of(error), error.status()) {
        (Some(code), Some(status)) => text::reason(&format!("{code}: {}", status.message)),
        _ => text::reason(&message(error)),
    };
    if error.is_authentication() {
        return match find::<CredentialsError>(error).is_some_and(CredentialsError::is_transient) {
            true => Meaning::Unavailable { reason },
            false => Meaning::Denied { reason, fix: MEND_CREDENTIALS.to_owned() },
        };
    }
    match code_of(error) {
        Some(Code::ResourceExhausted) => Meaning::Throttled { retry_after: retry_after(error), reason },
        Some(Code::InvalidArgument) if is_continued => Meaning::TokenGone { reason },
        Some(
            code @ (Code::InvalidArgument
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::NotFound
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::Unimplemented),
        ) => Meaning::Denied { reason, fix: fix(code, error, config) },
        _ if is_too_deep(error) => Meaning::Truncated { reason },
        _ => Meaning::Unavailable { reason },
    }
}

/// Tells whether an answer came whole and is nested deeper than the SDK reads, which asking again does not change. It
/// takes a request body to do that, which somebody chose; so it must not cost more than the second it was sent in.
fn is_too_deep(error: &Error) -> bool {
    error.is_deserialization() && message(error).contains("recursion limit exceeded")
}

/// Returns the code of a refusal; `None` where there was no answer, or one that says nothing. Of an answer that is not
/// Google's, such as a proxy's page, the HTTP status tells.
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

/// Returns what to do about a code that no waiting helps.
fn fix(code: Code, error: &Error, config: &CloudLoggingConfig) -> String {
    let project = &config.project;
    match code {
        Code::Unauthenticated => MEND_CREDENTIALS.to_owned(),
        Code::PermissionDenied if is_service_disabled(error) => {
            format!("`gcloud services enable logging.googleapis.com --project={project}`")
        }
        Code::PermissionDenied => format!(
            "grant roles/logging.viewer and, for the data access log, roles/logging.privateLogViewer: {}",
            grant(project, "roles/logging.privateLogViewer")
        ),
        Code::NotFound => {
            format!("project {project} does not exist, or its id is spelled otherwise: `gcloud projects list`")
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

/// Returns how long an answer asks to wait. Cloud Logging does not say, but a proxy on the way may.
fn retry_after(error: &Error) -> Option<Duration> {
    let headers = error.http_headers()?;
    stakeout_http::retry_after(|name| headers.get(name)?.to_str().ok())
}

#[cfg(test)]
mod tests {
    use stakeout_core::text::REASON_CHARS_MAX;

    use super::*;

    fn allowed(failure: &Failure) -> FetchError {
        failure.allows(&CloudLoggingConfig::new("acme", "prod"), true)
    }

    #[test]
    fn credentials_are_missing_or_only_out_of_reach() {
        let unsigned = |is_transient| {
            Failure::Unanswered(Error::authentication(CredentialsError::from_msg(is_transient, "no token")))
        };
        assert!(matches!(allowed(&unsigned(true)), FetchError::Unavailable { reason } if reason.contains("no token")));
        assert!(unsigned(false).is_of_credentials());
        for failure in [unsigned(false), Failure::Unready(client_builder::Error::cred("no file"))] {
            let FetchError::Denied { reason } = allowed(&failure) else { panic!("not denied") };
            assert!(reason.ends_with(&format!("({MEND_CREDENTIALS})")), "{reason}");
        }
    }

    #[test]
    fn the_words_of_an_error_are_bounded_and_visible() {
        let FetchError::Unavailable { reason } = allowed(&Failure::Unanswered(Error::io("\u{202e}".repeat(5_000))))
        else {
            panic!("not unavailable")
        };
        assert_eq!(reason.chars().count(), REASON_CHARS_MAX);
        assert!(!reason.contains('\u{202e}'));
    }
}
