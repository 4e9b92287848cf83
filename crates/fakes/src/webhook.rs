//! A plain webhook: accepts JSON or JSON lines on any path, and keeps them.

use std::io;
use std::ops::Deref;
use std::sync::Arc;

use axum::http::Method;
use jiff::Timestamp;
use serde_json::Value;

use crate::exchange::{Answer, HttpRequest};
use crate::fault::Refusal;
use crate::guarded::Guarded;
use crate::server::{Server, Service};

/// A running webhook; dropping it stops it.
#[derive(Debug)]
pub struct Webhook {
    server: Server,
    recorder: Arc<Recorder>,
}

/// One accepted body.
#[derive(Clone, Debug, PartialEq)]
pub struct Post {
    /// Its path.
    pub path: String,
    /// The media type without parameters.
    pub content_type: String,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The JSON value, or one for each line.
    pub values: Vec<Value>,
    /// The time of arrival by the fake's clock.
    pub at: Timestamp,
}

impl Webhook {
    /// Starts on a free port of the loopback address.
    pub async fn start() -> io::Result<Self> {
        let recorder = Arc::new(Recorder::default());
        Ok(Self { server: Server::start(Arc::clone(&recorder)).await?, recorder })
    }

    /// Returns the URL to post to; any path below it also works.
    pub fn url(&self) -> String {
        format!("{}/hook", self.server.url())
    }

    /// Returns all accepted bodies in order.
    pub fn posts(&self) -> Vec<Post> {
        self.recorder.posts.lock().clone()
    }

    /// Returns all JSON values of all bodies in order.
    pub fn values(&self) -> Vec<Value> {
        self.posts().into_iter().flat_map(|post| post.values).collect()
    }
}

impl Deref for Webhook {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

#[derive(Debug, Default)]
struct Recorder {
    posts: Guarded<Vec<Post>>,
}

impl Service for Recorder {
    const NAME: &'static str = "webhook";

    fn target(&self, request: &HttpRequest) -> String {
        format!("{} {}", request.method, request.path)
    }

    fn answer(&self, request: &HttpRequest, now: Timestamp) -> Answer {
        if request.method != Method::POST {
            return Answer::text(405, "POST only");
        }
        let values = match read_values(&request.body) {
            Ok(values) => values,
            Err(error) => {
                return Answer::text(400, format!("neither JSON nor JSON lines: {error}"));
            }
        };
        let text = |value: &axum::http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        self.posts.lock().push(Post {
            path: request.path.clone(),
            content_type: request.content_type().to_owned(),
            headers: request.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
            values,
            at: now,
        });
        Answer::new(200, "application/json", r#"{"status":"ok"}"#)
    }

    fn refuse(&self, refusal: Refusal, _request: &HttpRequest) -> Answer {
        match refusal {
            Refusal::Throttled => Answer::text(429, "too many requests"),
            Refusal::InternalError => Answer::text(500, "internal error"),
            Refusal::Unavailable => Answer::text(503, "unavailable"),
            Refusal::Denied => Answer::text(403, "forbidden"),
        }
    }
}

/// Reads one value, pretty-printed or not, or one per line; refuses an empty body.
fn read_values(body: &[u8]) -> Result<Vec<Value>, serde_json::Error> {
    let values: Vec<Value> = serde_json::Deserializer::from_slice(body).into_iter().collect::<Result<_, _>>()?;
    if values.is_empty() {
        return serde_json::from_slice(body).map(|value| vec![value]);
    }
    Ok(values)
}
