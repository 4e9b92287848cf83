//! The ledger as its callers see it. Only `damage` looks beneath, to break things.

mod damage;
#[path = "../support/disk.rs"]
mod disk;
mod disk_full;
mod healing;
mod id_allocator;
mod incidents;
mod kill;
mod leftovers;
mod moves;
mod opening;
mod place;
#[path = "../../../../tests/support/postgres.rs"]
#[allow(dead_code, reason = "tests of other crates use the rest")]
mod postgres;
mod power;
mod replicas;
mod round_trip;
mod samples;
mod settling;
mod shape;
#[path = "../support/strace.rs"]
mod strace;
mod transfer;
