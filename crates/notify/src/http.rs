//! One POST to a destination: its time limit, and what its status allows the caller to do.
//!
//! No error names an address: it may be a secret.

use std::cmp::Reverse;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use stakeout_core::text::{bounded, visible};
use stakeout_http::header::{CONTENT_TYPE, HeaderMap};
use stakeout_http::{BodyLimit, Client, ExchangeError, Network, RequestBuilder, TimeLimits, Url, exchange, web_page};

use crate::error::{SendError, SetupError};

/// Longest wait for the whole answer. Slack and most receivers answer within a second.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Most bytes of an answer that are read: answers are a word or a short object, and the rest is of no use.
const ANSWER_BYTES_MAX: usize = 4_096;
/// Most bytes of an answer that is an object: Slack's Web API repeats the whole message in it.
const OBJECT_BYTES_MAX: usize = 256 * 1_024;
/// A part of an address that is at least so long may be a key, in bytes.
const SECRET_BYTES_MIN: usize = 8;
/// Longest quote of an answer in an error, in characters.
const QUOTE_CHARS_MAX: usize = 200;

/// What a destination answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: String,
    pub(crate) headers: HeaderMap,
}

/// Returns a client over `network`.
pub(crate) fn client(network: &Network) -> Result<Client, SetupError> {
    Ok(network.client(TimeLimits::of_answer(REQUEST_TIMEOUT))?)
}

/// Sends `json` and returns the answer, whatever its status. A server may repeat the request in its answer, so `secrets` are
/// taken out of it.
pub(crate) async fn post(request: RequestBuilder, json: String, secrets: &Secrets<'_>) -> Result<Answer, SendError> {
    answered(request.header(CONTENT_TYPE, "application/json").body(json), ANSWER_BYTES_MAX, secrets).await
}

/// The same for a service that answers with an object, and wants to know the character set.
pub(crate) async fn post_for_object(
    request: RequestBuilder,
    json: String,
    secrets: &Secrets<'_>,
) -> Result<Answer, SendError> {
    let request = request.header(CONTENT_TYPE, "application/json; charset=utf-8").body(json);
    answered(request, OBJECT_BYTES_MAX, secrets).await
}

/// Sends a form, and returns the answer of a service that answers with an object.
pub(crate) async fn post_form(
    request: RequestBuilder,
    pairs: &[(&str, &str)],
    secrets: &Secrets<'_>,
) -> Result<Answer, SendError> {
    let form = Url::parse_with_params("form:", pairs).map_err(|_| SendError::refused("cannot build the request"))?;
    let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    answered(request.body(form.query().unwrap_or_default().to_owned()), OBJECT_BYTES_MAX, secrets).await
}

async fn answered(request: RequestBuilder, bytes_max: usize, secrets: &Secrets<'_>) -> Result<Answer, SendError> {
    let answer = exchange(request, BodyLimit::Truncate(bytes_max)).await.map_err(|error| failed(&error))?;
    let body = secrets.removed_from(&String::from_utf8_lossy(&answer.body));
    Ok(Answer { status: answer.status, retry_after: answer.retry_after(), body, headers: answer.headers })
}

/// What no error may repeat: the address of a destination, parts of it, and its token.
pub(crate) struct Secrets<'a>(Vec<&'a str>);

impl<'a> Secrets<'a> {
    /// Returns the secrets in an address, and others.
    pub(crate) fn of(url: &'a SecretString, others: impl IntoIterator<Item = &'a SecretString>) -> Secrets<'a> {
        let url = url.expose_secret();
        let path = url.split_once("://").and_then(|(_, rest)| rest.find('/').map(|begin| &rest[begin..])).unwrap_or("");
        let parts = path.split(['/', '?', '&', '=', '#']).filter(|part| part.len() >= SECRET_BYTES_MIN);
        let mut secrets: Vec<&str> = [url, path].into_iter().filter(|text| text.len() > 1).chain(parts).collect();
        for other in others {
            let other = other.expose_secret();
            secrets.push(other);
            // A header may have a word before its key.
            secrets.extend(other.split(' ').filter(|part| part.len() >= SECRET_BYTES_MIN));
        }
        secrets.retain(|secret| !secret.is_empty());
        // A longer one may contain a shorter one.
        secrets.sort_by_key(|secret| Reverse(secret.len()));
        Secrets(secrets)
    }

    /// Returns a token as the only secret.
    pub(crate) fn of_token(token: &'a SecretString) -> Secrets<'a> {
        Secrets(vec![token.expose_secret()])
    }

    fn removed_from(&self, text: &str) -> String {
        // JSON may escape a slash.
        self.0.iter().fold(text.replace("\\/", "/"), |text, secret| text.replace(secret, "[secret]"))
    }
}

impl Answer {
    /// Returns what an answer other than success means: 408, 425, 429 and 5xx are temporary, the rest is not.
    pub(crate) fn failure(&self) -> SendError {
        let reason = match self.body.trim() {
            body if self.status >= 400
                && let Some(page) = web_page(self.status, None, body.as_bytes()) =>
            {
                page
            }
            "" => format!("status {}", self.status),
            body => quoted(&format!("status {}: {body}", self.status)),
        };
        match self.status {
            408 | 425 | 429 | 500..=599 => SendError::later_after(self.retry_after, reason),
            300..=399 => SendError::refused(format!("status {}: redirects are not followed", self.status)),
            _ => SendError::Refused { reason },
        }
    }
}

/// Returns another party's text, fit for an error.
pub(crate) fn quoted(text: &str) -> String {
    bounded(&visible(text), QUOTE_CHARS_MAX)
}

fn failed(error: &ExchangeError) -> SendError {
    let reason = quoted(&error.to_string());
    match error {
        ExchangeError::Unsendable { .. } | ExchangeError::Misconfigured { .. } => SendError::Refused { reason },
        ExchangeError::Interrupted { .. } | ExchangeError::TooLong { .. } => SendError::later(reason),
    }
}
