//! Watches the Kubernetes API of the managed clouds for reconnaissance, by the audit logs that they already keep.
//!
//! The binary connects the other crates and decides nothing about events. Its modules are listed in the order of the data
//! path, and each imports only from above: settings, reading, committing, sending, the watch that does all of it, and then
//! one module for each verb.

// What every module uses.
mod exit;
mod clock;
mod wall_clock;
mod shutdown;
mod telemetry;
mod systemd;
mod printed;
mod table;

// Files, and the clouds behind one enum.
mod input;
mod line_reader;
mod partial_lines;
mod file_log;
mod network;
mod section;
mod outbound;
mod cloud;

// The config: what to read, when, and where to send.
mod config;
mod schedule;
mod destination;
mod silence_file;
mod cloud_ranges;
mod address_files;

// Scanning one window of one log, committing it, and sending the messages.
mod scan;
mod stranded;
mod metric;
mod silence_book;
mod summary;
mod finding_page;
mod incident_page;
mod writer;
mod pace;
mod in_flight;
mod replica;
mod dispatch;
mod sends;

// A tick over all logs and destinations.
mod log_list;
mod source_page;
mod log_task;
mod tick;
mod heartbeat;
mod daily;
mod progress_bar;
mod watch;
mod discovery;

// The verbs.
mod rule_files;
mod bootstrap;
mod finding_params;
mod html;
mod admin;
mod admin_client;
mod run;
mod once;
#[cfg(feature = "demo")]
mod demo;
mod doctor;
mod replay;
mod rules;
mod check;
mod explain;
mod tune;
mod findings;
mod incidents;
mod sources;
mod state;
mod notify;
mod silence;
mod ranges;
mod cli;

use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::run() {
        Ok(exit) => exit.into(),
        Err(failure) => {
            // Nobody may listen, or the disk may be full: the exit code says it too.
            drop(writeln!(io::stderr(), "{failure}"));
            ExitCode::from(&failure)
        }
    }
}
