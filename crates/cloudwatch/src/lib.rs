//! Reads the EKS audit log from CloudWatch Logs, one page at a time.
//!
//! This crate knows CloudWatch Logs and `stakeout-core`, and decides nothing about events. It
//! sends a request and returns what came, or what the caller may do next; the caller waits, retries, counts and logs.
//!
//! ```text
//! config -> pushdown (what the service may leave out) -> decode (event -> record) -> page_position (pass and token)
//!   -> failure (error -> what the caller may do) -> fetch (one request) -> doctor (a few requests that check a log)
//! ```

mod config;
pub mod pushdown;
pub mod decode;
mod page_position;
mod failure;
mod fetch;
mod doctor;

pub use config::{CloudWatchConfig, requests_per_second};
pub use fetch::CloudWatch;
