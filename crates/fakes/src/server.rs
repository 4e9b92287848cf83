//! The HTTP server of all fakes: it reads a request, records it, applies the fault and calls the service. Services are
//! synchronous, so they cannot hold a lock across an await.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderValue, Method, header};
use axum::response::Response;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::connection::{ConnectionCutter, CuttableListener};
use crate::exchange::{Answer, HttpRequest};
use crate::fault::{AnswerEnding, Fault, FaultSwitch, Faults, Refusal};
use crate::guarded::Guarded;
use crate::request::RecordedRequest;
use crate::sigv4;

/// Larger than the largest request of any of the originals (a 1 MB batch of events, escaped as JSON).
const BODY_BYTES_MAX: usize = 16 << 20;

/// How a fake answers a request; everything around it belongs to [`Server`].
pub(crate) trait Service: Send + Sync + 'static {
    /// The name in the health answer.
    const NAME: &'static str;

    /// Names the operation, for the list of requests.
    fn target(&self, request: &HttpRequest) -> String;

    /// Executes a request.
    fn answer(&self, request: &HttpRequest, now: Timestamp) -> Answer;

    /// Returns a refusal in the format of the original.
    fn refuse(&self, refusal: Refusal, request: &HttpRequest) -> Answer;
}

/// A running server, common to all fakes. Dropping it stops it.
#[derive(Debug)]
pub struct Server {
    controls: Arc<Controls>,
    address: SocketAddr,
    /// Only its drop matters: it ends the listener and all held requests.
    _open: watch::Sender<()>,
}

/// Set and read by tests while requests arrive.
#[derive(Debug, Default)]
struct Controls {
    clock: Clock,
    faults: FaultSwitch,
    requests: Guarded<Vec<RecordedRequest>>,
}

/// Shared by all requests.
struct SharedServer<S> {
    service: Arc<S>,
    controls: Arc<Controls>,
    closed: watch::Receiver<()>,
}

impl Server {
    /// Starts the service on a free port of the loopback address.
    pub(crate) async fn start<S: Service>(service: Arc<S>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (open, closed) = watch::channel(());
        let controls = Arc::new(Controls::default());
        let shared = Arc::new(SharedServer { service, controls: Arc::clone(&controls), closed });
        let router = Router::new().fallback(exchange::<S>).with_state(Arc::clone(&shared));
        let mut closed = shared.closed.clone();
        let serve =
            axum::serve(CuttableListener(listener), router.into_make_service_with_connect_info::<ConnectionCutter>())
                .with_graceful_shutdown(async move { while closed.changed().await.is_ok() {} });
        tokio::spawn(async move { serve.await });
        Ok(Self { controls, address, _open: open })
    }

    /// The base URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The clock of the fake.
    pub fn clock(&self) -> &Clock {
        &self.controls.clock
    }

    /// Replaces the faults.
    pub fn set_faults(&self, faults: Faults) {
        self.faults().set(faults);
    }

    /// The faults, to script and to release.
    pub fn faults(&self) -> &FaultSwitch {
        &self.controls.faults
    }

    /// All requests so far, in order.
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.controls.requests.lock().clone()
    }
}

/// Handles one request, and dates its answer by the fake's clock.
async fn exchange<S: Service>(
    State(shared): State<Arc<SharedServer<S>>>,
    ConnectInfo(cutter): ConnectInfo<ConnectionCutter>,
    request: axum::extract::Request,
) -> Response {
    let mut response = answered(&shared, &cutter, request).await;
    let date = DateTimePrinter::new().timestamp_to_rfc9110_string(&shared.controls.clock.now());
    if let Some(date) = date.ok().and_then(|date| HeaderValue::try_from(date).ok()) {
        response.headers_mut().insert(header::DATE, date);
    }
    response
}

async fn answered<S: Service>(
    shared: &SharedServer<S>,
    cutter: &ConnectionCutter,
    request: axum::extract::Request,
) -> Response {
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_BYTES_MAX).await else {
        return Answer::text(413, "request body too large or cut short").into_response();
    };
    let request = HttpRequest::new(head, body);
    if request.method == Method::GET && request.path == "/" {
        return health(S::NAME).into_response();
    }
    let (fault, release) = shared.controls.faults.take();
    shared.record(&request, fault.clone());
    let ending = match fault {
        None => AnswerEnding::Whole,
        Some(Fault::Throttled { retry_after_s }) => {
            return shared.throttle(retry_after_s, &request).into_response();
        }
        Some(Fault::InternalError) => return shared.refuse(Refusal::InternalError, &request),
        Some(Fault::Unavailable) => return shared.refuse(Refusal::Unavailable, &request),
        Some(Fault::Busy { retry_after_s }) => {
            let answer = shared.service.refuse(Refusal::Unavailable, &request);
            return answer.with_header("retry-after", retry_after_s.to_string()).into_response();
        }
        Some(Fault::Denied) => return shared.refuse(Refusal::Denied, &request),
        Some(Fault::Answer { status, body }) => return Answer::text(status, body).into_response(),
        Some(Fault::Hang) => shared.hang(release).await,
        Some(Fault::ResetMidBody) => AnswerEnding::ResetMidBody,
        Some(Fault::TruncatedBody) => AnswerEnding::TruncatedBody,
        Some(Fault::AnswerLost) => AnswerEnding::Lost,
    };
    finish(shared.service.answer(&request, shared.controls.clock.now()), ending, cutter)
}

impl<S: Service> SharedServer<S> {
    fn record(&self, request: &HttpRequest, fault: Option<Fault>) {
        let scope = request.header(header::AUTHORIZATION.as_str()).and_then(sigv4::scope_of);
        self.controls.requests.lock().push(RecordedRequest {
            target: self.service.target(request),
            body: String::from_utf8_lossy(&request.body).into_owned(),
            at: self.controls.clock.now(),
            signed_by: scope.map(|scope| (scope.access_key, scope.region)),
            fault,
        });
    }

    fn refuse(&self, refusal: Refusal, request: &HttpRequest) -> Response {
        self.service.refuse(refusal, request).into_response()
    }

    fn throttle(&self, retry_after_s: Option<u32>, request: &HttpRequest) -> Answer {
        let answer = self.service.refuse(Refusal::Throttled, request);
        match retry_after_s {
            Some(seconds) => answer.with_header("retry-after", seconds.to_string()),
            None => answer,
        }
    }

    /// Waits for the release, or for the end of the server.
    async fn hang(&self, mut release: watch::Receiver<u64>) -> AnswerEnding {
        let mut closed = self.closed.clone();
        tokio::select! {
            _ = release.changed() => AnswerEnding::Whole,
            _ = closed.changed() => AnswerEnding::Lost,
        }
    }
}

fn finish(answer: Answer, ending: AnswerEnding, cutter: &ConnectionCutter) -> Response {
    match ending {
        AnswerEnding::Whole => answer.into_response(),
        AnswerEnding::TruncatedBody => answer.truncated().into_response(),
        AnswerEnding::Lost => {
            cutter.cut_now();
            answer.into_response()
        }
        AnswerEnding::ResetMidBody => {
            cutter.cut_in_body(answer.body.len() / 2);
            answer.into_response()
        }
    }
}

fn health(name: &str) -> Answer {
    Answer::new(200, "application/json", serde_json::json!({"service": name, "status": "ok"}).to_string())
}
