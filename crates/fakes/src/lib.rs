//! Strict loopback fakes of CloudWatch Logs, Cloud Logging, Log Analytics, STS, SNS, Slack, Teams, PagerDuty, Alertmanager, healthchecks, a
//! plain webhook and a proxy, with faults on demand.
//!
//! Each server speaks the protocol of its original on `127.0.0.1` and is at least as strict: the cloud accepts every
//! request that a fake accepts. `stakeout demo` and the tests use them. This crate knows none of Stakeout's types, and
//! never sleeps: time is [`Clock`], and a held answer waits for [`FaultSwitch::release`]. The modules are in the
//! order of a request's path.

mod guarded;
mod clock;
mod fault;
mod request;
mod exchange;
mod sigv4;
mod connection;
mod server;
mod form;
mod aws_query;
mod stable_hash;
mod paged_search;
mod scanner;
mod expression;
mod network;
pub mod filter_pattern;
pub mod sts;
pub mod cloudwatch_logs;
pub mod logging_filter;
pub mod cloud_logging;
pub mod kql;
pub mod log_analytics;
pub mod sns;
mod slack_refusal;
pub mod block_kit;
pub mod markup;
pub mod render;
pub mod slack;
pub mod slack_api;
pub mod teams;
pub mod pagerduty;
pub mod alertmanager;
pub mod webhook;
pub mod heartbeat;
pub mod proxy;

pub use alertmanager::Alertmanager;
pub use clock::Clock;
pub use cloud_logging::CloudLogging;
pub use cloudwatch_logs::CloudWatchLogs;
pub use fault::{Fault, FaultSwitch, Faults};
pub use filter_pattern::FilterPattern;
pub use heartbeat::Heartbeat;
pub use log_analytics::LogAnalytics;
pub use logging_filter::LoggingFilter;
pub use pagerduty::PagerDuty;
pub use proxy::Proxy;
pub use request::RecordedRequest;
pub use server::Server;
pub use slack::Slack;
pub use slack_api::SlackApi;
pub use sns::Sns;
pub use sts::Sts;
pub use teams::Teams;
pub use webhook::Webhook;
