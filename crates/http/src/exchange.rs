//! One request and its answer, bounded in length. An answer of any status is an answer.

use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{RequestBuilder, Response};
use thiserror::Error;

use crate::error_chain::root_message;
use crate::retry_after::retry_after;

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
    let reason = root_message(&error);
    if error.is_builder() {
        return ExchangeError::Unsendable { reason };
    }
    let problem = if error.is_timeout() {
        "timed out"
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
    use crate::client::{Route, client};

    /// Returns what becomes of a request that a server answers with `answer` before it closes the connection.
    async fn answered(answer: &str, limit: BodyLimit) -> Result<Answer, ExchangeError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/canary?canary", listener.local_addr().expect("bound"));
        let server = async {
            let (mut connection, _) = listener.accept().await.expect("a connection");
            let _request = connection.read(&mut [0; 4_096]).await.expect("a request");
            connection.write_all(answer.as_bytes()).await.expect("sent");
        };
        let client = client(Route::Direct, Duration::from_secs(5)).expect("a client");
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
        let client = client(Route::Direct, Duration::from_secs(5)).expect("a client");
        let error = exchange(client.get("canary"), BodyLimit::Refuse(9)).await.expect_err("not an address");
        assert!(matches!(error, ExchangeError::Unsendable { .. }), "{error}");
        assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
    }
}
