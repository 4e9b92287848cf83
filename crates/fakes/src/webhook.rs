//! A plain webhook: takes JSON or JSON lines on any path, and keeps them.

use std::io;
use std::ops::Deref;
use std::sync::Arc;

use axum::http::Method;
use jiff::Timestamp;
use serde_json::Value;

use crate::exchange::{Answer, Asked};
use crate::fault::Refusal;
use crate::guarded::Guarded;
use crate::server::{Server, Service};

/// A running webhook; dropping it ends it.
#[derive(Debug)]
pub struct Webhook {
    server: Server,
    recorder: Arc<Recorder>,
}

/// One body that was taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Post {
    /// The path that it went to.
    pub path: String,
    /// The media type without parameters.
    pub content_type: String,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The JSON value, or one for each line.
    pub values: Vec<Value>,
    /// When it came, by the fake's clock.
    pub at: Timestamp,
}

impl Webhook {
    /// Starts on a free port of the loopback address.
    pub async fn start() -> io::Result<Self> {
        let recorder = Arc::new(Recorder::default());
        Ok(Self { server: Server::start(Arc::clone(&recorder)).await?, recorder })
    }

    /// The URL to post to; any path below it does too.
    pub fn url(&self) -> String {
        format!("{}/hook", self.server.url())
    }

    /// All bodies that were taken, in order.
    pub fn posts(&self) -> Vec<Post> {
        self.recorder.posts.lock().clone()
    }

    /// All JSON values of all bodies, in order.
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

    fn target(&self, asked: &Asked) -> String {
        format!("{} {}", asked.method, asked.path)
    }

    fn answer(&self, asked: &Asked, now: Timestamp) -> Answer {
        if asked.method != Method::POST {
            return Answer::text(405, "POST only");
        }
        let values = match read_values(&asked.body) {
            Ok(values) => values,
            Err(error) => {
                return Answer::text(400, format!("neither JSON nor JSON lines: {error}"));
            }
        };
        let text = |value: &axum::http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        self.posts.lock().push(Post {
            path: asked.path.clone(),
            content_type: asked.content_type().to_owned(),
            headers: asked.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
            values,
            at: now,
        });
        Answer::new(200, "application/json", r#"{"status":"ok"}"#)
    }

    fn refuse(&self, refusal: Refusal, _asked: &Asked) -> Answer {
        match refusal {
            Refusal::Throttled => Answer::text(429, "too many requests"),
            Refusal::InternalError => Answer::text(500, "internal error"),
            Refusal::Unavailable => Answer::text(503, "unavailable"),
            Refusal::Denied => Answer::text(403, "forbidden"),
        }
    }
}

/// Reads one value, pretty-printed or not, or one a line; an empty body is refused.
fn read_values(body: &[u8]) -> Result<Vec<Value>, serde_json::Error> {
    let values: Vec<Value> = serde_json::Deserializer::from_slice(body).into_iter().collect::<Result<_, _>>()?;
    if values.is_empty() {
        return serde_json::from_slice(body).map(|value| vec![value]);
    }
    Ok(values)
}
