//! Microsoft Entra: issues tokens for client credentials, and checks the tokens of queries.
//! <https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-client-creds-grant-flow>
//!
//! A token is opaque to its bearer, so these are plain numbers. Assertions of a workload identity are compared, not
//! verified.

use std::collections::BTreeMap;
use std::hash::Hasher;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use siphasher::sip128::{Hasher128, SipHasher13};

use super::wire::{ApiError, CONTENT_TYPE};
use crate::exchange::{Answer, HttpRequest};
use crate::fault::Refusal;
use crate::form;

const LIFE: Duration = Duration::from_hours(1);
/// Tokens that are remembered; a test that requests more loses the oldest.
const TOKENS_MAX: usize = 1_000;
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// The resource names that Log Analytics answers to.
/// <https://learn.microsoft.com/en-us/azure/azure-monitor/logs/api/access-api>
pub(super) const RESOURCES: [&str; 2] = ["https://api.loganalytics.io", "https://api.loganalytics.azure.com"];

/// The credential of an application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// A client secret.
    Secret(String),
    /// The exact text of a federated token, such as that of a Kubernetes service account.
    Assertion(String),
}

#[derive(Debug)]
pub(super) struct Tokens {
    pub(super) needs_token: bool,
    pub(super) life: Duration,
    applications: BTreeMap<String, Proof>,
    /// By order of issue: the token and its end.
    live: BTreeMap<u64, (String, Timestamp)>,
    issued: u64,
}

impl Default for Tokens {
    fn default() -> Self {
        Self { needs_token: false, life: LIFE, applications: BTreeMap::new(), live: BTreeMap::new(), issued: 0 }
    }
}

impl Tokens {
    pub(super) fn register(&mut self, client_id: &str, proof: Proof) {
        self.applications.insert(client_id.to_owned(), proof);
    }

    pub(super) fn expire(&mut self) {
        self.live.clear();
    }

    pub(super) fn issued(&self) -> u64 {
        self.issued
    }

    /// Returns the token that is issued next.
    pub(super) fn next(&self) -> String {
        let mut hasher = SipHasher13::new_with_keys(0x656e_7472_6100, 0);
        hasher.write_u64(self.issued + 1);
        format!("fake.{:032x}", hasher.finish128().as_u128())
    }

    /// Issues a token that is valid from now on.
    pub(super) fn issue(&mut self, now: Timestamp) -> String {
        let token = self.next();
        self.issued += 1;
        let end = now.checked_add(self.life).unwrap_or(Timestamp::MAX);
        self.live.insert(self.issued, (token.clone(), end));
        if self.live.len() > TOKENS_MAX {
            self.live.pop_first();
        }
        token
    }

    /// Accepts or refuses a query by its `Authorization` header.
    pub(super) fn authorize(&self, request: &HttpRequest, now: Timestamp) -> Result<(), ApiError> {
        let Some(authorization) = request.header("authorization") else {
            return if self.needs_token { Err(ApiError::unauthenticated()) } else { Ok(()) };
        };
        let token = authorization.strip_prefix("Bearer ").ok_or_else(ApiError::unauthenticated)?;
        let end = self.live.values().find(|(live, _)| live == token).map(|(_, end)| *end);
        match end {
            None => Err(ApiError::bad_token("Could not validate the request")),
            Some(end) if end <= now => Err(ApiError::bad_token("The token has expired")),
            Some(_) => Ok(()),
        }
    }

    /// Answers `POST /TENANT/oauth2/v2.0/token`.
    pub(super) fn grant(&mut self, request: &HttpRequest, now: Timestamp) -> Result<Answer, EntraError> {
        if request.content_type() != "application/x-www-form-urlencoded" {
            return Err(EntraError::malformed("the body must be application/x-www-form-urlencoded"));
        }
        let pairs = form::decode(&request.body).ok_or_else(|| EntraError::malformed("the body cannot be decoded"))?;
        let form: BTreeMap<String, String> = pairs.into_iter().collect();
        let grant = form.get("grant_type").map(String::as_str);
        if grant != Some("client_credentials") {
            return Err(EntraError::unsupported_grant(grant));
        }
        let client_id = wanted(&form, "client_id")?;
        let scope = wanted(&form, "scope")?;
        self.prove(&form, client_id)?;
        check_scope(scope)?;
        let life = self.life.as_secs();
        let body = json!({
            "token_type": "Bearer",
            "expires_in": life,
            "ext_expires_in": life,
            "access_token": self.issue(now),
        });
        Ok(Answer::new(200, CONTENT_TYPE, body.to_string()))
    }

    fn prove(&self, form: &BTreeMap<String, String>, client_id: &str) -> Result<(), EntraError> {
        let proof = match (form.get("client_secret"), form.get("client_assertion")) {
            (Some(secret), None) => Proof::Secret(secret.clone()),
            (None, Some(assertion)) => {
                if wanted(form, "client_assertion_type")? != JWT_BEARER {
                    return Err(EntraError::malformed(&format!("client_assertion_type must be {JWT_BEARER}")));
                }
                Proof::Assertion(assertion.clone())
            }
            _ => return Err(EntraError::no_proof()),
        };
        let is_believed = match self.applications.get(client_id) {
            Some(expected) => *expected == proof,
            None if self.applications.is_empty() => true,
            None => return Err(EntraError::unknown_application(client_id)),
        };
        if is_believed { Ok(()) } else { Err(EntraError::wrong_proof(&proof, client_id)) }
    }
}

