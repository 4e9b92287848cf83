//! The metadata server of a machine or pod, which issues tokens to its service account.
//! <https://cloud.google.com/compute/docs/access/authenticate-workloads#applications>

use std::collections::VecDeque;

use serde_json::json;

use super::wire;
use crate::exchange::{Answer, HttpRequest};

/// The path of the token.
pub(super) const PATH: &str = "/computeMetadata/v1/instance/service-accounts/default/token";

/// Answers a request for a token with the next of `tokens`; the last one is given again and again.
pub(super) fn token(request: &HttpRequest, tokens: &mut VecDeque<String>) -> Answer {
    if request.header("metadata-flavor") != Some("Google") || request.header("x-forwarded-for").is_some() {
        return Answer::text(403, "Missing Metadata-Flavor:Google header.");
    }
    let token = if tokens.len() > 1 { tokens.pop_front() } else { tokens.front().cloned() };
    match token {
        Some(token) => wire::json(200, &json!({"access_token": token, "expires_in": 3_599, "token_type": "Bearer"})),
        None => Answer::text(404, "The requested service account was not found."),
    }
}
