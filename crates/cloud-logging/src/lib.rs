//! Reads the GKE audit log from Cloud Logging, one page at a time.
//!
//! This crate knows Cloud Logging and `stakeout-core`, and decides nothing about events. It
//! sends a request and returns what came, or what the caller may do next; the caller waits, retries, counts and logs.
//!
//! ```text
//! config; status (codes), json_object (untrusted JSON), method (what was requested)
//!   -> decode (record -> audit event) -> page (entry -> record)
//!   -> pushdown (what the service may leave out), needle (what an entry contains literally, for exports)
//!   -> page_position (pass and token) -> failure (error -> what the caller may do) -> identity (who asks)
//!   -> service (one request) -> fetch (one page) -> doctor (a few requests that check a log)
//! ```

mod config;
mod status;
mod json_object;
mod method;
pub mod decode;
mod page;
pub mod pushdown;
pub mod needle;
mod page_position;
mod failure;
mod identity;
mod service;
mod fetch;
mod doctor;

pub use config::{CloudLoggingConfig, Credential, REQUESTS_PER_MINUTE, RESOURCES_MAX};
pub use doctor::turn_reads_on;
pub use fetch::CloudLogging;
