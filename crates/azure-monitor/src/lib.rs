//! Reads the AKS audit log from Log Analytics, one query at a time.
//!
//! This crate knows Log Analytics and `stakeout-core`, and decides nothing about events. It asks, it says what came and
//! what a refusal allows next; waiting, asking again, counting and logging are the caller's.
//!
//! ```text
//! config -> pushdown (the query, and what it may leave out) -> identity (as whom, over which line) -> fetch (one query)
//!   -> decode (answer -> rows -> events) or failure (refusal -> what the caller may do); doctor asks all of it at once
//! ```

mod config;
pub mod decode;
mod doctor;
mod failure;
mod fetch;
mod identity;
pub mod pushdown;
mod transport;

pub use config::{AzureMonitorConfig, Credential, Plan, REQUESTS_MAX, REQUESTS_PERIOD, Table};
pub use fetch::{AzureMonitor, SetupError};
