//! The transport to Azure: one HTTP exchange of `azure_core`, over the HTTP and TLS that the rest of Stakeout uses.
//!
//! It sends each request once. Where a fake is configured, it sends every request there, those for tokens too, so that
//! no credential leaves the machine by mistake.

use std::pin::Pin;
use std::time::Duration;

use azure_core::error::ErrorKind;
use azure_core::http::headers::{HeaderName, Headers};
use azure_core::http::{AsyncRawResponse, Body, HttpClient, Request};
use stakeout_core::text;
use stakeout_http::header::HeaderMap;
use stakeout_http::{
    BodyLimit, Client, ClientError, Endpoint, ExchangeError, Method, Network, TimeLimits, Url, exchange,
};
use thiserror::Error;

/// What a request is for, which decides the limits of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestPurpose {
    /// A token, from Entra or the machine's metadata service.
    Token,
    /// Rows.
    Query,
}

/// How requests reach Azure.
#[derive(Clone, Debug)]
pub(crate) struct HttpTransport {
    client: Client,
    /// The fake that gets every request, where one is configured.
    fake: Option<Endpoint>,
    purpose: RequestPurpose,
}

/// Why a request got no usable answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum TransportError {
    /// There was no answer, or it broke off.
    #[error("{reason}")]
    Interrupted {
        /// What happened.
        reason: String,
    },
    /// Another server than Azure's answered: a person has to act.
    #[error("{reason}")]
    Foreign {
        /// What happened.
        reason: String,
    },
    /// The answer is longer than [`RequestPurpose::body_bytes_max`].
    #[error("the answer is longer than {bytes_max} bytes")]
    TooLong {
        /// The limit.
        bytes_max: usize,
    },
    /// A token was asked for and refused.
    #[error("no token: status {status}, {message}")]
    NoToken {
        /// The HTTP status.
        status: u16,
        /// How long the service asks to wait.
        retry_after: Option<Duration>,
        /// The service's own text.
        message: String,
    },
}

impl RequestPurpose {
    /// Longest wait for a whole answer. A query may take ten minutes, and its rows have to come over the line yet.
    fn timeout(self) -> Duration {
        match self {
            RequestPurpose::Token => Duration::from_secs(30),
            RequestPurpose::Query => Duration::from_secs(660),
        }
    }

    /// Most bytes of an answer that are read. The service itself cuts answers at about 100 MB; less keeps a source from
    /// taking the memory of all others, because the answer and its rows are in memory together. A shorter window brings the
    /// rest.
    /// <https://learn.microsoft.com/azure/azure-monitor/service-limits>, "Log queries and language"
    fn body_bytes_max(self) -> usize {
        match self {
            RequestPurpose::Token => 64 << 10,
            RequestPurpose::Query => 24 << 20,
        }
    }
}

impl HttpTransport {
    /// Returns a transport over `network`.
    pub(crate) fn new(
        purpose: RequestPurpose,
        fake: Option<Endpoint>,
        network: &Network,
    ) -> Result<HttpTransport, ClientError> {
        let client = network.client(TimeLimits::of_answer(purpose.timeout()))?;
        Ok(HttpTransport { client, fake, purpose })
    }

    async fn exchange(&self, request: &Request) -> Result<AsyncRawResponse, TransportError> {
        let Body::Bytes(body) = request.body().clone() else {
            return Err(TransportError::Interrupted { reason: "cannot send a body that is not text".to_owned() });
        };
        // The one has no method that the other could not spell.
        let method = request.method().as_str().parse().unwrap_or(Method::GET);
        let url = self.directed(request.url());
        let host = url.host_str().unwrap_or("the service").to_owned();
        let mut sent = self.client.request(method, url).body(body);
        for (name, value) in request.headers().iter() {
            sent = sent.header(name.as_str(), value.as_str());
        }
        let limit = BodyLimit::Refuse(self.purpose.body_bytes_max());
        let answer = exchange(sent, limit).await.map_err(|error| failed(error, &host))?;
        let web_page = answer.web_page();
        match (web_page.clone(), answer.status) {
            (Some(reason), ..400) => return Err(TransportError::Interrupted { reason }),
            // A gateway may also say with a page that an answer is too long, takes too long, or comes too often.
            (Some(reason), 400..=407 | 409..=412 | 414..=428 | 430..=499) => {
                return Err(TransportError::Foreign { reason });
            }
            _ => {}
        }
        if self.purpose == RequestPurpose::Token && !(200..300).contains(&answer.status) {
            let message = web_page.unwrap_or_else(|| String::from_utf8_lossy(&answer.body).trim().to_owned());
            let message = text::reason(&message);
            return Err(TransportError::NoToken { status: answer.status, retry_after: answer.retry_after(), message });
        }
        Ok(AsyncRawResponse::from_bytes(answer.status.into(), headers(&answer.headers), answer.body))
    }

    /// Returns the address that a request goes to. `azure_core` hands a token to https addresses only and
    /// `azure_identity` asks no others, so they get https addresses, and the fake's address replaces them here.
    fn directed(&self, url: &Url) -> Url {
        let Some(fake) = &self.fake else {
            return url.clone();
        };
        let mut directed = fake.url().clone();
        directed.set_path(url.path());
        directed.set_query(url.query());
        directed
    }
}

impl HttpClient for HttpTransport {
    fn execute_request<'a, 'b, 'c>(
        &'a self,
        request: &'b Request,
    ) -> Pin<Box<dyn Future<Output = azure_core::Result<AsyncRawResponse>> + Send + 'c>>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        // `azure_core` does not retry this kind of error. The credential of the metadata service would otherwise retry
        // six times, whatever its options say; only the caller of this crate waits and retries.
        Box::pin(async move {
            self.exchange(request).await.map_err(|error| azure_core::Error::new(ErrorKind::Other, error))
        })
    }
}

fn headers(received: &HeaderMap) -> Headers {
    let mut headers = Headers::new();
    for (name, value) in received {
        if let Ok(value) = value.to_str() {
            headers.insert(name.as_str().to_owned(), value.to_owned());
        }
    }
    headers
}

/// Returns how long the service asks to wait.
pub(crate) fn retry_after(headers: &Headers) -> Option<Duration> {
    stakeout_http::retry_after(|name| headers.get_optional_str(&HeaderName::from(name.to_owned())))
}

fn failed(error: ExchangeError, host: &str) -> TransportError {
    match error {
        ExchangeError::TooLong { bytes_max } => TransportError::TooLong { bytes_max },
        ExchangeError::Interrupted { problem, reason } => {
            TransportError::Interrupted { reason: text::reason(&format!("{problem}: {host}: {reason}")) }
        }
        error @ ExchangeError::Misconfigured { .. } => TransportError::Foreign { reason: format!("{host}: {error}") },
        error @ ExchangeError::Unsendable { .. } => {
            TransportError::Interrupted { reason: text::reason(&error.to_string()) }
        }
    }
}
