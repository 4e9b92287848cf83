//! Watches the Kubernetes API of EKS, GKE and AKS for reconnaissance, by the audit logs that the clouds already keep.
//!
//! The binary wires; it decides nothing about events. Each verb has its own module, and `watch` is what `run`,
//! `once` and `demo` share.

mod cli;
mod config;
mod exit;
mod input;
mod lines;
mod network;
mod replay;
mod rule_files;
mod rules;
mod telemetry;

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
