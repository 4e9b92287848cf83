//! Events of OpenShift's OAuth server. It audits logins in the form of the API server, but nobody asks the Kubernetes API
//! there, and everybody is anonymous until the login is done.
//!
//! Its probes (`/`, `/healthz`) look as those of the API server do, so they are taken for such.

use super::BorrowedEvent;

/// The name of the OAuth server in errors.
pub const OAUTH_SERVER: &str = "OpenShift's OAuth server, which audits logins";
/// The beginning of annotations that only the OAuth server writes; no client can.
/// <https://github.com/openshift/enhancements/blob/master/enhancements/authentication/login-logout-events.md>
const ANNOTATIONS: &str = "authentication.openshift.io/";
/// The annotation with the decision of an authorizer (<https://kubernetes.io/docs/reference/labels-annotations-taints/audit-annotations/>).
const DECISION: &str = "authorization.k8s.io/decision";

/// Returns whether the event is of the OAuth server. A client may ask an API server for the same paths: that one denies them
/// or finds nothing there.
pub(super) fn is_login(event: &BorrowedEvent<'_>) -> bool {
    let mut annotations = event.annotations.iter();
    annotations.any(|(key, _)| key.starts_with(ANNOTATIONS))
        || (event.request_uri.as_deref().is_some_and(is_path_of_login)
            && event.response_status.code.is_some_and(|code| code != 404)
            && event.annotations.iter().any(|(key, value)| key == DECISION && value == "allow"))
}

fn is_path_of_login(uri: &str) -> bool {
    let path = uri.split('?').next().unwrap_or_default();
    matches!(path, "/login" | "/logout")
        || ["/oauth/", "/oauth2callback/", "/login/"].iter().any(|begin| path.starts_with(begin))
}
