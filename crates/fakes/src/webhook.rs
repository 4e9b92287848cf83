//! A plain webhook: accepts JSON or JSON lines on any path, and keeps them. It may demand a signature of Standard Webhooks.
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>

use std::io;
use std::ops::Deref;
use std::sync::Arc;

use axum::http::Method;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest, Sha256};

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

    /// Refuses from now on what is not signed with this secret: `whsec_` and a key in base64.
    ///
    /// # Panics
    ///
    /// If it is no such secret.
    pub fn demand_signature(&self, secret: &str) {
        let key = secret.strip_prefix("whsec_").and_then(|key| STANDARD.decode(key).ok());
        *self.recorder.key.lock() = Some(key.expect("whsec_ and base64"));
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
    /// The key of the signatures, if it demands any.
    key: Guarded<Option<Vec<u8>>>,
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
        if let Some(key) = &*self.key.lock()
            && let Err(problem) = verify(request, key)
        {
            return Answer::text(401, problem);
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

/// Verifies a signature, without a look at its age: the clocks of tests are years apart.
fn verify(request: &HttpRequest, key: &[u8]) -> Result<(), String> {
    let header = |name: &str| request.header(name).ok_or_else(|| format!("Missing required header {name}"));
    let (id, timestamp, signatures) =
        (header("webhook-id")?, header("webhook-timestamp")?, header("webhook-signature")?);
    if timestamp.parse::<i64>().is_err() {
        return Err("Invalid timestamp".to_owned());
    }
    let signed = [id.as_bytes(), timestamp.as_bytes(), &request.body].join(&b'.');
    let expected = format!("v1,{}", STANDARD.encode(hmac_sha256(key, &signed)));
    if signatures.split(' ').any(|signature| signature == expected) {
        return Ok(());
    }
    Err("No matching signature found".to_owned())
}

/// RFC 2104, for keys of at most a block.
fn hmac_sha256(key: &[u8], message: &[u8]) -> Vec<u8> {
    let padded = |with: u8| -> Vec<u8> {
        let key = key.iter().copied().chain(std::iter::repeat(0));
        key.take(64).map(|byte| byte ^ with).collect()
    };
    let inner = Sha256::new().chain_update(padded(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(padded(0x5c)).chain_update(inner).finalize().to_vec()
}
