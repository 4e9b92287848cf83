//! Stakeout from outside: the binary, its files, and the wire, as its users and the clouds see them.
//!
//! One test binary, because each takes as long to link as the daemon itself. `cargo test --test outside replay::` runs one
//! part of it.

mod check;
mod daemon;
mod demo;
mod documents;
mod full_disk;
mod fuzz;
mod localstack;
mod manual;
mod pipeline;
mod quality;
mod replay;
mod rule_sets;
mod service;
mod support;
mod tools;
mod wire_truth;
