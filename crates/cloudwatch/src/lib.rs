//! Reads the EKS audit log from CloudWatch Logs, one page at a time.
//!
//! This crate knows CloudWatch Logs and `stakeout-core`, and decides nothing about events. It
//! sends a request and returns what came, or what the caller may do next; the caller waits, retries, counts and logs.
//!
//! ```text
//! config -> pushdown (what the service may leave out) -> decode (event -> record) -> page_position (pass and token)
//!   -> failure (error -> what the caller may do) -> sessions (clients, shared) -> fetch (one request)
//!   -> doctor (a few requests that check a log)
//! discovery (which logs there are, and which of them are written)
//! ```

mod config;
pub mod pushdown;
pub mod decode;
mod page_position;
mod failure;
mod sessions;
mod fetch;
mod doctor;
mod discovery;

pub use config::{CloudWatchConfig, audit_log_command, requests_per_second};
pub use discovery::{CloudWatchRegion, GroupOwners, GroupPage, LastWritten, ListedGroup};
pub use fetch::CloudWatch;
pub use sessions::Sessions;
