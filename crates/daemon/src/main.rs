//! Watches the Kubernetes API of EKS, GKE and AKS for reconnaissance, by the audit logs that the clouds already keep.
//!
//! The binary wires; it decides nothing about events. Each verb has its own module, and `watch` is what `run`,
//! `once` and `demo` share.

mod admin;
mod bootstrap;
mod budget;
mod check;
mod cli;
mod clock;
mod cloud;
mod config;
mod context_query;
#[cfg(feature = "demo")]
mod demo;
mod destination;
mod dispatch;
mod doctor;
mod exit;
mod explain;
mod file_log;
mod in_flight;
mod input;
mod line_reader;
mod metric;
mod network;
mod notify;
mod once;
mod pages;
mod replay;
mod rule_files;
mod rules;
mod run;
mod scan;
mod schedule;
mod section;
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
