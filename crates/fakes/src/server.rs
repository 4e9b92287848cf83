//! The one HTTP server under all fakes: it reads a request, writes it down, applies the fault and asks the service.
//! Services are synchronous, so no lock of theirs can be held across an await.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{ConnectInfo, State};
use axum::http::{Method, header};
use axum::response::Response;
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::exchange::{Answer, Asked};
use crate::fault::{Ending, Fault, FaultSwitch, Faults, Refusal};
use crate::guarded::Guarded;
use crate::line::{Lines, Scissors};
use crate::request::Request;
use crate::sigv4;

/// Larger than the largest request of any of the originals (a 1 MB batch of events, escaped as JSON).
const BODY_BYTES_MAX: usize = 16 << 20;

/// What a fake does with a request; everything around it belongs to [`Server`].
pub(crate) trait Service: Send + Sync + 'static {
    /// The name that the health answer gives.
    const NAME: &'static str;

    /// Names the operation, for the list of requests.
    fn target(&self, asked: &Asked) -> String;

    /// Carries a request out.
    fn answer(&self, asked: &Asked, now: Timestamp) -> Answer;

    /// Words a refusal as the original does.
    fn refuse(&self, refusal: Refusal, asked: &Asked) -> Answer;
}

/// A running server: what all fakes have, whatever they serve. Dropping it ends it.
#[derive(Debug)]
pub struct Server {
    desk: Arc<Desk>,
    address: SocketAddr,
    /// Only its drop matters: it ends the listener and whatever hangs.
    _open: watch::Sender<()>,
}

/// What tests set and read while requests come in.
#[derive(Debug, Default)]
struct Desk {
    clock: Clock,
    faults: FaultSwitch,
    requests: Guarded<Vec<Request>>,
}

/// What a request comes to.
struct Site<S> {
    service: Arc<S>,
    desk: Arc<Desk>,
    closed: watch::Receiver<()>,
}

impl Server {
    /// Starts the service on a free port of the loopback address.
    pub(crate) async fn start<S: Service>(service: Arc<S>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (open, closed) = watch::channel(());
        let desk = Arc::new(Desk::default());
        let site = Arc::new(Site { service, desk: Arc::clone(&desk), closed });
        let router = Router::new().fallback(exchange::<S>).with_state(Arc::clone(&site));
        let mut closed = site.closed.clone();
        let serve = axum::serve(Lines(listener), router.into_make_service_with_connect_info::<Scissors>())
            .with_graceful_shutdown(async move { while closed.changed().await.is_ok() {} });
        tokio::spawn(async move { serve.await });
        Ok(Self { desk, address, _open: open })
    }

    /// The base URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The time that the fake believes in.
    pub fn clock(&self) -> &Clock {
        &self.desk.clock
    }

    /// Replaces the faults.
    pub fn set_faults(&self, faults: Faults) {
        self.faults().set(faults);
    }

    /// The faults, to script and to release.
    pub fn faults(&self) -> &FaultSwitch {
        &self.desk.faults
    }

    /// All requests so far, in order.
    pub fn requests(&self) -> Vec<Request> {
        self.desk.requests.lock().clone()
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
    let (fault, release) = site.desk.faults.take();
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
    finish(site.service.answer(&asked, site.desk.clock.now()), ending, &scissors)
}

impl<S: Service> Site<S> {
    fn write_down(&self, asked: &Asked, fault: Option<Fault>) {
        let scope = asked.header(header::AUTHORIZATION.as_str()).and_then(sigv4::scope_of);
        self.desk.requests.lock().push(Request {
            target: self.service.target(asked),
            body: String::from_utf8_lossy(&asked.body).into_owned(),
            at: self.desk.clock.now(),
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
