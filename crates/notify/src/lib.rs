//! Notifications and their destinations: Slack, Teams, SNS, PagerDuty, Alertmanager, a webhook, standard output.
//!
//! Core decides what a destination receives; this crate decides on the form and the words, and sends each message once.
//! It never retries, waits or logs: [`SendError`] says what the caller may do. The ledger knows what is pending. The
//! modules are in the order of a message's path.

mod error;
pub mod notification;
pub mod batching;
mod attack;
pub mod console;
pub mod text;
pub mod address_book;
pub mod incident;
pub mod details;
pub mod notice;
pub mod ocsf;
mod http;
pub mod slack;
pub mod teams;
pub mod sns;
pub mod pagerduty;
pub mod alertmanager;
pub mod signature;
pub mod webhook;
pub mod stdout;
pub mod destination;

pub use address_book::{AddressBook, AddressContext};
pub use batching::{Batch, DeliveryMode, Limits, batch, plan};
pub use console::LogConsole;
pub use destination::{Background, Channel, Destination};
pub use error::{Receipt, SendError, SetupError};
pub use notification::{Digest, IncidentReport, Message, MessageBody, Notification};
