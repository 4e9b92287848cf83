//! One request and its answer, bounded in length. An answer of any status is an answer.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{RequestBuilder, Response};
use thiserror::Error;

use crate::error_chain::{find, message, root_message};
use crate::retry_after::retry_after;

/// What to do about a certificate that is not trusted.
const UNTRUSTED_FIX: &str = "if a proxy opens TLS connections, add its CA with `tls: {ca_file: PATH}`; otherwise check the \
                             address, and the clock of this machine";

/// What to do about a proxy that demands a password.
const PROXY_PASSWORD_FIX: &str = "write them into the variable that names it: http://USER:PASSWORD@HOST:PORT";

/// What a service answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, as far as the limit allows.
    pub body: Vec<u8>,
}

/// How many bytes of a body are read, and what happens to a longer one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLimit {
    /// The rest of a longer body is dropped.
    Truncate(usize),
    /// A longer body is an error.
    Refuse(usize),
}

/// Why a request got no answer. No text in it contains the address; a reason may contain text of another party, so it
/// has to be shortened and made visible before it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ExchangeError {
    /// The request cannot be built: change what it consists of.
    #[error("cannot build the request: {reason}")]
    Unsendable {
        /// What the HTTP library reports.
        reason: String,
    },
    /// The service or the network did not answer, or broke off: the same request may succeed later.
    #[error("{problem}: {reason}")]
    Interrupted {
        /// What happened: `timed out`, `cannot connect` or `the connection broke`.
        problem: &'static str,
        /// What the HTTP library reports.
        reason: String,
    },
    /// The way to the service is not set up: a person has to act.
    #[error("{problem} ({fix})")]
    Misconfigured {
        /// What is wrong: the server's certificate is not trusted, or the proxy demands a password.
        problem: String,
        /// What to do.
        fix: &'static str,
    },
    /// The body is longer than [`BodyLimit::Refuse`] allows: ask for less.
    #[error("the answer is longer than {bytes_max} bytes")]
    TooLong {
        /// The limit.
        bytes_max: usize,
    },
}

impl Answer {
    /// Returns how long the answer asks to wait before the next request.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        retry_after(|name| self.headers.get(name).and_then(|value| value.to_str().ok()))
    }

    /// Returns the problem, if a web page came in place of the service's answer; see [`web_page`].
    #[must_use]
    pub fn web_page(&self) -> Option<String> {
        let content_type = self.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        web_page(self.status, content_type, &self.body)
    }
}

/// Returns the problem, if an answer is a web page: no service that is asked here gives one, but proxies, firewalls and
/// captive portals do.
#[must_use]
pub fn web_page(status: u16, content_type: Option<&str>, body: &[u8]) -> Option<String> {
    let begins_with = |tag: &str| {
        let body = body.trim_ascii_start();
        body.get(..tag.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(tag.as_bytes()))
    };
    let is_html = content_type.is_some_and(|it| it.trim_start().to_ascii_lowercase().starts_with("text/html"));
    (is_html || begins_with("<!doctype html") || begins_with("<html")).then(|| {
        format!(
            "a web page came in place of the service's answer, with http status {status}: something on the way answered, \
             such as a proxy, a firewall or a captive portal; `stakeout doctor` shows which way requests go"
        )
    })
}

/// Sends a request and reads its answer.
///
/// # Errors
///
/// Where no whole answer came; see [`ExchangeError`].
pub async fn exchange(request: RequestBuilder, limit: BodyLimit) -> Result<Answer, ExchangeError> {
    let response = request.send().await.map_err(failed)?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Ok(Answer { status, headers, body: body(response, limit).await? })
}

async fn body(mut response: Response, limit: BodyLimit) -> Result<Vec<u8>, ExchangeError> {
    let (BodyLimit::Truncate(bytes_max) | BodyLimit::Refuse(bytes_max)) = limit;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        let room = bytes_max - body.len();
        if chunk.len() <= room {
            body.extend_from_slice(&chunk);
            continue;
        }
        if let BodyLimit::Refuse(bytes_max) = limit {
            return Err(ExchangeError::TooLong { bytes_max });
        }
        body.extend_from_slice(&chunk[..room]);
        break;
    }
    Ok(body)
}

