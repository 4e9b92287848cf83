//! The one door for HTTP: which addresses are allowed, the client, and what all answers have in common.
//!
//! The safety rules are here and nowhere else: plain http stays on this machine, redirects are not followed, and no
//! error names an address, because an address may be a secret. What an answer means to a service is for that service's
//! crate to decide. Nothing here retries or waits.
//!
//! ```text
//! error_chain (an error and its causes) -> endpoint (an address that is safe to ask) -> client (TLS, proxy, time limits)
//!   -> retry_after (how long an answer asks to wait) -> exchange (one request, one bounded answer)
//! ```

pub mod error_chain;
mod endpoint;
mod client;
mod retry_after;
mod exchange;

pub use client::{ClientError, Route, client, install_crypto_provider};
pub use endpoint::{Endpoint, EndpointError};
pub use exchange::{Answer, BodyLimit, ExchangeError, exchange};
pub use reqwest::{Client, Method, RequestBuilder, header};
pub use retry_after::retry_after;
pub use url::Url;
