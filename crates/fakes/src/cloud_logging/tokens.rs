//! Where Google's access tokens come from: the metadata server of a machine or pod, STS, which exchanges a token of another
//! provider, IAM Credentials, which issues tokens of a service account, and OAuth, which renews a person's sign-in.
//! <https://cloud.google.com/compute/docs/access/authenticate-workloads#applications>,
//! <https://cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token>,
//! <https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/generateAccessToken>

use std::collections::{BTreeMap, VecDeque};

use axum::http::Method;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::wire;
use crate::exchange::{Answer, HttpRequest};
use crate::form;

const METADATA: &str = "/computeMetadata/v1/instance/service-accounts/default/token";
const ACCOUNTS: &str = "/v1/projects/-/serviceAccounts/";
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// How long a token lives, in seconds.
const LIFE_S: i64 = 3_600;

/// Who gets tokens, and which.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    /// The tokens for Cloud Logging, one after the other; the last one is given again and again.
    pub(super) issued: VecDeque<String>,
    /// Audience and token of the federated identity that is known.
    pub(super) federated: Option<(String, String)>,
    /// The service account that the federated identity may act as, and only as that does it get a token of `issued`.
    pub(super) account: Option<String>,
    /// The refresh token of the person who is signed in.
    pub(super) refresh_token: Option<String>,
    /// The token with which the federated identity asks for one of the service account.
    between: Option<String>,
}

/// A request for a token of a service account.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GenerateAccessToken {
    scope: Vec<String>,
    #[serde(default)]
    delegates: Vec<String>,
    lifetime: String,
}

/// Status, code and description of a refusal.
type Refused = (u16, &'static str, &'static str);

impl Tokens {
    /// Answers a request for a token; `None` where the request is for something else.
    pub(super) fn answer(&mut self, request: &HttpRequest, now: Timestamp) -> Option<Answer> {
        let answered = match (&request.method, request.path.as_str()) {
            (&Method::GET, METADATA) => return Some(self.of_machine(request)),
            (&Method::POST, "/v1/token") => self.exchanged(request),
            (&Method::POST, "/token") => self.renewed(request),
            (&Method::POST, path) => {
                let email = path.strip_prefix(ACCOUNTS)?.strip_suffix(":generateAccessToken")?;
                self.of_account(request, email, now)
            }
            _ => return None,
        };
        Some(match answered {
            Ok(body) => wire::json(200, &body),
            Err((status, error, description)) => {
                wire::json(status, &json!({"error": error, "error_description": description}))
            }
        })
    }

    fn of_machine(&mut self, request: &HttpRequest) -> Answer {
        if request.header("metadata-flavor") != Some("Google") || request.header("x-forwarded-for").is_some() {
            return Answer::text(403, "Missing Metadata-Flavor:Google header.");
        }
        match self.next() {
            Some(token) => wire::json(200, &oauth(&token)),
            None => Answer::text(404, "The requested service account was not found."),
        }
    }

    fn exchanged(&mut self, request: &HttpRequest) -> Result<Value, Refused> {
        let form = pairs(request)?;
        let is = |name: &str, value: &str| form.get(name).is_some_and(|found| found == value);
        let is_exchange = is("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange")
            && is("requested_token_type", "urn:ietf:params:oauth:token-type:access_token")
            && is("subject_token_type", "urn:ietf:params:oauth:token-type:jwt")
            && is("scope", SCOPE);
        if !is_exchange || form.len() != 6 {
            return Err((400, "invalid_request", "The request is no exchange of a token."));
        }
        let known = self.federated.as_ref();
        if !known.is_some_and(|(audience, token)| is("audience", audience) && is("subject_token", token)) {
            return Err((400, "invalid_grant", "The audience or the ID Token is unknown."));
        }
        let token = match self.account {
            Some(_) => self.between.insert(format!("between-{}", form["subject_token"].len())).clone(),
            None => self.next().ok_or((500, "server_error", "The fake has no token."))?,
        };
        let mut body = oauth(&token);
        body["issued_token_type"] = json!("urn:ietf:params:oauth:token-type:access_token");
        Ok(body)
    }

    fn renewed(&mut self, request: &HttpRequest) -> Result<Value, Refused> {
        let form = pairs(request)?;
        let is_known = form.get("refresh_token").is_some_and(|token| Some(token) == self.refresh_token.as_ref());
        if form.get("grant_type").map(String::as_str) != Some("refresh_token") || !form.contains_key("client_secret") {
            return Err((400, "invalid_request", "The request renews no sign-in."));
        }
        if !is_known {
            return Err((400, "invalid_grant", "Token has been expired or revoked."));
        }
        self.next().map(|token| oauth(&token)).ok_or((500, "server_error", "The fake has no token."))
    }

    fn of_account(&mut self, request: &HttpRequest, email: &str, now: Timestamp) -> Result<Value, Refused> {
        let brought = request.header("authorization").and_then(|header| header.strip_prefix("Bearer "));
        if brought.is_none() || brought != self.between.as_deref() {
            return Err((401, "UNAUTHENTICATED", "Request had invalid authentication credentials."));
        }
        if self.account.as_deref() != Some(email) {
            return Err((403, "PERMISSION_DENIED", "Permission 'iam.serviceAccounts.getAccessToken' denied."));
        }
        let wanted: GenerateAccessToken =
            serde_json::from_slice(&request.body).map_err(|_| (400, "INVALID_ARGUMENT", "The body is unknown."))?;
        let life_s = wanted.lifetime.strip_suffix('s').and_then(|life| life.parse::<i64>().ok());
        if wanted.scope != [SCOPE] || !wanted.delegates.is_empty() || life_s.is_none_or(|life| life > LIFE_S) {
            return Err((400, "INVALID_ARGUMENT", "Scope, delegates or lifetime are not allowed."));
        }
        let end = now.saturating_add(SignedDuration::from_secs(LIFE_S)).unwrap_or(Timestamp::MAX);
        let token = self.next().ok_or((500, "INTERNAL", "The fake has no token."))?;
        Ok(json!({"accessToken": token, "expireTime": end.to_string()}))
    }

    fn next(&mut self) -> Option<String> {
        if self.issued.len() > 1 { self.issued.pop_front() } else { self.issued.front().cloned() }
    }
}

fn oauth(token: &str) -> Value {
    json!({"access_token": token, "expires_in": LIFE_S - 1, "token_type": "Bearer"})
}

fn pairs(request: &HttpRequest) -> Result<BTreeMap<String, String>, Refused> {
    let is_form = request.content_type() == "application/x-www-form-urlencoded";
    let pairs = form::decode(&request.body).filter(|_| is_form);
    Ok(pairs.ok_or((400, "invalid_request", "The body is no form."))?.into_iter().collect())
}
