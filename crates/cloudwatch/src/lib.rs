//! Reads the EKS audit log from CloudWatch Logs, one page at a time.
//!
//! This crate knows CloudWatch Logs and `stakeout-core`, and decides nothing about events. It asks, it says what came and what a
//! refusal allows next; waiting, asking again, counting and logging are the caller's.
//!
//! ```text
//! config -> pushdown (what the service may leave out) -> place (which pass, which token) -> fetch (one request)
//!   -> decode (event -> record) or failure (refusal -> what the caller may do)
//! ```

mod config;
pub mod decode;
mod doctor;
mod failure;
mod fetch;
mod place;
pub mod pushdown;

pub use config::{CloudWatchConfig, requests_per_second};
pub use fetch::CloudWatch;
