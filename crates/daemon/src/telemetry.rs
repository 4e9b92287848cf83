//! Logging to standard error, as text or JSON. Results go to standard output, so the two never mix.

use std::io::{self, IsTerminal};

use clap::{Args, ValueEnum};
use tracing::Level;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, filter};

use crate::exit::Failure;

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

impl LogArgs {
    /// Returns the options for a verb that logs warnings and errors only unless more is asked for.
    #[cfg(feature = "demo")]
    pub(crate) fn quiet_unless_verbose(self) -> LogArgs {
        LogArgs { quiet: self.verbose == 0, ..self }
    }
}

/// The format of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// For people
    Text,
    /// One JSON object per line
    Json,
}

/// Starts logging. Libraries log only warnings and errors, or with `STAKEOUT_LOG` also what they inform of: below that, they
/// log requests and answers with everything that is secret in them. Fails if `STAKEOUT_LOG` is not a filter.
pub(crate) fn start(args: LogArgs) -> Result<(), Failure> {
    let level = match (args.quiet, args.verbose) {
        (true, _) => "warn",
        (_, 0) => "info",
        (_, 1) => "debug",
        _ => "trace",
    };
    // The SDK logs why a provider has no credentials as a page of Rust; our own error says it.
    let filter = std::env::var("STAKEOUT_LOG").unwrap_or_else(|_| format!("warn,aws_config=error,stakeout={level}"));
    let filter = EnvFilter::try_new(&filter).map_err(|error| {
        let fix = "write a level such as `debug`, or `warn,stakeout=debug`";
        Failure::Usage(format!("STAKEOUT_LOG is not a filter of the log: {error} ({fix})"))
    })?;
    let ours = filter::filter_fn(|event| event.target().starts_with("stakeout") || *event.level() <= Level::INFO);
    // A log that cannot be written is no reason to panic, which reporting it on standard error would be.
    let writer = tracing_subscriber::fmt::layer().log_internal_errors(false).with_writer(io::stderr);
    let writer = match args.log_format {
        LogFormat::Json => writer.json().flatten_event(true).boxed(),
        LogFormat::Text => writer.with_ansi(io::stderr().is_terminal()).with_target(false).boxed(),
    };
    tracing_subscriber::registry().with(writer.with_filter(ours)).with(filter).init();
    Ok(())
}
