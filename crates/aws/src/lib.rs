//! How to reach AWS, and with which identity: the setup of the clients of all its services.
//!
//! It knows no service and sends no request. Parsing and checking YAML is the config's job.

mod access;
mod http_client;
mod sdk;
mod credential_failure;
mod retry_after;

pub use access::{Access, AssumeRole, Credential};
pub use credential_failure::{CREDENTIALS_FIX, CredentialFailure, EXPIRED, NO_CREDENTIALS, credential_failure};
pub use http_client::ANSWER_BYTES_MAX;
pub use retry_after::retry_after;
pub use sdk::sdk_config;
