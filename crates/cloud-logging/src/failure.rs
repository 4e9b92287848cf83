//! Maps a failed request to what the caller may do about it, and names the fix for a person.
//!
//! Nothing here retries or waits.

use std::error::Error;
use std::time::Duration;

use serde::Deserialize;
use stakeout_core::record::FetchError;
use stakeout_core::text;
use stakeout_http::error_chain::root_message;
use stakeout_http::{Answer, ClientError, ExchangeError};

use crate::config::CloudLoggingConfig;

/// The fix for missing or refused credentials.
pub(crate) const CREDENTIALS_FIX: &str = "give the pod a Kubernetes service account with workload identity, set \
    GOOGLE_APPLICATION_CREDENTIALS, or run `gcloud auth application-default login`";

/// Why a page did not come.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The endpoint must not be asked without a credential.
    CredentialNotAllowed,
    /// The HTTP client cannot be built.
    NoClient(ClientError),
    /// There is no token: credentials are missing, unreadable or refused.
    NoToken { reason: String, is_temporary: bool },
    /// The answer took longer than this limit.
    TimedOut(Duration),
    /// The connection failed, or the answer is too long.
    Unanswered(ExchangeError),
    /// The answer is no page.
    Garbled(String),
    /// The service refused.
    Refused(Box<Refusal>),
    /// The service refused a token that another may replace.
    TokenRefused,
}

/// A refusal of the service, or of something on the way to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The name of the code (`PERMISSION_DENIED`); empty in an answer that is not Google's.
    pub(crate) code: String,
    /// Google's words.
    pub(crate) message: String,
    /// The reasons in the details (`SERVICE_DISABLED`).
    pub(crate) reasons: Vec<String>,
    /// How long it asks to wait, in a header or in the details.
    pub(crate) retry_after: Option<Duration>,
    /// The problem, if a web page came in place of Google's answer.
    pub(crate) web_page: Option<String>,
    /// What is wrong with this machine's clock, if it may be the cause.
    pub(crate) clock: Option<String>,
}

/// What the caller may do, and the fix where a person has to act.
pub(crate) type Meaning = (FetchError, Option<String>);

