//! Messages and where they go: Slack, SNS, a webhook, standard output.
//!
//! What is owed comes from core; this crate decides how it is said, and says it once. It never retries, waits or
//! logs: [`SendError`] tells the caller what may be done. What is owed and what was taken is the ledger's to
//! know. The modules stand in the order of the way of a message:
//!
//! ```text
//! plan -> message -> ocsf | slack -> destination: slack, sns, webhook, stdout
//! ```

mod error;
pub mod notification;
pub mod batching;
mod attack;
pub mod text;
pub mod notice;
pub mod ocsf;
mod http;
pub mod slack;
pub mod sns;
pub mod webhook;
pub mod stdout;
pub mod destination;

pub use batching::{Parcel, Style, plan};
pub use destination::{Channel, Destination};
pub use error::{Receipt, SendError, SetupError};
pub use notification::{Body, Digest, Message};
