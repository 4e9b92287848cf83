//! The identity that Azure sees: the configured credential, and the pipeline that puts its token on every query.
//!
//! Tokens are kept by `azure_identity` and renewed five minutes before they end. What a refused one means is in
//! `failure`.

use std::sync::Arc;

use azure_core::cloud::CloudConfiguration;
use azure_core::credentials::{Secret, TokenCredential};
use azure_core::http::policies::Policy;
use azure_core::http::policies::auth::BearerTokenAuthorizationPolicy;
use azure_core::http::{ClientOptions, Pipeline, RetryOptions, Transport, Url};
use azure_identity::{
    ClientAssertionCredentialOptions, ClientSecretCredential, ClientSecretCredentialOptions, ManagedIdentityCredential,
    ManagedIdentityCredentialOptions, UserAssignedId, WorkloadIdentityCredential, WorkloadIdentityCredentialOptions,
};
use secrecy::ExposeSecret;
use stakeout_http::Endpoint;

use crate::config::{AzureMonitorConfig, Credential};
use crate::transport::HttpTransport;

/// The scope of tokens in the public cloud.
/// <https://learn.microsoft.com/azure/azure-monitor/logs/api/access-api>
const PUBLIC_SCOPE: &str = "https://api.loganalytics.io/.default";

/// The two transports that a source needs.
#[derive(Clone, Debug)]
pub(crate) struct Transports {
    pub(crate) queries: HttpTransport,
    pub(crate) tokens: HttpTransport,
}

/// Returns the pipeline for queries: one try each, with a token.
///
/// # Errors
///
/// Where the environment is incomplete for the credential.
pub(crate) fn pipeline(
    config: &AzureMonitorConfig,
    endpoint: &Url,
    transports: &Transports,
) -> azure_core::Result<Pipeline> {
    let (cloud, scope) = cloud(endpoint);
    let authorization = credential(&config.credential, transports.tokens.clone(), cloud)?
        .map(|credential| Arc::new(BearerTokenAuthorizationPolicy::new(credential, [scope])) as Arc<dyn Policy>);
    Ok(Pipeline::new(
        option_env!("CARGO_PKG_NAME"),
        option_env!("CARGO_PKG_VERSION"),
        options(transports.queries.clone(), None),
        Vec::new(),
        authorization.into_iter().collect(),
        None,
    ))
}

/// Returns the credential, or `None` for [`Credential::Anonymous`].
fn credential(
    credential: &Credential,
    transport: HttpTransport,
    cloud: Option<CloudConfiguration>,
) -> azure_core::Result<Option<Arc<dyn TokenCredential>>> {
    let client_options = options(transport, cloud);
    Ok(match credential {
        Credential::WorkloadIdentity { tenant_id, client_id, token_file } => {
            Some(WorkloadIdentityCredential::new(Some(WorkloadIdentityCredentialOptions {
                credential_options: ClientAssertionCredentialOptions { client_options },
                client_id: client_id.clone(),
                tenant_id: tenant_id.clone(),
                token_file_path: token_file.clone(),
            }))?)
        }
        Credential::ManagedIdentity { client_id } => {
            Some(ManagedIdentityCredential::new(Some(ManagedIdentityCredentialOptions {
                user_assigned_id: client_id.clone().map(UserAssignedId::ClientId),
                client_options,
            }))?)
        }
        Credential::ClientSecret { tenant_id, client_id, secret } => Some(ClientSecretCredential::new(
            tenant_id,
            client_id.clone(),
            Secret::new(secret.expose_secret().to_owned()),
            Some(ClientSecretCredentialOptions { client_options }),
        )?),
        Credential::Anonymous => None,
    })
}

/// Returns the address that issues the tokens, or `None` where none are needed, or the endpoint itself issues them.
pub(crate) fn issuer(config: &AzureMonitorConfig) -> Option<String> {
    let endpoint = config.endpoint.as_ref();
    if endpoint.is_some_and(Endpoint::is_plain_http) {
        return None;
    }
    let authority = match endpoint.and_then(|endpoint| endpoint.url().host_str()?.rsplit('.').next()) {
        Some("us") => "https://login.microsoftonline.us".to_owned(),
        Some("cn") => "https://login.chinacloudapi.cn".to_owned(),
        _ => std::env::var("AZURE_AUTHORITY_HOST").unwrap_or_else(|_| "https://login.microsoftonline.com".to_owned()),
    };
    match config.credential {
        Credential::Anonymous => None,
        Credential::ManagedIdentity { .. } => Some("http://169.254.169.254".to_owned()),
        Credential::WorkloadIdentity { .. } | Credential::ClientSecret { .. } => {
            Some(authority.trim_end_matches('/').to_owned())
        }
    }
}

fn options(transport: HttpTransport, cloud: Option<CloudConfiguration>) -> ClientOptions {
    ClientOptions {
        retry: RetryOptions::none(),
        transport: Some(Transport::new(Arc::new(transport))),
        cloud: cloud.map(Arc::new),
        ..ClientOptions::default()
    }
}

/// Returns the cloud that an endpoint belongs to, and the scope of its tokens. For the public cloud, AZURE_AUTHORITY_HOST
/// decides who issues tokens.
fn cloud(endpoint: &Url) -> (Option<CloudConfiguration>, String) {
    let host = endpoint.host_str().unwrap_or("");
    let cloud = match host.rsplit('.').next() {
        Some("us") => CloudConfiguration::AzureGovernment,
        Some("cn") => CloudConfiguration::AzureChina,
        _ => return (None, PUBLIC_SCOPE.to_owned()),
    };
    (Some(cloud), format!("https://{host}/.default"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_for_the_cloud_of_the_endpoint() {
        let of = |url: &str| cloud(&Url::parse(url).expect("a URL"));
        assert_eq!(of("https://api.loganalytics.io"), (None, PUBLIC_SCOPE.to_owned()));
        assert_eq!(of("https://127.0.0.1:4566"), (None, PUBLIC_SCOPE.to_owned()));
        let government = (Some(CloudConfiguration::AzureGovernment), "https://api.loganalytics.us/.default".to_owned());
        assert_eq!(of("https://api.loganalytics.us"), government);
        let china = (Some(CloudConfiguration::AzureChina), "https://api.loganalytics.azure.cn/.default".to_owned());
        assert_eq!(of("https://api.loganalytics.azure.cn/"), china);
    }
}
