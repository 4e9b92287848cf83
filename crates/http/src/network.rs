//! The network as every client sees it: the proxies, the trusted certificate authorities, one TLS stack, time limits, and no
//! redirects.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;
use reqwest::redirect::Policy;
use rustls::ClientConfig;
use rustls::crypto::{CryptoProvider, ring};
use thiserror::Error;
use url::Url;

use crate::certificates::Certificates;
use crate::error_chain::root_message;
use crate::proxies::{Proxies, Route};

/// How requests reach their services. Clones share everything.
#[derive(Clone)]
pub struct Network {
    proxies: Arc<Proxies>,
    tls: Arc<ClientConfig>,
}

/// How long a client waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimeLimits {
    /// For a connection. After it the service counts as down.
    pub connect: Duration,
    /// For a whole answer; `None` if the caller limits it.
    pub answer: Option<Duration>,
}

/// The client cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("cannot build the HTTP client: {reason}")]
pub struct ClientError {
    /// What the HTTP library reports.
    pub reason: String,
}

impl TimeLimits {
    /// Returns limits with `answer` for a whole answer, and ten seconds for a connection.
    #[must_use]
    pub const fn of_answer(answer: Duration) -> TimeLimits {
        TimeLimits { connect: Duration::from_secs(10), answer: Some(answer) }
    }
}

impl Network {
    /// Returns a network with these proxies and certificate authorities.
    #[must_use]
    pub fn new(proxies: Proxies, certificates: &Certificates) -> Network {
        install_crypto_provider();
        let mut tls = ClientConfig::builder().with_root_certificates(certificates.roots()).with_no_client_auth();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Network { proxies: Arc::new(proxies), tls: Arc::new(tls) }
    }

    /// Returns the proxies, and which requests go through them.
    #[must_use]
    pub fn proxies(&self) -> &Proxies {
        &self.proxies
    }

    /// Returns in words which way a request to `url` goes; nothing where it is not a URL.
    #[must_use]
    pub fn way(&self, url: &str) -> String {
        Url::parse(url).map(|url| self.proxies.route(&url).to_string()).unwrap_or_default()
    }

    /// Returns the TLS settings for connections of another protocol than HTTP, with its name (RFC 7301), such as `postgresql`.
    #[must_use]
    pub fn tls(&self, protocol: &str) -> ClientConfig {
        let mut tls = (*self.tls).clone();
        tls.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        tls
    }

    /// Builds a client.
    ///
    /// The client follows no redirect: it would take the request to an address that nobody configured.
    ///
    /// # Errors
    ///
    /// Where the HTTP library cannot start.
    pub fn client(&self, limits: TimeLimits) -> Result<Client, ClientError> {
        let mut builder = Client::builder()
            .tls_backend_preconfigured((*self.tls).clone())
            .redirect(Policy::none())
            .connect_timeout(limits.connect)
            .user_agent(concat!("stakeout/", env!("CARGO_PKG_VERSION")))
            // The library's own reading of the environment is another rule than ours.
            .no_proxy();
        if let Some(answer) = limits.answer {
            builder = builder.timeout(answer);
        }
        if !self.proxies.is_empty() {
            let proxies = self.proxies.clone();
            builder = builder.proxy(reqwest::Proxy::custom(move |url| match proxies.route(url) {
                Route::Proxy(proxy) => Some(proxy.url().clone()),
                Route::Direct(_) => None,
            }));
        }
        builder.build().map_err(|error| ClientError { reason: root_message(&error.without_url()) })
    }
}

/// Without a proxy, and with the system's certificate authorities.
impl Default for Network {
    fn default() -> Network {
        Network::new(Proxies::default(), &Certificates::system())
    }
}

/// Shows the proxies; the TLS settings are a page of defaults.
impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").field("proxies", &self.proxies).finish_non_exhaustive()
    }
}

/// Makes ring the TLS provider of this process, unless another one is installed already. The HTTP library and Google's
/// SDK panic without a default provider.
pub fn install_crypto_provider() {
    if CryptoProvider::get_default().is_none() {
        // Another thread may have been faster, which is as good.
        let _installed_by_another_thread = ring::default_provider().install_default();
    }
}
