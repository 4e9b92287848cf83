//! Watches the Kubernetes API of EKS, GKE and AKS for reconnaissance, by the audit logs that the clouds already keep.
//!
//! The binary wires; it decides nothing about events. Each verb has its own module, and `watch` is what `run`,
//! `once` and `demo` share.

mod admin;
mod budget;
mod busy;
mod check;
mod cli;
mod client;
mod clock;
mod config;
#[cfg(feature = "demo")]
mod demo;
mod doctor;
mod exit;
mod explain;
mod file_log;
mod input;
mod lines;
mod loading;
mod look_around;
mod metric;
mod network;
mod notify;
mod once;
mod paging;
mod reading;
mod replay;
mod rule_files;
mod rules;
mod run;
mod schedule;
mod sending;
mod setup;
mod shutdown;
mod state;
mod summary;
mod telemetry;
mod tune;
mod watch;
mod writer;

use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::run() {
        Ok(exit) => exit.into(),
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::from(&failure)
        }
    }
}
