//! How AWS is reached, and as whom: what the clients of all its services are set up with.
//!
//! No service is known here, and nobody is asked. Parsing YAML and refusing nonsense in it is the config's job.

mod access;
mod sdk;
mod retry_after;

pub use access::{Access, AssumeRole, Credential};
pub use retry_after::retry_after;
pub use sdk::sdk_config;
