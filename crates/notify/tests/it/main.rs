//! The messages over generated findings, and the destinations over real connections on loopback.

mod addresses;
mod batching;
mod console;
mod details;
mod http;
mod incidents;
mod ocsf;
mod server;
mod slack;
mod sns;
mod strategy;
