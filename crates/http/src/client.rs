//! The client: one TLS stack, time limits, no redirects, and the one place that decides about proxies.

use std::time::Duration;

use reqwest::Client;
use reqwest::redirect::Policy;
use rustls::crypto::{CryptoProvider, ring};
use thiserror::Error;

use crate::endpoint::Endpoint;
use crate::error_chain::root_message;

/// Longest wait for a connection. After it the service counts as down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How requests reach a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Through the proxy that the environment names (`HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`), if it names one.
    Proxy,
    /// Directly, whatever the environment says.
    Direct,
}

/// The client cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("cannot build the HTTP client: {reason}")]
pub struct ClientError {
    /// What the HTTP library reports.
    pub reason: String,
}

impl Route {
    /// Returns the route to an address: a service on this machine that speaks plain http is asked directly.
    #[must_use]
    pub fn to(endpoint: &Endpoint) -> Route {
        if endpoint.is_plain_http() { Route::Direct } else { Route::Proxy }
    }
}

/// Builds a client. `answer_timeout` is the longest wait for a whole answer.
///
/// The client follows no redirect: it would take the request to an address that nobody configured.
///
/// # Errors
///
/// Where the HTTP library cannot start, for example because the environment names an invalid proxy.
pub fn client(route: Route, answer_timeout: Duration) -> Result<Client, ClientError> {
    install_crypto_provider();
    let builder = Client::builder()
        .redirect(Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(answer_timeout)
        .user_agent(concat!("stakeout/", env!("CARGO_PKG_VERSION")));
    let builder = match route {
        Route::Proxy => builder,
        Route::Direct => builder.no_proxy(),
    };
    builder.build().map_err(|error| ClientError { reason: root_message(&error.without_url()) })
}

/// Makes ring the TLS provider of this process, unless another one is installed already. The HTTP library and Google's
/// SDK panic without a default provider.
pub fn install_crypto_provider() {
    if CryptoProvider::get_default().is_none() {
        // Another thread may have been faster, which is as good.
        let _installed_by_another_thread = ring::default_provider().install_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_asked_without_a_proxy() {
        let route = |text: &str| Route::to(&Endpoint::parse(text).expect("a URL"));
        assert_eq!(route("http://127.0.0.1:4566"), Route::Direct);
        assert_eq!(["https://logs.example", "https://127.0.0.1"].map(route), [Route::Proxy, Route::Proxy]);
        for route in [Route::Direct, Route::Proxy] {
            assert!(client(route, Duration::from_secs(1)).is_ok());
        }
    }
}
