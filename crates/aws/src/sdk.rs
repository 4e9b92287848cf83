//! The setup that the SDK's clients are built from.
//!
//! The SDK's own retries are off, because the callers hold the budget that all clients of an account share.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader, Region, SdkConfig};
use aws_credential_types::Credentials;
use stakeout_http::{Endpoint, Network};

use crate::access::{Access, AssumeRole, Credential};
use crate::http_client::{CONNECT_TIMEOUT, http_client};

/// The session name that the other account's CloudTrail shows.
const SESSION_NAME: &str = "stakeout";

/// Reads the environment and the AWS profile, and returns what a client of any service is built from. It sends no request
/// yet. All requests go over `network`, those for credentials too. `answer_timeout` is the longest wait for a whole answer,
/// credentials included.
///
/// `Debug` of the result, and of a client that is built from it, shows the role's external id.
pub async fn sdk_config(access: &Access, network: &Network, answer_timeout: Duration) -> SdkConfig {
    let service = loader(access, access.endpoint.as_ref(), network, answer_timeout);
    let Some(role) = &access.assume_role else {
        return service.load().await;
    };
    // A fake gives the role's credentials itself. A private endpoint of one service does not serve roles.
    let sts = loader(access, access.loopback_endpoint(), network, answer_timeout).load().await;
    service.credentials_provider(role_provider(role, &sts).await).load().await
}

fn loader(access: &Access, endpoint: Option<&Endpoint>, network: &Network, answer_timeout: Duration) -> ConfigLoader {
    let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).operation_timeout(answer_timeout);
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new(access.region.clone()))
        .http_client(http_client(network))
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts.build());
    if let Some(endpoint) = endpoint {
        loader = loader.endpoint_url(endpoint.as_str());
    }
    match access.credential {
        Credential::Default => loader,
        Credential::Anonymous => {
            loader.credentials_provider(Credentials::new("ANONYMOUS", "anonymous", None, None, "stakeout"))
        }
    }
}

async fn role_provider(role: &AssumeRole, sts: &SdkConfig) -> AssumeRoleProvider {
    let mut provider = AssumeRoleProvider::builder(&role.arn).configure(sts).session_name(SESSION_NAME);
    if let Some(external_id) = &role.external_id {
        provider = provider.external_id(external_id);
    }
    provider.build().await
}

#[cfg(test)]
mod tests {
    use aws_credential_types::provider::ProvideCredentials;

    use super::*;

    fn fake() -> Access {
        Access::fake("eu-west-1", Endpoint::parse_base("http://127.0.0.1:1").expect("an address"))
    }

    #[tokio::test]
    async fn a_client_gets_endpoint_and_time_limits_and_never_retries() {
        let sdk = sdk_config(&fake(), &Network::default(), Duration::from_secs(9)).await;
        assert_eq!(
            (sdk.region().map(Region::as_ref), sdk.endpoint_url()),
            (Some("eu-west-1"), Some("http://127.0.0.1:1"))
        );
        // Else AWS_ENDPOINT_URL_SNS and its like would outrank the config.
        assert!(sdk.get_origin("endpoint_url").is_client_config());
        assert!(sdk.retry_config().is_some_and(|retry| !retry.has_retry()));
        let timeouts = sdk.timeout_config().expect("set above");
        assert_eq!(
            (timeouts.connect_timeout(), timeouts.operation_timeout()),
            (Some(CONNECT_TIMEOUT), Some(Duration::from_secs(9)))
        );
    }

    #[tokio::test]
    async fn a_placeholder_signs_for_a_fake() {
        let sdk = sdk_config(&fake(), &Network::default(), Duration::from_secs(9)).await;
        let provider = sdk.credentials_provider().expect("set above");
        let credentials = provider.provide_credentials().await.expect("no request is needed");
        assert_eq!(credentials.access_key_id(), "ANONYMOUS");
    }
}
