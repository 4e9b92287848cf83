//! The outcomes of sending a message and of setting up a destination, named after what the caller may do.
//!
//! No text here ever holds the address of a webhook or a token: both are secrets.

use std::time::Duration;

use stakeout_core::shown::ShownMessage;
use stakeout_http::{ClientError, EndpointError};
use thiserror::Error;

/// Longest time that a destination may make us wait: it cannot silence alerts for a day.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);

/// A destination accepted a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// The id that the destination gave the message (SNS `MessageId`), if any.
    pub remote_id: Option<String>,
    /// Whether Slack refused the blocks and accepted the plain text instead.
    pub plain_text: bool,
    /// The message that is edited while its incident goes on, if it is one.
    pub shown: Option<ShownMessage>,
}

/// Why a destination did not accept a message.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SendError {
    /// The destination is unavailable for now: send the same message later.
    #[error("not delivered yet: {reason}")]
    Later {
        /// How long the destination asks to wait, if it says so.
        after: Option<Duration>,
        /// What failed.
        reason: String,
    },
    /// The destination refuses the message until somebody changes it or the config: keep the delivery and report it.
    #[error("refused: {reason}")]
    Refused {
        /// The answer of the destination.
        reason: String,
    },
}

/// Why a destination cannot be set up: the config needs a fix.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SetupError {
    /// The address must not be used.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The destination cannot be used as it is configured.
    #[error("{reason}")]
    Address {
        /// What is wrong and how to fix it, without the address.
        reason: &'static str,
    },
    /// The client cannot be built.
    #[error(transparent)]
    Client(#[from] ClientError),
}

impl SendError {
    /// Returns the error for an attempt that may be repeated at any time.
    pub(crate) fn later(reason: impl Into<String>) -> SendError {
        SendError::Later { after: None, reason: reason.into() }
    }

    /// Returns the error for an attempt that may be repeated after the requested time, at most an hour.
    pub(crate) fn later_after(asked: Option<Duration>, reason: String) -> SendError {
        SendError::Later { after: asked.map(|wait| wait.min(RETRY_AFTER_MAX)), reason }
    }

    /// Returns the error for a refusal that needs a change of the destination or the config.
    pub(crate) fn refused(reason: impl Into<String>) -> SendError {
        SendError::Refused { reason: reason.into() }
    }
}
