//! The HTTP client of the SDK, over the HTTP that the rest of Stakeout uses: the same proxies, certificate authorities and
//! limits. The SDK's own client uses no proxy unless its setup names one, and reads a body to its end, however long it is.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use stakeout_http::{
    Answer, BodyLimit, Client, ClientError, ExchangeError, Method, Network, TimeLimits, Url, exchange,
};

/// The longest answer of any service. The longest that we ask for is a page of `FilterLogEvents`: 1 MB of events, at most
/// 10,000. JSON may escape a byte with six, and a few hundred bytes around each event come on top: below 10 MB.
/// <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html>
pub const ANSWER_BYTES_MAX: usize = 16 << 20;

/// Longest wait for a connection, unless the SDK sets another: a region's endpoint answers in well under a second, also from
/// another continent.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Returns the SDK's HTTP client over `network`.
pub(crate) fn http_client(network: &Network) -> SharedHttpClient {
    SharedHttpClient::new(NetworkClient { network: network.clone(), connectors: Mutex::default() })
}

/// One connector for each set of time limits. There are two or three: the metadata service has shorter ones.
#[derive(Debug)]
struct NetworkClient {
    network: Network,
    connectors: Mutex<HashMap<TimeLimits, SharedHttpConnector>>,
}

impl HttpClient for NetworkClient {
    fn http_connector(&self, settings: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        let connect = settings.connect_timeout().unwrap_or(CONNECT_TIMEOUT);
        // The SDK itself limits an operation as a whole.
        let limits = TimeLimits { connect, answer: settings.read_timeout().map(|read| connect + read) };
        let mut connectors = self.connectors.lock().unwrap_or_else(PoisonError::into_inner);
        let connector = || SharedHttpConnector::new(Connector(self.network.client(limits)));
        connectors.entry(limits).or_insert_with(connector).clone()
    }
}

#[derive(Debug)]
struct Connector(Result<Client, ClientError>);

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = self.0.clone();
        HttpConnectorFuture::new(async move {
            let client = client.map_err(|error| ConnectorError::user(error.into()))?;
            send(&client, &request).await
        })
    }
}

async fn send(client: &Client, request: &HttpRequest) -> Result<HttpResponse, ConnectorError> {
    let url = Url::parse(request.uri()).map_err(|error| ConnectorError::user(error.into()))?;
    let method = request.method().parse().unwrap_or(Method::GET);
    let Some(body) = request.body().bytes() else {
        return Err(ConnectorError::user("cannot send a body that is not in memory".into()));
    };
    let mut sent = client.request(method, url).body(body.to_vec());
    for (name, value) in request.headers() {
        sent = sent.header(name, value);
    }
    match exchange(sent, BodyLimit::Refuse(ANSWER_BYTES_MAX)).await {
        Ok(answer) => response(answer),
        Err(error @ ExchangeError::Interrupted { problem: "timed out", .. }) => {
            Err(ConnectorError::timeout(error.into()))
        }
        Err(error @ ExchangeError::Interrupted { .. }) => Err(ConnectorError::io(error.into())),
        Err(error) => Err(ConnectorError::user(error.into())),
    }
}

fn response(answer: Answer) -> Result<HttpResponse, ConnectorError> {
    let status = answer.status.try_into().map_err(|_| ConnectorError::other("no HTTP status".into(), None))?;
    let mut response = HttpResponse::new(status, SdkBody::from(answer.body));
    for (name, value) in &answer.headers {
        if let Ok(value) = value.to_str() {
            response.headers_mut().append(name.as_str().to_owned(), value.to_owned());
        }
    }
    Ok(response)
}
