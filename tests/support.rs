//! What several tests share: runs of a program, environments of other people's programs, golden files, the seed rules.

pub(crate) mod child;
pub(crate) mod dice;
pub(crate) mod golden;
pub(crate) mod mutation;
#[cfg(feature = "azure")]
pub(crate) mod node;
#[allow(dead_code, reason = "tests of other crates use the rest")]
pub(crate) mod postgres;
pub(crate) mod python;
pub(crate) mod seeds;
