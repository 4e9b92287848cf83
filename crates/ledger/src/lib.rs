//! The durable state of Stakeout: minutes, progress, findings and owed deliveries.
//!
//! There are two writes, [`Ledger::commit_window`] and [`Ledger::settle_delivery`]. Each is one batch, and each has
//! reached the disk when it returns. Nothing here decides anything: what to write comes from core, what to do about
//! an error is the caller's. This is the only crate that spells `sled`, and no signature names it. The modules, from
//! the disk upwards:
//!
//! ```text
//! directory -> engine -> key -> chunk -> rows -> heads -> draft -> numbers -> ledger
//! ```

mod error;
mod directory;
mod engine;
mod key;
mod chunk;
mod rows;
mod rule_meta;
mod write_batch;
mod id_allocator;
mod ledger;

pub use error::LedgerError;
pub use ledger::Ledger;
