//! The instance metadata service, which issues tokens to the managed identity of a machine.
//! <https://learn.microsoft.com/en-us/entra/identity/managed-identities-azure-resources/how-to-use-vm-token>

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;

use super::entra::{RESOURCES, Tokens};
use super::wire::CONTENT_TYPE;
use crate::exchange::{Answer, HttpRequest};
use crate::fault::Refusal;
use crate::form;

/// The versions in the documentation and the SDKs.
const API_VERSIONS: [&str; 2] = ["2018-02-01", "2019-08-01"];
/// The parameters of a request.
const PARAMETERS: [&str; 6] = ["api-version", "resource", "client_id", "object_id", "mi_res_id", "msi_res_id"];

/// Answers `GET /metadata/identity/oauth2/token`.
pub(super) fn token(request: &HttpRequest, tokens: &mut Tokens, now: Timestamp) -> Answer {
    if !request.header("metadata").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return refusal(400, "bad_request_102", "Required metadata header not specified");
    }
    if request.header("x-forwarded-for").is_some() {
        return refusal(400, "invalid_request", "x-forwarded-for must not be there");
    }
    let pairs = form::decode(request.query.as_bytes()).unwrap_or_default();
    if let Some((name, _)) = pairs.iter().find(|(name, _)| !PARAMETERS.contains(&name.as_str())) {
        return refusal(400, "invalid_request", &format!("unknown parameter {name:?}"));
    }
    let parameters: BTreeMap<String, String> = pairs.into_iter().collect();
    if !parameters.get("api-version").is_some_and(|version| API_VERSIONS.contains(&version.as_str())) {
        return refusal(400, "invalid_request", "Required query variable 'api-version' is missing or not supported");
    }
    let Some(resource) = parameters.get("resource") else {
        return refusal(400, "invalid_request", "Required query variable 'resource' is missing");
    };
    if !RESOURCES.contains(&resource.strip_suffix('/').unwrap_or(resource)) {
        let why = format!("AADSTS500011: The resource principal named {resource} was not found in the tenant.");
        return refusal(400, "invalid_resource", &why);
    }
    let life = i64::try_from(tokens.life.as_secs()).unwrap_or(i64::MAX);
    let begin = now.as_second();
    let body = json!({
        "access_token": tokens.issue(now),
        "client_id": parameters.get("client_id").map_or("00000000-0000-4000-8000-000000000000", String::as_str),
        "expires_in": life.to_string(),
        "expires_on": begin.saturating_add(life).to_string(),
        "ext_expires_in": life.to_string(),
        "not_before": begin.to_string(),
        "resource": resource,
        "token_type": "Bearer",
    });
    Answer::new(200, CONTENT_TYPE, body.to_string())
}

/// Returns a fault in the format of the service.
pub(super) fn refuse(fault: Refusal) -> Answer {
    match fault {
        Refusal::Throttled => refusal(429, "too_many_requests", "Too many requests"),
        Refusal::InternalError => refusal(500, "unknown", "Failed to retrieve token from the Active directory."),
        Refusal::Unavailable => refusal(503, "service_unavailable", "The service is not available"),
        Refusal::Denied => refusal(400, "invalid_request", "Identity not found"),
    }
}

fn refusal(status: u16, error: &str, description: &str) -> Answer {
    Answer::new(status, CONTENT_TYPE, json!({"error": error, "error_description": description}).to_string())
}
