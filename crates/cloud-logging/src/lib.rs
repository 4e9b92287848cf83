//! Reads the GKE audit log from Cloud Logging, one page at a time.
//!
//! This crate knows Cloud Logging and `stakeout-core`, and decides nothing about events. It asks, it says what came and
//! what a refusal allows next; waiting, asking again, counting and logging are the caller's.
//!
//! ```text
//! config -> pushdown (what the service may leave out) -> place (which pass, which token) -> fetch (one request)
//!   -> page (entry -> record) or failure (refusal -> what the caller may do)
//!   -> decode (record -> audit event), over `object` (odd JSON), `method` (what was asked for), `status` (codes)
//! needle: what stands in an entry before it is decoded, for exports
//! doctor: a few requests of its own, and what they mean for somebody who wants to see scans
//! ```
//!
//! TLS is rustls, whose provider the process installs once, before anything is asked: the SDK's own choice would bring
//! a second one.

mod config;
pub mod decode;
mod doctor;
mod failure;
mod fetch;
mod method;
pub mod needle;
mod object;
mod page;
mod place;
pub mod pushdown;
mod status;

pub use config::{CloudLoggingConfig, Credential, REQUESTS_PER_MINUTE};
pub use fetch::CloudLogging;