fn failed(error: reqwest::Error) -> ExchangeError {
    let error = error.without_url();
    if let Some(rustls::Error::InvalidCertificate(certificate)) = find::<rustls::Error>(&error) {
        let problem = format!("the server's certificate is not trusted: {certificate}");
        return ExchangeError::Misconfigured { problem, fix: UNTRUSTED_FIX };
    }
    let reason = root_message(&error);
    if error.is_builder() {
        return ExchangeError::Unsendable { reason };
    }
    // The library's errors of a proxy have no type of their own.
    let whole = message(&error);
    let is_of_proxy = whole.contains("tunnel error");
    if is_of_proxy && whole.contains("authorization required") {
        let problem = "the proxy demands a user name and a password".to_owned();
        return ExchangeError::Misconfigured { problem, fix: PROXY_PASSWORD_FIX };
    }
    let problem = if error.is_timeout() {
        "timed out"
    } else if is_of_proxy {
        "the proxy refused the connection"
    } else if error.is_connect() {
        "cannot connect"
    } else {
        "the connection broke"
    };
    ExchangeError::Interrupted { problem, reason }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::network::{Network, TimeLimits};

    fn client() -> reqwest::Client {
        Network::default().client(TimeLimits::of_answer(Duration::from_secs(5))).expect("a client")
    }

    /// Returns what becomes of a request that a server answers with `answer` before it closes the connection.
    async fn answered(answer: &str, limit: BodyLimit) -> Result<Answer, ExchangeError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/canary?canary", listener.local_addr().expect("bound"));
        let server = async {
            let (mut connection, _) = listener.accept().await.expect("a connection");
            let _request = connection.read(&mut [0; 4_096]).await.expect("a request");
            connection.write_all(answer.as_bytes()).await.expect("sent");
        };
        let client = client();
        let (answer, ()) = tokio::join!(exchange(client.get(url), limit), server);
        answer
    }

    #[tokio::test]
    async fn every_status_is_an_answer_and_its_body_is_bounded() {
        let text = "HTTP/1.1 429 Slow\r\nretry-after: 7\r\ncontent-length: 5\r\n\r\nhello";
        let whole = answered(text, BodyLimit::Refuse(5)).await.expect("an answer");
        assert_eq!((whole.status, whole.body.as_slice()), (429, b"hello".as_slice()));
        assert_eq!(whole.retry_after(), Some(Duration::from_secs(7)));
        assert_eq!(answered(text, BodyLimit::Truncate(4)).await.expect("an answer").body, b"hell");
        assert_eq!(answered(text, BodyLimit::Refuse(4)).await, Err(ExchangeError::TooLong { bytes_max: 4 }));
        let redirect = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(answered(redirect, BodyLimit::Refuse(4)).await.expect("an answer").status, 302);
    }

    #[tokio::test]
    async fn an_error_names_no_address() {
        for half in ["", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe", "no http"] {
            let error = answered(half, BodyLimit::Refuse(9)).await.expect_err("not an answer");
            assert!(matches!(error, ExchangeError::Interrupted { .. }), "{error}");
            assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
        }
        let client = client();
        let error = exchange(client.get("canary"), BodyLimit::Refuse(9)).await.expect_err("not an address");
        assert!(matches!(error, ExchangeError::Unsendable { .. }), "{error}");
        assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
    }

    #[tokio::test]
    async fn a_web_page_is_recognized_by_its_type_and_by_its_text() {
        for page in [
            "HTTP/1.1 200 OK\r\ncontent-type: Text/HTML; charset=utf-8\r\ncontent-length: 2\r\n\r\nhi",
            "HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n\n <!DOCTYPE html><htm",
            "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n<HTML>",
        ] {
            let answer = answered(page, BodyLimit::Refuse(99)).await.expect("an answer");
            assert!(answer.web_page().is_some_and(|problem| problem.contains("http status 200")), "{page}");
        }
        let json = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 8\r\n\r\n\"<html>\"";
        assert_eq!(answered(json, BodyLimit::Refuse(99)).await.expect("an answer").web_page(), None);
    }
}
