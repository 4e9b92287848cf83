//! One POST to a destination: its time limit, and what its status allows the caller to do.
//!
//! No error names an address: it may be a secret.

use std::time::Duration;

use stakeout_core::text::{bounded, visible};
use stakeout_http::header::CONTENT_TYPE;
use stakeout_http::{BodyLimit, Client, Endpoint, ExchangeError, RequestBuilder, Route, exchange};

use crate::error::{SendError, SetupError};

/// Longest wait for the whole answer. Slack and most receivers answer within a second.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Most bytes of an answer that are read: answers are a word or a short object, and the rest is of no use.
const ANSWER_BYTES_MAX: usize = 4_096;
/// Longest quote of an answer in an error, in characters.
const QUOTE_CHARS_MAX: usize = 200;

/// What a destination answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: String,
}

/// Returns a client for `endpoint`.
pub(crate) fn client(endpoint: &Endpoint) -> Result<Client, SetupError> {
    Ok(stakeout_http::client(Route::to(endpoint), REQUEST_TIMEOUT)?)
}

/// Sends `json` and returns the answer, whatever its status.
pub(crate) async fn post(request: RequestBuilder, json: String) -> Result<Answer, SendError> {
    let request = request.header(CONTENT_TYPE, "application/json").body(json);
    let answer = exchange(request, BodyLimit::Truncate(ANSWER_BYTES_MAX)).await.map_err(|error| failed(&error))?;
    let body = String::from_utf8_lossy(&answer.body).into_owned();
    Ok(Answer { status: answer.status, retry_after: answer.retry_after(), body })
}

impl Answer {
    /// Returns what an answer other than success means: 408, 425, 429 and 5xx are temporary, the rest is not.
    pub(crate) fn failure(&self) -> SendError {
        let reason = match self.body.trim() {
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
        ExchangeError::Unsendable { .. } => SendError::Refused { reason },
        ExchangeError::Interrupted { .. } | ExchangeError::TooLong { .. } => SendError::later(reason),
    }
}
