//! Strict loopback fakes of CloudWatch Logs, SNS, Slack and a plain webhook, with fault knobs.
//!
//! Each server speaks the wire of its original on `127.0.0.1` and is at least as strict: what a fake takes, the
//! cloud takes. They serve `stakeout demo` and the tests. Nothing here knows Stakeout's own types, and nothing here
//! sleeps: time is [`Clock`], and a held answer waits for [`FaultSwitch::release`].

pub mod block_kit;
mod clock;
pub mod cloud_logging;
pub mod cloudwatch_logs;
mod exchange;
mod fault;
pub mod filter_pattern;
mod form;
mod guarded;
pub mod kql;
mod line;
pub mod log_analytics;
pub mod logging_filter;
pub mod markup;
pub mod render;
mod request;
mod server;
mod sigv4;
pub mod slack;
mod slack_refusal;
pub mod sns;
pub mod webhook;

pub use clock::Clock;
pub use cloud_logging::CloudLogging;
pub use cloudwatch_logs::CloudWatchLogs;
pub use fault::{Fault, FaultSwitch, Faults};
pub use filter_pattern::FilterPattern;
pub use log_analytics::LogAnalytics;
pub use logging_filter::LoggingFilter;
pub use request::Request;
pub use server::Server;
pub use slack::Slack;
pub use sns::Sns;
pub use webhook::Webhook;
