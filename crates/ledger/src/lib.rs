//! The durable state of Stakeout: minutes, progress, findings and pending deliveries.
//!
//! There are two writes, [`Ledger::commit_window`] and [`Ledger::settle_delivery`], and a third that a person asks for
//! while no daemon runs, [`Ledger::move_pending`]. Each is one batch, and each has reached the disk when it returns. This crate decides nothing: core says what to write, and the caller handles
//! errors. It is the only crate that depends on `sled`, and no signature names it. The modules are in order, from
//! the disk upwards.

mod error;
mod postgres;
mod leases;
mod directory;
mod leftovers;
mod engine;
mod archive;
mod compaction;
mod key;
mod chunk;
mod deflate;
mod rows;
mod findings;
mod rule_meta;
mod archived;
mod totals;
mod pending;
mod write_batch;
mod id_allocator;
mod ledger;

pub use archived::ArchivedFindings;
pub use compaction::Compaction;
pub use engine::Stay;
pub use error::LedgerError;
pub use leases::{HeldLeases, Leases, WantedLeases};
pub use ledger::{Ledger, NeededRows, OldestRows};
pub use postgres::{PostgresOptions, PostgresTls};
