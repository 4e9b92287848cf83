//! How AWS is reached, and as whom: what the clients of all its services are set up with.
//!
//! No service is known here, and nobody is asked. Parsing YAML and refusing nonsense in it is the config's job.

mod access;
mod sdk;

pub use access::{Access, AssumeRole, Credential};
pub use sdk::sdk_config;
