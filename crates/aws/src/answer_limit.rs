//! An HTTP client whose answers have a greatest length. The SDK itself reads a body to its end, however long it is.

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::{RuntimeComponents, RuntimeComponentsBuilder};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::ConfigBag;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use thiserror::Error;

/// The longest answer of any service. The longest that we ask for is a page of `FilterLogEvents`: 1 MB of events, at most
/// 10,000. JSON may escape a byte with six, and a few hundred bytes around each event come on top: below 10 MB.
/// <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html>
pub const ANSWER_BYTES_MAX: usize = 16 << 20;

/// The answer is longer than [`ANSWER_BYTES_MAX`]. No service of AWS gives such an answer, and the same request would get it
/// again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the answer is longer than {ANSWER_BYTES_MAX} bytes")]
pub struct AnswerTooLong;

/// Returns `client` with a limit on the length of its answers.
pub(crate) fn limited(client: SharedHttpClient) -> SharedHttpClient {
    SharedHttpClient::new(LimitedClient(client))
}

#[derive(Debug)]
struct LimitedClient(SharedHttpClient);

impl HttpClient for LimitedClient {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(LimitedConnector(self.0.http_connector(settings, components)))
    }

    fn validate_base_client_config(
        &self,
        components: &RuntimeComponentsBuilder,
        config: &ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.validate_base_client_config(components, config)
    }

    fn validate_final_config(&self, components: &RuntimeComponents, config: &ConfigBag) -> Result<(), BoxError> {
        self.0.validate_final_config(components, config)
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.0.connector_metadata()
    }
}

#[derive(Debug)]
struct LimitedConnector(SharedHttpConnector);

impl HttpConnector for LimitedConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let answer = self.0.call(request);
        HttpConnectorFuture::new(async move { answer.await.map(|answer| answer.map(limited_body)) })
    }
}

fn limited_body(body: SdkBody) -> SdkBody {
    SdkBody::from_body_1_x(Limited::new(body, ANSWER_BYTES_MAX).map_err(|error| -> BoxError {
        if error.is::<LengthLimitError>() { AnswerTooLong.into() } else { error }
    }))
}
