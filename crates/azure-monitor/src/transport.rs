//! The line to Azure: one HTTP exchange of `azure_core`, over the HTTP and TLS that the rest of Stakeout has.
//!
//! A line asks once. It bounds what is read and how long that may take, follows no redirect, and where a fake is
//! configured, it leads every request there, the ones for tokens too: no credential leaves the machine by mistake.

use std::error::Error;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

use azure_core::error::ErrorKind;
use azure_core::http::headers::{Headers, RETRY_AFTER};
use azure_core::http::{AsyncRawResponse, Body, HttpClient, Request};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};
use stakeout_core::cause::shown;
use thiserror::Error;

use crate::failure::SetupError;

/// Longest wait for a connection. Over it the service is taken to be down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What a request is about, which says how its answer is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A token, from Entra or the machine's metadata service.
    Token,
    /// Rows.
    Query,
}

/// How requests get to Azure.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    client: Client,
    stand_in: Option<Url>,
    purpose: Purpose,
}

/// Why a request got no answer that is of use.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum LineFault {
    /// There was no answer, or half of one.
    #[error("{0}")]
    Broken(String),
    /// There was more than is read.
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
    /// A token was asked for and not given.
    #[error("no token: status {status}, {words}")]
    NoToken {
        /// The HTTP status.
        status: u16,
        /// How long the service asks to wait.
        retry_after: Option<Duration>,
        /// The service's words.
        words: String,
    },
}

impl Purpose {
    /// Longest wait for a whole answer. A query may take ten minutes, and its rows have to come over the line yet.
    fn timeout(self) -> Duration {
        match self {
            Purpose::Token => Duration::from_secs(30),
            Purpose::Query => Duration::from_secs(660),
        }
    }

    /// Most bytes of an answer that are read. The service itself cuts answers at about 100 MB; less keeps a source from
    /// taking the memory of all others, and a shorter window brings the rest.
    /// <https://learn.microsoft.com/azure/azure-monitor/service-limits>, "Log queries and language"
    fn body_bytes_max(self) -> usize {
        match self {
            Purpose::Token => 64 << 10,
            Purpose::Query => 64 << 20,
        }
    }
}

/// Tells whether `url` is plain http on a loopback address: 127.0.0.0/8, ::1 or localhost.
pub(crate) fn is_plain_loopback(url: &Url) -> bool {
    let is_loopback = url.host_str().is_some_and(|host| {
        host == "localhost" || host.trim_matches(['[', ']']).parse().is_ok_and(|address: IpAddr| address.is_loopback())
    });
    url.scheme() == "http" && is_loopback
}

impl Line {
    /// Returns a line. One that is `direct` goes through no proxy, as the machine's metadata service demands.
    pub(crate) fn new(purpose: Purpose, stand_in: Option<Url>, is_direct: bool) -> Result<Line, SetupError> {
        // reqwest panics without a default provider; whoever installed one before has the say.
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            let _lost_a_race = rustls::crypto::ring::default_provider().install_default();
        }
        let mut builder = Client::builder()
            .redirect(Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(purpose.timeout())
            .user_agent(concat!("stakeout/", env!("CARGO_PKG_VERSION")));
        if is_direct || stand_in.is_some() {
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|error| SetupError::Client { reason: cause(&error.without_url()) })?;
        Ok(Line { client, stand_in, purpose })
    }

    async fn exchange(&self, request: &Request) -> Result<AsyncRawResponse, LineFault> {
        let Body::Bytes(body) = request.body().clone() else {
            return Err(LineFault::Broken("a body that is no text cannot be sent".to_owned()));
        };
        // The one has no method that the other could not spell.
        let method = request.method().as_str().parse().unwrap_or(reqwest::Method::GET);
        let mut sent = self.client.request(method, self.directed(request.url())).body(body);
        for (name, value) in request.headers().iter() {
            sent = sent.header(name.as_str(), value.as_str());
        }
        let response = sent.send().await.map_err(broken)?;
        let status = response.status().as_u16();
        let headers = headers(&response);
        let body = self.body(response).await?;
        if self.purpose == Purpose::Token && !(200..300).contains(&status) {
            let words = shown(String::from_utf8_lossy(&body).trim());
            return Err(LineFault::NoToken { status, retry_after: retry_after(&headers), words });
        }
        Ok(AsyncRawResponse::from_bytes(status.into(), headers, body))
    }

    /// Returns where a request goes. `azure_core` hands a token to https addresses only and `azure_identity` asks no
    /// other; so they are given those, and the fake's is put in their place here.
    fn directed(&self, url: &Url) -> Url {
        let Some(stand_in) = &self.stand_in else {
            return url.clone();
        };
        let mut directed = stand_in.clone();
        directed.set_path(url.path());
        directed.set_query(url.query());
        directed
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>, LineFault> {
        let bytes_max = self.purpose.body_bytes_max();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(broken)? {
            if body.len() + chunk.len() > bytes_max {
                return Err(LineFault::TooLong(bytes_max));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

impl HttpClient for Line {
    fn execute_request<'a, 'b, 'c>(
        &'a self,
        request: &'b Request,
    ) -> Pin<Box<dyn Future<Output = azure_core::Result<AsyncRawResponse>> + Send + 'c>>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        // A kind of error that nobody asks again after: the credential of the metadata service asks six more times by
        // itself, whatever its options say, and the caller of this crate is the one who waits.
        Box::pin(async move {
            self.exchange(request).await.map_err(|fault| azure_core::Error::new(ErrorKind::Other, fault))
        })
    }
}

fn headers(response: &Response) -> Headers {
    let mut headers = Headers::new();
    for (name, value) in response.headers() {
        if let Ok(value) = value.to_str() {
            headers.insert(name.as_str().to_owned(), value.to_owned());
        }
    }
    headers
}

/// Returns how long the service asks to wait. A date is not read: that would take a clock.
pub(crate) fn retry_after(headers: &Headers) -> Option<Duration> {
    let seconds = headers.get_optional_str(&RETRY_AFTER)?.trim().parse::<u32>().ok()?;
    Some(Duration::from_secs(seconds.into()))
}

fn broken(error: reqwest::Error) -> LineFault {
    let what = if error.is_timeout() {
        "timed out"
    } else if error.is_connect() {
        "cannot connect"
    } else {
        "the connection broke"
    };
    let host = error.url().and_then(Url::host_str).unwrap_or("the service").to_owned();
    LineFault::Broken(shown(&format!("{what}: {host}: {}", cause(&error.without_url()))))
}

/// Returns the words of the innermost error.
fn cause(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    shown(&cause.to_string())
}
