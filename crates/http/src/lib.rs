//! The one door for HTTP: which addresses are allowed, the client, and what all answers have in common.
//!
//! The safety rules are here and nowhere else: plain http stays on this machine, redirects are not followed, and no
//! error names an address, because an address may be a secret. What an answer means to a service is for that service's
//! crate to decide. Nothing here retries or waits.
//!
//! ```text
//! error_chain (an error and its causes) -> endpoint (an address that is safe to ask)
//!   -> proxies (which way a request goes), certificates (whom to trust) -> network (both, TLS, time limits: the client)
//!   -> unverified (TLS for a protocol that proves the server in another way)
//!   -> retry_after (how long an answer asks to wait) -> exchange (one request, one bounded answer)
//!   -> session (what is kept between requests)
//! ```

pub mod error_chain;
mod endpoint;
mod proxies;
mod certificates;
mod network;
mod unverified;
mod retry_after;
mod exchange;
mod session;

pub use certificates::{CertificateError, Certificates};
pub use endpoint::{Endpoint, EndpointError};
pub use exchange::{Answer, BodyLimit, ExchangeError, exchange, web_page};
pub use network::{ClientError, Network, TimeLimits, install_crypto_provider};
pub use proxies::{DirectReason, Proxies, Proxy, ProxyError, Route};
pub use reqwest::{Client, Method, RequestBuilder, header};
pub use retry_after::retry_after;
pub use rustls::ClientConfig as TlsConfig;
pub use session::{Lease, Session};
pub use unverified::unverified_tls;
pub use url::Url;
