//! The durable state of Stakeout: minutes, progress, findings and pending deliveries.
//!
//! There are two writes, [`Ledger::commit_window`] and [`Ledger::settle_delivery`]. Each is one batch, and each has
//! reached the disk when it returns. This crate decides nothing: core says what to write, and the caller handles
//! errors. It is the only crate that depends on `sled`, and no signature names it. The modules are in order, from
//! the disk upwards.

mod error;
mod directory;
mod leftovers;
mod engine;
#[cfg_attr(not(test), expect(dead_code, unused_imports, reason = "the ledger does not use it yet"))]
mod archive;
#[cfg_attr(not(test), expect(dead_code, reason = "the ledger does not use it yet"))]
mod compaction;
mod key;
mod chunk;
mod rows;
mod rule_meta;
mod write_batch;
mod id_allocator;
mod ledger;

pub use error::LedgerError;
pub use ledger::Ledger;
