//! Watches the Kubernetes API of EKS, GKE and AKS for reconnaissance, by the audit logs that the clouds already keep.
//!
//! The binary wires; it decides nothing about events. Each verb has its own module, and `watch` is what `run`,
//! `once` and `demo` share.

mod admin;
#[cfg_attr(not(feature = "aws"), expect(dead_code, reason = "a build without clouds asks nobody"))]
mod budget;
mod busy;
mod check;
mod cli;
mod clock;
mod config;
#[cfg(feature = "demo")]
mod demo;
mod exit;
mod file_log;
mod input;
mod lines;
mod loading;
mod metric;
mod network;
mod notify;
mod once;
#[cfg(feature = "aws")]
mod paging;
#[cfg_attr(not(feature = "aws"), expect(dead_code, reason = "a build without clouds reads no pages"))]
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
