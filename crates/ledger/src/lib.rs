//! The durable state of Stakeout: minutes, progress, findings and pending deliveries.
//!
//! There are two writes, [`Ledger::commit_window`] and [`Ledger::settle_delivery`], and a third that a person asks for
//! while no daemon runs, [`Ledger::move_pending`]. Each is one batch, and each is durable when it returns. [`Leases`] of
//! replicas are beside it, and touch no finding. This crate decides nothing: core says what to write, and the caller handles
//! errors. It is the only crate that depends on `sled` and `tokio-postgres`, and no signature names them. The modules are in
//! order, from the disk upwards; nothing above `engine` and `archive` knows which engine there is.

mod error;
mod key;
mod batch;
mod live_bytes;
mod archived_finding;
mod deflate;
mod embedded;
mod totals;
mod postgres;
mod leases;
mod engine;
mod archive;
mod rows;
mod findings;
mod rule_meta;
mod archived;
mod pending;
mod write_batch;
mod id_allocator;
mod ledger;

pub use archived::ArchivedFindings;
pub use engine::{Compaction, Location, Stay};
pub use error::LedgerError;
pub use leases::{HeldLeases, Leases, WantedLeases, lease_hosts};
pub use ledger::{Ledger, NeededRows, OldestRows, Transferred};
pub use postgres::{DatabaseReport, PostgresOptions, PostgresTls, inspect};
