//! The messages over generated findings, and the destinations over real connections on loopback.

mod http;
mod ocsf;
mod plan;
mod server;
mod slack;
mod sns;
mod strategy;
