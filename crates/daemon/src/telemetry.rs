//! Logging to standard error, as text or JSON. Results go to standard output, so the two never mix.

use std::io::{self, IsTerminal};

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

/// The log options.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct LogArgs {
    /// Format of the log on standard error
    #[arg(long, value_enum, default_value_t = LogFormat::Text, global = true, env = "STAKEOUT_LOG_FORMAT")]
    log_format: LogFormat,
    /// Log more: -v for debug, -vv for trace (STAKEOUT_LOG sets a tracing filter and overrides this)
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    verbose: u8,
    /// Log warnings and errors only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
}

/// The format of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// For people
    Text,
    /// One JSON object per line
    Json,
}

/// Starts logging. Libraries log only warnings and errors.
pub(crate) fn start(args: LogArgs) {
    let level = match (args.quiet, args.verbose) {
        (true, _) => "warn",
        (_, 0) => "info",
        (_, 1) => "debug",
        _ => "trace",
    };
    let filter =
        EnvFilter::try_from_env("STAKEOUT_LOG").unwrap_or_else(|_| EnvFilter::new(format!("warn,stakeout={level}")));
    let writer = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match args.log_format {
        LogFormat::Json => writer.json().flatten_event(true).init(),
        LogFormat::Text => writer.with_ansi(io::stderr().is_terminal()).with_target(false).init(),
    }
}
