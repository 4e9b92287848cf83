//! The one HTTP server under all stand-ins: it reads a request, writes it down, applies the fault and asks the service.
//! Services are synchronous, so no lock of theirs can be held across an await.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts};
use axum::response::Response;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::fault::{Ending, Fault, FaultSwitch, Refusal};
use crate::guarded::Guarded;
use crate::line::{Lines, Scissors};
use crate::request::Request;
use crate::sigv4;

/// Larger than the largest request of any of the originals (a 1 MB batch of events, escaped as JSON).
const BODY_BYTES_MAX: usize = 16 << 20;

/// What a stand-in does with a request; everything around it belongs to [`Server`].
pub(crate) trait Service: Send + Sync + 'static {
    /// The name that the health answer gives.
    const NAME: &'static str;

    /// Names the operation, for the list of requests.
    fn target(&self, asked: &Asked) -> String;

    /// Carries a request out.
    fn answer(&self, asked: &Asked) -> Answer;

    /// Words a refusal as the original does.
    fn refuse(&self, refusal: Refusal, asked: &Asked) -> Answer;

    /// The time that the service believes in.
    fn clock(&self) -> &Clock;
}

/// A request with its body read.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Asked {
    fn new(head: Parts, body: Bytes) -> Self {
        Self { method: head.method, path: head.uri.path().to_owned(), headers: head.headers, body }
    }

    /// Reads a header as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The media type without its parameters.
    pub(crate) fn content_type(&self) -> &str {
        let whole = self.header("content-type").unwrap_or_default();
        whole.split(';').next().unwrap_or_default().trim()
    }
}

/// An answer before it is put on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn new(status: u16, content_type: &str, body: impl Into<String>) -> Self {
        Self { status, headers: vec![("content-type", content_type.to_owned())], body: body.into() }
    }

    pub(crate) fn text(status: u16, body: impl Into<String>) -> Self {
        Self::new(status, "text/plain; charset=utf-8", body)
    }

    pub(crate) fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn truncated(mut self) -> Self {
        let half = self.body.floor_char_boundary(self.body.len() / 2);
        self.body.truncate(half);
        self
    }

    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}

/// A running stand-in; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Server<S> {
    site: Arc<Site<S>>,
    address: SocketAddr,
    /// Only its drop matters: it ends the listener and whatever hangs.
    _open: watch::Sender<()>,
}

#[derive(Debug)]
struct Site<S> {
    service: S,
    faults: FaultSwitch,
    requests: Guarded<Vec<Request>>,
    closed: watch::Receiver<()>,
}

impl<S: Service> Server<S> {
    /// Starts the service on a free port of the loopback address.
    pub(crate) async fn start(service: S) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (open, closed) = watch::channel(());
        let site = Site { service, faults: FaultSwitch::default(), requests: Guarded::default(), closed };
        let site = Arc::new(site);
        let router = Router::new().fallback(exchange::<S>).with_state(Arc::clone(&site));
        let mut closed = site.closed.clone();
        let serve = axum::serve(Lines(listener), router.into_make_service_with_connect_info::<Scissors>())
            .with_graceful_shutdown(async move { while closed.changed().await.is_ok() {} });
        tokio::spawn(async move { serve.await });
        Ok(Self { site, address, _open: open })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn service(&self) -> &S {
        &self.site.service
    }

    pub(crate) fn faults(&self) -> &FaultSwitch {
        &self.site.faults
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.site.requests.lock().clone()
    }
}

/// Takes one request from its first byte to its last.
async fn exchange<S: Service>(
    State(site): State<Arc<Site<S>>>,
    ConnectInfo(scissors): ConnectInfo<Scissors>,
    request: axum::extract::Request,
) -> Response {
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_BYTES_MAX).await else {
        return Answer::text(413, "request body too large or cut short").into_response();
    };
    let asked = Asked::new(head, body);
    if asked.method == Method::GET && asked.path == "/" {
        return health(S::NAME).into_response();
    }
    let (fault, release) = site.faults.take();
    site.write_down(&asked, fault.clone());
    let ending = match fault {
        None => Ending::Whole,
        Some(Fault::Throttled { retry_after_s }) => {
            return site.throttle(retry_after_s, &asked).into_response();
        }
        Some(Fault::InternalError) => return site.refuse(Refusal::InternalError, &asked),
        Some(Fault::Unavailable) => return site.refuse(Refusal::Unavailable, &asked),
        Some(Fault::Denied) => return site.refuse(Refusal::Denied, &asked),
        Some(Fault::Answer { status, body }) => return Answer::text(status, body).into_response(),
        Some(Fault::Hang) => site.hang(release).await,
        Some(Fault::ResetMidBody) => Ending::ResetMidBody,
        Some(Fault::TruncatedBody) => Ending::TruncatedBody,
        Some(Fault::AnswerLost) => Ending::Lost,
    };
    finish(site.service.answer(&asked), ending, &scissors)
}

impl<S: Service> Site<S> {
    fn write_down(&self, asked: &Asked, fault: Option<Fault>) {
        let scope = asked.header(header::AUTHORIZATION.as_str()).and_then(sigv4::scope_of);
        self.requests.lock().push(Request {
            target: self.service.target(asked),
            body: String::from_utf8_lossy(&asked.body).into_owned(),
            at: self.service.clock().now(),
            signed_by: scope.map(|scope| (scope.access_key, scope.region)),
            fault,
        });
    }

    fn refuse(&self, refusal: Refusal, asked: &Asked) -> Response {
        self.service.refuse(refusal, asked).into_response()
    }

    fn throttle(&self, retry_after_s: Option<u32>, asked: &Asked) -> Answer {
        let answer = self.service.refuse(Refusal::Throttled, asked);
        match retry_after_s {
            Some(seconds) => answer.with_header("retry-after", seconds.to_string()),
            None => answer,
        }
    }

    /// Waits for the release, or for the end of the server.
    async fn hang(&self, mut release: watch::Receiver<u64>) -> Ending {
        let mut closed = self.closed.clone();
        tokio::select! {
            _ = release.changed() => Ending::Whole,
            _ = closed.changed() => Ending::Lost,
        }
    }
}

fn finish(answer: Answer, ending: Ending, scissors: &Scissors) -> Response {
    match ending {
        Ending::Whole => answer.into_response(),
        Ending::TruncatedBody => answer.truncated().into_response(),
        Ending::Lost => {
            scissors.cut_now();
            answer.into_response()
        }
        Ending::ResetMidBody => {
            scissors.cut_in_body(answer.body.len() / 2);
            answer.into_response()
        }
    }
}

fn health(name: &str) -> Answer {
    Answer::new(200, "application/json", serde_json::json!({"service": name, "status": "ok"}).to_string())
}
