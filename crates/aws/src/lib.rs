//! How to reach AWS, and with which identity: the setup of the clients of all its services.
//!
//! It knows no service and sends no request. Parsing and checking YAML is the config's job.

mod access;
mod answer_limit;
mod sdk;
mod retry_after;

pub use access::{Access, AssumeRole, Credential};
pub use answer_limit::{ANSWER_BYTES_MAX, AnswerTooLong};
pub use retry_after::retry_after;
pub use sdk::sdk_config;
