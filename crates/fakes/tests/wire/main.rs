//! The fakes through the clients that the daemon uses: the official SDKs, and plain HTTP.

mod cloud_logging;
mod cloudwatch_logs;
mod cloudwatch_paging;
mod log_analytics;
mod slack;
mod sns;
mod webhook;

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig};

/// Returns a configuration for loopback: worthless keys, and no retries, so that each fault is visible.
async fn aws(endpoint: String) -> SdkConfig {
    let http = aws_smithy_http_client::Builder::new().build_http();
    aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .endpoint_url(endpoint)
        .http_client(http)
        .credentials_provider(aws_sdk_sns::config::Credentials::new("AKSTANDIN", "secret", None, None, "test"))
        .retry_config(RetryConfig::disabled())
        .load()
        .await
}

/// Returns a client without a proxy. It never uses TLS, but reqwest needs an installed provider.
fn http() -> reqwest::Client {
    // Another test of this binary may have installed it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().expect("a client without options is always built")
}