/// The body of a refusal. <https://cloud.google.com/apis/design/errors#http_mapping>
#[derive(Default, Deserialize)]
#[serde(default)]
struct ErrorBody {
    error: ErrorStatus,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ErrorStatus {
    status: String,
    message: String,
    details: Vec<ErrorDetail>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ErrorDetail {
    reason: Option<String>,
    retry_delay: Option<String>,
}

impl Failure {
    /// Returns the failure of credentials. `is_temporary` means that the same attempt may succeed later.
    pub(crate) fn of_credentials(reason: String, is_temporary: bool) -> Failure {
        Failure::NoToken { reason, is_temporary }
    }

    /// Returns the failure of credentials with the innermost cause of `error`; its causes repeat each other.
    pub(crate) fn no_credentials(error: &(dyn Error + 'static), is_temporary: bool) -> Failure {
        Failure::of_credentials(root_message(error), is_temporary)
    }

    /// Returns what the caller may do. `is_continued` means that the request carried a token, so that everything else in
    /// it was accepted before.
    pub(crate) fn fetch_error(&self, config: &CloudLoggingConfig, is_continued: bool) -> FetchError {
        let (error, fix) = self.meaning(config, is_continued);
        error.with_fix(fix)
    }

    /// Returns what a failed request means, with the fix beside the reason.
    pub(crate) fn meaning(&self, config: &CloudLoggingConfig, is_continued: bool) -> Meaning {
        match self {
            Failure::CredentialNotAllowed => denied(
                "`credential: anonymous` is for an endpoint on this machine only".to_owned(),
                "remove it, or use an endpoint such as http://127.0.0.1:PORT".to_owned(),
            ),
            Failure::NoClient(error) => denied(error.to_string(), "report it as a bug in Stakeout".to_owned()),
            Failure::NoToken { reason, is_temporary } => {
                let reason = text::reason(&format!("no token: {reason}"));
                let clock =
                    if reason.contains("reasonable timeframe") { ", after setting this machine's clock" } else { "" };
                match is_temporary {
                    true => unavailable(reason),
                    false => denied(reason, format!("{CREDENTIALS_FIX}{clock}")),
                }
            }
            Failure::TimedOut(after) => unavailable(format!("no answer within {} s", after.as_secs())),
            Failure::Unanswered(error @ ExchangeError::TooLong { .. }) => {
                (FetchError::Truncated { reason: error.to_string() }, None)
            }
            Failure::Unanswered(ExchangeError::Misconfigured { problem, fix }) => {
                denied(text::reason(problem), (*fix).to_owned())
            }
            Failure::Unanswered(error) => unavailable(text::reason(&error.to_string())),
            Failure::Garbled(problem) => unavailable(text::reason(problem)),
            Failure::TokenRefused => {
                unavailable("Google no longer accepts the token: the next request looks for a new one".to_owned())
            }
            Failure::Refused(refusal) => refusal.meaning(config, is_continued),
        }
    }

    /// Returns whether the service does not understand the request.
    pub(crate) fn is_of_request(&self) -> bool {
        matches!(self, Failure::Refused(refusal) if refusal.code() == "INVALID_ARGUMENT")
    }

    /// Returns whether the answer is too long.
    pub(crate) fn is_too_long(&self) -> bool {
        matches!(self, Failure::Unanswered(ExchangeError::TooLong { .. }))
    }

    /// Returns whether the service refused the token.
    pub(crate) fn is_of_token(&self) -> bool {
        matches!(self, Failure::Refused(refusal) if refusal.code() == "UNAUTHENTICATED")
    }

    /// Returns whether the error is in the credentials, not in what they may do.
    pub(crate) fn is_of_credentials(&self) -> bool {
        matches!(self, Failure::CredentialNotAllowed | Failure::NoToken { .. } | Failure::TokenRefused)
            || self.is_of_token()
    }
}

impl Refusal {
    /// Reads a refusal. A body of another kind, such as a proxy's, leaves no code.
    pub(crate) fn read(answer: &Answer) -> Refusal {
        let ErrorBody { error } = serde_json::from_slice(&answer.body).unwrap_or_default();
        let wait = error.details.iter().find_map(|detail| seconds(detail.retry_delay.as_deref()?));
        Refusal {
            status: answer.status,
            code: error.status,
            message: error.message,
            reasons: error.details.into_iter().filter_map(|detail| detail.reason).collect(),
            retry_after: answer.retry_after().or(wait),
            web_page: answer.web_page(),
            clock: None,
        }
    }

    /// Returns the code. For an answer that is not Google's, such as a proxy's page, the HTTP status decides.
    fn code(&self) -> &str {
        match (self.code.as_str(), self.status) {
            ("" | "UNKNOWN", 401) => "UNAUTHENTICATED",
            ("" | "UNKNOWN", 403) => "PERMISSION_DENIED",
            ("" | "UNKNOWN", 404) => "NOT_FOUND",
            ("" | "UNKNOWN", 429) => "RESOURCE_EXHAUSTED",
            (code, _) => code,
        }
    }

    fn meaning(&self, config: &CloudLoggingConfig, is_continued: bool) -> Meaning {
        let code = self.code();
        let reason = match (&self.web_page, code) {
            (Some(problem), _) => text::reason(problem),
            (None, "") => format!("http status {}", self.status),
            (None, code) => text::reason(&format!("{code}: {}", self.message)),
        };
        if self.web_page.is_some() && matches!(code, "UNAUTHENTICATED" | "PERMISSION_DENIED" | "NOT_FOUND") {
            let fix = "let requests to the endpoint pass, or set HTTPS_PROXY and NO_PROXY".to_owned();
            return denied(reason, fix);
        }
        match code {
            "RESOURCE_EXHAUSTED" => (FetchError::Throttled { retry_after: self.retry_after, reason }, None),
            // A service that is busy may say for how long.
            _ if self.status == 503 && self.retry_after.is_some() => {
                (FetchError::Throttled { retry_after: self.retry_after, reason }, None)
            }
            "INVALID_ARGUMENT" if is_continued => (FetchError::TokenGone { reason }, None),
            "INVALID_ARGUMENT"
            | "FAILED_PRECONDITION"
            | "OUT_OF_RANGE"
            | "NOT_FOUND"
            | "PERMISSION_DENIED"
            | "UNAUTHENTICATED"
            | "UNIMPLEMENTED" => denied(reason, self.fix(config)),
            _ => unavailable(reason),
        }
    }

    /// Returns the fix for a permanent error.
    fn fix(&self, config: &CloudLoggingConfig) -> String {
        let project = &config.project;
        match self.code() {
            "UNAUTHENTICATED" => match &self.clock {
                Some(problem) => format!("{problem}: set it, for example with chrony or systemd-timesyncd"),
                None => CREDENTIALS_FIX.to_owned(),
            },
            "PERMISSION_DENIED" if self.reasons.iter().any(|reason| reason == "SERVICE_DISABLED") => {
                format!("`gcloud services enable logging.googleapis.com --project={project}`")
            }
            "PERMISSION_DENIED" if self.reasons.iter().any(|reason| reason == "ACCESS_TOKEN_SCOPE_INSUFFICIENT") => {
                "the machine's access scopes do not allow reading logs, whatever its roles: use workload identity, or give it the \
                 scope https://www.googleapis.com/auth/cloud-platform"
                    .to_owned()
            }
            "PERMISSION_DENIED" => format!(
                "grant roles/logging.viewer and, for the data access log, roles/logging.privateLogViewer: {}",
                grant(project, "roles/logging.privateLogViewer")
            ),
            "NOT_FOUND" => {
                format!("project {project} does not exist, or its id is spelled differently: `gcloud projects list`")
            }
            _ => "correct project, location and cluster of the source: `gcloud container clusters list`".to_owned(),
        }
    }
}

/// Reads a duration as Google's JSON has it, such as `3.5s`; a part of a second counts as a whole one.
/// <https://protobuf.dev/reference/protobuf/google.protobuf/#duration>
fn seconds(text: &str) -> Option<Duration> {
    let (whole, fraction) = text.strip_suffix('s')?.split_once('.').unwrap_or((text.strip_suffix('s')?, ""));
    let whole: u64 = whole.parse().ok()?;
    Some(Duration::from_secs(whole.saturating_add(u64::from(!fraction.is_empty()))))
}

fn unavailable(reason: String) -> Meaning {
    (FetchError::Unavailable { reason }, None)
}

fn denied(reason: String, fix: String) -> Meaning {
    (FetchError::Denied { reason }, Some(fix))
}

/// Returns the command that grants a role in a project. The role for private logs includes what the viewer may do.
pub(crate) fn grant(project: &str, role: &str) -> String {
    format!(
        "`gcloud projects add-iam-policy-binding {project} --member=serviceAccount:NAME@{project}.iam.gserviceaccount.com --role={role}`"
    )
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
        let unsigned = |is_temporary| Failure::of_credentials("nobody home".to_owned(), is_temporary);
        assert!(matches!(allowed(&unsigned(true)), FetchError::Unavailable { reason } if reason.contains("no token")));
        let FetchError::Denied { reason } = allowed(&unsigned(false)) else { panic!("not denied") };
        assert!(reason.ends_with(&format!("({CREDENTIALS_FIX})")), "{reason}");
        assert!(unsigned(false).is_of_credentials());
    }

    #[test]
    fn the_text_of_an_error_is_bounded_and_visible() {
        let FetchError::Unavailable { reason } = allowed(&Failure::Garbled("\u{202e}".repeat(5_000))) else {
            panic!("not unavailable")
        };
        assert_eq!(reason.chars().count(), REASON_CHARS_MAX);
        assert!(!reason.contains('\u{202e}'));
    }

    #[test]
    fn a_clock_that_is_off_is_the_fix_of_a_refused_key() {
        let clock = Some("this machine's clock is about 15 minutes ahead of Google's".to_owned());
        let refusal = Refusal { status: 401, clock, ..Refusal::default() };
        let FetchError::Denied { reason } = allowed(&Failure::Refused(Box::new(refusal))) else { panic!("not denied") };
        assert!(reason.contains("15 minutes ahead of Google's: set it"), "{reason}");
    }

    #[test]
    fn a_web_page_is_named_and_blames_no_permission() {
        for (status, is_denied) in [(403, true), (404, true), (502, false), (302, false)] {
            let refusal = Refusal { status, web_page: Some("a web page came".to_owned()), ..Refusal::default() };
            let error = allowed(&Failure::Refused(Box::new(refusal)));
            assert_eq!(matches!(error, FetchError::Denied { .. }), is_denied, "{error}");
            assert!(error.to_string().contains("a web page came") && !error.to_string().contains("roles/"), "{error}");
        }
    }
}
