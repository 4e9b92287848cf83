//! One POST and its answer: addresses that may be posted to, time limits, and what a status allows.
//!
//! Redirects are not followed, since they would take the message somewhere that nobody configured. Nothing of an address gets into
//! an error: it may be a secret.

use std::error::Error;
use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response, Url};
use stakeout_core::text::{bounded, visible};

use crate::error::{SendError, SetupError};

/// Longest wait for a connection. Over it the destination is taken to be down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for the whole answer. Slack and most receivers answer within a second.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Most bytes of an answer that are read: answers are a word or a short object, and the rest is not ours to keep.
const ANSWER_BYTES_MAX: usize = 4_096;
/// Longest quote of an answer in an error, in characters.
const QUOTE_CHARS_MAX: usize = 200;
/// Longest time that an answer may make us wait; a destination cannot silence us for a day.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);

/// What a destination said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: String,
}

/// Reads an address, without user and password.
pub(crate) fn parse(url: &str) -> Result<Url, SetupError> {
    let url = Url::parse(url).map_err(|_| SetupError::Address { reason: "the address is no URL" })?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(SetupError::Address { reason: "the address holds a user or a password" });
    }
    Ok(url)
}

/// Tells whether `url` is plain http on a loopback address: 127.0.0.0/8, ::1 or localhost.
pub(crate) fn is_plain_loopback(url: &Url) -> bool {
    let is_loopback = url.host_str().is_some_and(|host| {
        host == "localhost" || host.trim_matches(['[', ']']).parse().is_ok_and(|address: IpAddr| address.is_loopback())
    });
    url.scheme() == "http" && is_loopback
}

/// Returns a client for `url`.
pub(crate) fn client(url: &Url) -> Result<Client, SetupError> {
    // reqwest panics without a default provider; whoever installed one before has the say.
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        let _lost_a_race = rustls::crypto::ring::default_provider().install_default();
    }
    let mut builder = Client::builder()
        .redirect(Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(REQUEST_TIMEOUT)
        .user_agent(concat!("stakeout/", env!("CARGO_PKG_VERSION")));
    if is_plain_loopback(url) {
        builder = builder.no_proxy();
    }
    builder.build().map_err(|error| SetupError::Client { reason: cause(&error.without_url()) })
}

/// Sends `json` and returns the answer, whatever its status.
pub(crate) async fn post(request: RequestBuilder, json: String) -> Result<Answer, SendError> {
    let sent = request.header(CONTENT_TYPE, "application/json").body(json).send().await;
    let response = sent.map_err(failed)?;
    let status = response.status().as_u16();
    let retry_after = retry_after(&response);
    Ok(Answer { status, retry_after, body: body(response).await? })
}

impl Answer {
    /// Returns what an answer that is no success means: 408, 425, 429 and 5xx pass by themselves, the rest does not.
    pub(crate) fn failure(&self) -> SendError {
        let reason = match self.body.trim() {
            "" => format!("status {}", self.status),
            said => quoted(&format!("status {}: {said}", self.status)),
        };
        match self.status {
            408 | 425 | 429 | 500..=599 => SendError::Later { after: self.retry_after, reason },
            300..=399 => SendError::refused(format!("status {}: redirects are not followed", self.status)),
            _ => SendError::Refused { reason },
        }
    }
}

/// Returns foreign words fit for an error.
pub(crate) fn quoted(text: &str) -> String {
    bounded(&visible(text), QUOTE_CHARS_MAX)
}

async fn body(mut response: Response) -> Result<String, SendError> {
    let mut bytes = Vec::new();
    while bytes.len() < ANSWER_BYTES_MAX {
        match response.chunk().await.map_err(failed)? {
            Some(chunk) => bytes.extend_from_slice(&chunk),
            None => break,
        }
    }
    bytes.truncate(ANSWER_BYTES_MAX);
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Returns the wait that `Retry-After` asks for, in seconds or up to a date (RFC 9110, section 10.2.3).
///
/// A date is counted from the answer's own `Date`, so that neither clock has to be right.
fn retry_after(response: &Response) -> Option<Duration> {
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
    let asked = header(RETRY_AFTER.as_str())?.trim();
    let wait = match asked.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = |text: &str| rfc2822::parse(text).ok().map(|at| at.timestamp());
            let (until, said): (Timestamp, Timestamp) = (date(asked)?, date(header("date")?)?);
            Duration::from_secs(u64::try_from(until.as_second() - said.as_second()).unwrap_or(0))
        }
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

fn failed(error: reqwest::Error) -> SendError {
    let error = error.without_url();
    if error.is_builder() {
        return SendError::refused(format!("the request cannot be built: {}", cause(&error)));
    }
    let what = if error.is_timeout() {
        "timed out"
    } else if error.is_connect() {
        "cannot connect"
    } else {
        "the connection broke"
    };
    SendError::later(format!("{what}: {}", cause(&error)))
}

/// Returns the words of the innermost error.
fn cause(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    quoted(&cause.to_string())
}
