//! Reads the AKS audit log from Log Analytics, one query at a time.
//!
//! This crate knows Log Analytics and `stakeout-core`, and decides nothing about events. It
//! sends a query and returns what came, or what the caller may do next; the caller waits, retries, counts and logs.
//!
//! ```text
//! config -> page_position (all rows, or a share of them) -> pushdown (the query, and what it may leave out) -> decode (answer -> rows -> events)
//!   -> transport (one HTTP exchange) -> identity (token) -> failure (error -> what the caller may do)
//!   -> fetch (one query) -> doctor (a few queries that check a log)
//! ```

mod config;
mod page_position;
pub mod pushdown;
pub mod decode;
mod transport;
mod identity;
mod failure;
mod fetch;
mod doctor;

pub use config::{AuditTable, AzureMonitorConfig, Credential, Plan, REQUESTS_MAX, REQUESTS_PERIOD};
pub use failure::diagnostic_setting;
pub use fetch::{AzureMonitor, SetupError};
pub use page_position::Share;