fn wanted<'f>(form: &'f BTreeMap<String, String>, name: &str) -> Result<&'f str, EntraError> {
    form.get(name).map(String::as_str).filter(|value| !value.is_empty()).ok_or_else(|| EntraError::missing(name))
}

/// An application requests all its permissions, `RESOURCE/.default`; MSAL adds the scopes of OpenID for users only.
fn check_scope(scope: &str) -> Result<(), EntraError> {
    let Some(resource) = scope.strip_suffix("/.default") else {
        return Err(EntraError::invalid_scope(scope));
    };
    let resource = resource.strip_suffix('/').unwrap_or(resource);
    if RESOURCES.contains(&resource) { Ok(()) } else { Err(EntraError::unknown_resource(resource)) }
}

/// Answers `GET /TENANT/v2.0/.well-known/openid-configuration`, which MSAL requests first. The URLs are those of the
/// cloud, since MSAL accepts only https; the test redirects them again.
pub(super) fn describe(tenant: &str) -> Answer {
    let base = format!("https://login.microsoftonline.com/{tenant}");
    let body = json!({
        "token_endpoint": format!("{base}/oauth2/v2.0/token"),
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
        "authorization_endpoint": format!("{base}/oauth2/v2.0/authorize"),
        "jwks_uri": format!("{base}/discovery/v2.0/keys"),
        "issuer": format!("{base}/v2.0"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
    });
    Answer::new(200, CONTENT_TYPE, body.to_string())
}

/// A refusal of a token, with the AADSTS number.
/// <https://learn.microsoft.com/en-us/entra/identity-platform/reference-error-codes>
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EntraError {
    status: u16,
    error: &'static str,
    number: u32,
    description: String,
}

impl EntraError {
    fn new(status: u16, error: &'static str, number: u32, description: &str) -> Self {
        Self { status, error, number, description: format!("AADSTS{number}: {description}") }
    }

    fn missing(name: &str) -> Self {
        let description = format!("The request body must contain the following parameter: '{name}'.");
        Self::new(400, "invalid_request", 900_144, &description)
    }

    fn malformed(why: &str) -> Self {
        Self::new(400, "invalid_request", 90_014, why)
    }

    fn unsupported_grant(grant: Option<&str>) -> Self {
        let Some(grant) = grant else {
            return Self::missing("grant_type");
        };
        Self::new(
            400,
            "unsupported_grant_type",
            70_003,
            &format!("The app requested an unsupported grant type '{grant}'."),
        )
    }

    fn no_proof() -> Self {
        let description =
            "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.";
        Self::new(401, "invalid_client", 7_000_218, description)
    }

    fn wrong_proof(proof: &Proof, client_id: &str) -> Self {
        match proof {
            Proof::Secret(_) => {
                let description = format!("Invalid client secret provided for app '{client_id}'.");
                Self::new(401, "invalid_client", 7_000_215, &description)
            }
            Proof::Assertion(_) => {
                let description = "No matching federated identity record found for presented assertion.";
                Self::new(401, "invalid_client", 700_213, description)
            }
        }
    }

    fn unknown_application(client_id: &str) -> Self {
        let description = format!("Application with identifier '{client_id}' was not found in the directory.");
        Self::new(400, "unauthorized_client", 700_016, &description)
    }

    fn invalid_scope(scope: &str) -> Self {
        let description = format!(
            "The provided value for scope {scope} is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier (application ID URI)."
        );
        Self::new(400, "invalid_scope", 1_002_012, &description)
    }

    fn unknown_resource(resource: &str) -> Self {
        let description = format!("The resource principal named {resource} was not found in the tenant.");
        Self::new(400, "invalid_resource", 500_011, &description)
    }

    pub(super) fn from_refusal(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Throttled => Self::new(429, "temporarily_unavailable", 90_055, "Too many requests."),
            Refusal::InternalError => Self::new(500, "server_error", 90_033, "A transient error has occurred."),
            Refusal::Unavailable => {
                Self::new(503, "temporarily_unavailable", 90_033, "A transient error has occurred.")
            }
            Refusal::Denied => Self::new(401, "invalid_client", 7_000_112, "Application is disabled."),
        }
    }

    pub(super) fn answer(&self, now: Timestamp) -> Answer {
        let body = json!({
            "error": self.error,
            "error_description": self.description,
            "error_codes": [self.number],
            "timestamp": now.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
            "trace_id": "00000000-0000-4000-8000-000000000000",
            "correlation_id": "00000000-0000-4000-8000-000000000000",
        });
        Answer::new(self.status, CONTENT_TYPE, body.to_string())
    }
}
